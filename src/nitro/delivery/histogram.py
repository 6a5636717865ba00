"""Histogram: how often a duration was how long, in a few fixed buckets. Counted in one thread, read from any."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

__all__ = ["CONNECTION_BOUNDS", "DURATION_BOUNDS", "Histogram", "HistogramValue"]

DURATION_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds, in seconds, for what should take milliseconds."""
CONNECTION_BOUNDS: Final = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)
"""Upper bounds, in seconds, for how long a client stays."""


@dataclass(frozen=True, slots=True)
class HistogramValue:
    """A histogram at one moment.

    Attributes:
        bounds: inclusive upper bounds of the buckets, in seconds; what is longer is in one more bucket.
        counts: how many durations each bucket holds; one more than there are bounds.
        sum_seconds: the sum of all durations.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum_seconds: float

    @property
    def count(self) -> int:
        """How many durations were observed."""
        return sum(self.counts)


class Histogram:
    """Counts durations.

    Args:
        bounds: inclusive upper bounds of the buckets, in seconds, the lowest first.
    """

    __slots__ = ("_bounds", "_counts", "_sum_seconds")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum_seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum_seconds += seconds

    def add(self, other: Histogram) -> None:
        """Add the durations of `other`, which has the same bounds."""
        self._counts = [own + others for own, others in zip(self._counts, other._counts, strict=True)]
        self._sum_seconds += other._sum_seconds

    @property
    def value(self) -> HistogramValue:
        """What was counted so far."""
        return HistogramValue(self._bounds, tuple(self._counts), self._sum_seconds)

    def __repr__(self) -> str:
        return f"<Histogram of {sum(self._counts)} durations>"
