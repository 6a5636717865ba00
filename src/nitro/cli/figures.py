"""Figures: what `nitro bench` has counted, and what follows from it. Pure: no I/O, no clock.

Fed by `LoadStream`, for each of its streams, and by `Load`; shown by `bench.py`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from nitro.cli.durations import Durations

__all__ = ["Figures"]

_PASSABLE_LAG_MS: Final = 20.0
"""So late this process may be by itself, whatever the latency is."""
_PASSABLE_SHARE: Final = 0.5
"""Above it, this process may be late by that share of the latency."""


class Figures:
    """Counters of one measurement.

    Attributes:
        clients: how many should connect.
        connects: from the time at which a client should connect until its stream stood.
        failed, ended: clients that didn't get a stream, and streams that ended too early, by reason.
        is_measuring: whether messages and bytes are counted.
        seconds: for how long they were.
        offered, emitted, refused: events that were due, those that were emitted, and those that the broker didn't take.
        expected, delivered: how often somebody should hear one of them, and did.
        messages, gaps, bytes: heard of anybody, while it was measured.
        latencies: from the time at which an event was due until somebody heard it.
        lags: how late this process was by itself, looked at in even distances.
        is_interrupted: whether it ended before its time.
    """

    def __init__(self, clients: int) -> None:
        self.clients = clients
        self.connects: Durations = Durations()
        self.failed: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.is_measuring = False
        self.seconds: float = 0.0
        self.offered: int = 0
        self.emitted: int = 0
        self.refused: int = 0
        self.expected: int = 0
        self.delivered: int = 0
        self.messages: int = 0
        self.gaps: int = 0
        self.bytes: int = 0
        self.latencies: Durations = Durations()
        self.lags: Durations = Durations()
        self.is_interrupted = False

    @property
    def connected(self) -> int:
        """How many clients have got a stream."""
        return self.connects.count

    @property
    def decided(self) -> int:
        """How many clients have got a stream, or never will."""
        return self.connected + self.failed.total()

    @property
    def open(self) -> int:
        """How many streams still stand."""
        return self.connected - self.ended.total()

    @property
    def lost(self) -> int:
        """How often somebody didn't hear an event."""
        return max(0, self.expected - self.delivered)

    def emit(self) -> None:
        """An event was emitted: all who got a stream should hear it, those whose stream has ended, too."""
        self.emitted += 1
        self.expected += self.connected

    def deliver(self, nanoseconds: int) -> None:
        """Somebody heard an event, so long after it was due."""
        self.delivered += 1
        self.latencies.observe(nanoseconds)

    def receive(self, count: int) -> None:
        """So many bytes came."""
        if self.is_measuring:
            self.bytes += count

    def hear(self) -> None:
        """A message came, whoever emitted it."""
        if self.is_measuring:
            self.messages += 1

    @property
    def kept_up(self) -> bool:
        """Whether this process was quick enough for the latencies to be the server's, and emitted what was due."""
        lag, latency = self.lags.percentile_ms(99) or 0.0, self.latencies.percentile_ms(99) or 0.0
        return self.emitted + self.refused == self.offered and lag <= max(_PASSABLE_LAG_MS, _PASSABLE_SHARE * latency)

    def as_dict(self) -> dict[str, Any]:
        """All of it, by names that stay and carry their units. Latencies that wouldn't be the server's are None."""
        latency = self.latencies if self.kept_up else Durations()
        return {
            "clients": self.clients,
            "connected": self.connected,
            "failed": self.failed.total(),
            "failed_by_reason": dict(self.failed.most_common()),
            "ended": self.ended.total(),
            "ended_by_reason": dict(self.ended.most_common()),
            "connect_p50_ms": self.connects.percentile_ms(50),
            "connect_p99_ms": self.connects.percentile_ms(99),
            "connect_max_ms": self.connects.max_ms,
            "seconds": round(self.seconds, 3),
            "events_offered": self.offered,
            "events_emitted": self.emitted,
            "events_refused": self.refused,
            "deliveries_expected": self.expected,
            "deliveries": self.delivered,
            "delivered_share": round(self.delivered / self.expected, 6) if self.expected else None,
            "lost": self.lost,
            "gaps": self.gaps,
            "latency_p50_ms": latency.percentile_ms(50),
            "latency_p90_ms": latency.percentile_ms(90),
            "latency_p99_ms": latency.percentile_ms(99),
            "latency_max_ms": latency.max_ms,
            "messages_per_second": round(self.messages / self.seconds, 1) if self.seconds else None,
            "megabytes_per_second": round(self.bytes / self.seconds / 1e6, 3) if self.seconds else None,
            "generator_lag_p99_ms": self.lags.percentile_ms(99),
            "generator_kept_up": self.kept_up,
            "interrupted": self.is_interrupted,
        }
