"""The collector: Nitro's metrics in a Prometheus registry. Fed by `nitro.statistics()` whenever it is scraped."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from nitro.delivery.process import get_hub
from nitro.errors import ConfigurationError
from nitro.metrics.families import FAMILIES, broker_is_down, families_of

__all__ = ["NitroCollector", "read_metrics"]


def read_metrics() -> Iterator[Metric]:
    """The metrics of this process. Also asks the broker where its log ends, which the next reading knows."""
    try:
        hub = get_hub()
    except ConfigurationError:  # the application hears of it where it emits; its other metrics are scraped on
        return iter((broker_is_down(),))
    if hub.broker.is_shared:
        hub.broker.ask_head()
    return families_of(hub.statistics())


class NitroCollector(Collector):
    """For a registry of one's own: `registry.register(NitroCollector())`."""

    def collect(self) -> Iterator[Metric]:
        """Each metric with its values."""
        return read_metrics()

    def describe(self) -> Iterator[Metric]:
        """Each metric without values, so that to register the collector starts nothing."""
        return (family.empty() for family in FAMILIES)

    def __repr__(self) -> str:
        return "<NitroCollector>"
