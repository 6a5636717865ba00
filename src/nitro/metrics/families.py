"""The families: what each metric is called, what it means, and which of the statistics it shows.

Fed by `nitro.statistics()`; feeds the collector. Names and units are as Prometheus' guidelines have them. No label has
a topic, a user or anything else of which there is no end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, Literal, TypeAlias, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from nitro.access.admission import Refusal
from nitro.delivery.histogram import HistogramValue
from nitro.delivery.statistics import EndReason, ResumeResult, Statistics
from nitro.messages.message import GapReason

__all__ = ["FAMILIES", "Family", "broker_is_down", "families_of"]

Value: TypeAlias = float | Mapping[Any, int] | HistogramValue
"""A number, numbers by the value of a label, or a histogram."""
Mode: TypeAlias = Literal["livesum", "livemin", "livemax"]
"""How the gauges of several workers become one; prometheus-client's names."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric.

    Attributes:
        kind: what Prometheus takes it for.
        name: without `_total`.
        help: what it means.
        value: reads it from the statistics.
        label: the name of its label; empty if it has none.
        labels: the values of the label; each is shown from the beginning, so that its first increase is seen.
        mode: of a gauge.
    """

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    value: Callable[[Statistics], Value]
    label: str = ""
    labels: tuple[str, ...] = ()
    mode: Mode = "livesum"

    def empty(self) -> Metric:
        """The metric without values."""
        labels = [self.label] if self.label else []
        if self.kind == "counter":
            return CounterMetricFamily(self.name, self.help, labels=labels)
        if self.kind == "gauge":
            return GaugeMetricFamily(self.name, self.help, labels=labels)
        return HistogramMetricFamily(self.name, self.help, labels=labels)

    def read(self, statistics: Statistics) -> Metric:
        """The metric with the values of `statistics`."""
        metric, value = self.empty(), self.value(statistics)
        if isinstance(value, HistogramValue):
            assert isinstance(metric, HistogramMetricFamily)
            bounds = [*map(str, value.bounds), "+Inf"]
            buckets = list(zip(bounds, accumulate(value.counts), strict=True))
            metric.add_metric([], buckets, value.sum_seconds)
            return metric
        assert isinstance(metric, CounterMetricFamily | GaugeMetricFamily)
        if isinstance(value, Mapping):
            for label in self.labels:
                metric.add_metric([label], value.get(label, 0))
        else:
            metric.add_metric([], value)
        return metric


def _counter(
    name: str, help: str, value: Callable[[Statistics], Value], label: str = "", labels: tuple[str, ...] = ()
) -> Family:
    return Family("counter", name, help, value, label, labels)


def _gauge(name: str, help: str, value: Callable[[Statistics], Value], mode: Mode) -> Family:
    return Family("gauge", name, help, value, mode=mode)


def _histogram(name: str, help: str, value: Callable[[Statistics], Value]) -> Family:
    return Family("histogram", name, help, value)


FAMILIES: Final = (
    _gauge("nitro_clients", "Clients that are connected.", lambda at: at.clients, "livesum"),
    _gauge("nitro_users", "Different users of the clients of a process.", lambda at: at.users, "livesum"),
    _counter("nitro_connects", "Clients that have connected.", lambda at: at.connects),
    _counter(
        "nitro_disconnects",
        "Clients that are gone again, by reason.",
        lambda at: at.disconnects,
        label="reason",
        labels=("closed", "shutdown", *get_args(EndReason)),
    ),
    _histogram(
        "nitro_connection_seconds",
        "For how long clients were connected that are gone.",
        lambda at: at.connection_seconds,
    ),
    _histogram(
        "nitro_establish_seconds", "From a request for a stream to its first bytes.", lambda at: at.establish_seconds
    ),
    _counter("nitro_messages_published", "Messages that were emitted.", lambda at: at.messages_in),
    _counter(
        "nitro_messages_delivered", "Messages that clients took, each once for each client.", lambda at: at.messages_out
    ),
    _counter("nitro_bytes_sent", "Bytes of JSON in the messages that clients took.", lambda at: at.bytes_out),
    _counter(
        "nitro_resumes",
        "Clients that came back with an id, by what they got first.",
        lambda at: at.resumes,
        label="result",
        labels=get_args(ResumeResult),
    ),
    _counter(
        "nitro_gaps",
        "Gaps that clients got, by reason.",
        lambda at: at.gaps,
        label="reason",
        labels=tuple(reason for reason in get_args(GapReason) if reason != "rights"),  # which only listeners decide
    ),
    _counter(
        "nitro_dropped",
        "Messages that were dropped because too much was queued for a client, by policy.",
        lambda at: at.dropped,
        label="policy",
        labels=("drop_oldest", "latest"),
    ),
    _counter(
        "nitro_refused",
        "Clients that were refused, by the limit that they exceeded.",
        lambda at: at.refused,
        label="limit",
        labels=get_args(Refusal),
    ),
    _histogram(
        "nitro_delivery_lag_seconds",
        "From when an event loop was handed a message until it was written to its clients.",
        lambda at: at.delivery_lag_seconds,
    ),
    _gauge(
        "nitro_outgoing_bytes",
        "Memory of messages that the broker has not acknowledged yet.",
        lambda at: at.publish_queue_bytes,
        "livesum",
    ),
    _gauge(
        "nitro_log_messages",
        "Messages that can be replayed to clients that come back.",
        lambda at: at.retained_messages,
        "livemax",
    ),
    _gauge(
        "nitro_broker_up",
        "1 while the broker can be reached and used, else 0.",
        lambda at: int(not at.broker_gone_seconds),
        "livemin",
    ),
    _gauge(
        "nitro_broker_lag_messages",
        "Messages that are known to be in the broker's log, and were not read yet.",
        lambda at: at.broker_lag_messages,
        "livemax",
    ),
    _gauge(
        "nitro_loop_lag_seconds",
        "The longest delay of an event loop's timers within 15 seconds.",
        lambda at: at.loop_lag_seconds,
        "livemax",
    ),
)


def broker_is_down() -> Metric:
    """What is said of a process whose broker can't even be made."""
    (metric,) = [family.empty() for family in FAMILIES if family.name == "nitro_broker_up"]
    metric.add_sample(metric.name, {}, 0)
    return metric


def families_of(statistics: Statistics) -> Iterator[Metric]:
    """Each metric with its values."""
    return (family.read(statistics) for family in FAMILIES)
