"""The collector: Nitro's metrics in a Prometheus registry. Fed by `nitro.statistics()` whenever it is scraped."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cache
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from nitro.brokers.other_workers import warn_of_other_workers
from nitro.delivery.process import current_hub, get_hub, when_made
from nitro.errors import ConfigurationError
from nitro.metrics.families import FAMILIES, broker_is_down, families_of
from nitro.metrics.worker_values import WorkerValues, forget_dead_workers, is_multiprocess

__all__ = ["NitroCollector"]

log: Final = logging.getLogger("nitro.metrics")

_OWN_METRICS: Final = (
    "this is one of several workers of %s, and each answers with its own metrics alone: what is scraped is now of one, "
    "now of another. Set PROMETHEUS_MULTIPROC_DIR to a directory that is empty when the server starts; "
    "https://nitro-realtime.github.io/nitro/how-to/operating/#several-workers"
)


def _read() -> Iterator[Metric]:
    """The metrics of this process. Also asks the broker where its log ends, which the next reading knows."""
    try:
        hub = get_hub()
    except ConfigurationError:  # the application hears of it where it emits; its other metrics are scraped on
        return iter((broker_is_down(),))
    if hub.broker.is_shared:
        hub.broker.ask_head()
    return families_of(hub.statistics())


def _read_if_used() -> Iterator[Metric]:
    """The same, where something has used Nitro: not in a process that only ends."""
    return iter(()) if current_hub() is None else _read()


@cache
def _warn_once() -> None:
    warn_of_other_workers(log, _OWN_METRICS)


@cache
def _worker_values() -> WorkerValues:
    written = WorkerValues(_read_if_used)

    def begin() -> None:
        get_hub().when_drained.append(written.write)
        written.start()

    when_made(begin)
    return written


class NitroCollector(Collector):
    """For a registry of one's own: `registry.register(NitroCollector())`.

    If `PROMETHEUS_MULTIPROC_DIR` is set, it writes this worker's values into that directory, at intervals and whenever
    it is scraped, and yields nothing: prometheus-client's `MultiProcessCollector` yields the values of all workers.
    """

    def __init__(self) -> None:
        self._shared = _worker_values() if is_multiprocess() else None

    def collect(self) -> Iterator[Metric]:
        """Each metric with its values."""
        if self._shared is None:
            _warn_once()
            return _read()
        self._shared.write(_read)
        forget_dead_workers()
        return iter(())

    def describe(self) -> Iterator[Metric]:
        """Each metric without values, so that to register the collector starts nothing."""
        return iter(()) if self._shared else (family.empty() for family in FAMILIES)

    def __repr__(self) -> str:
        return "<NitroCollector>"
