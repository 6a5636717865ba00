"""Durations: how often something took how long, with percentiles, in memory that doesn't grow with their number. Pure.

Fed by `Figures`. As an HDR histogram does, it keeps the first eight bits of each duration, in microseconds.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["Durations"]

_BITS: Final = 8


class Durations:
    """Counts durations."""

    __slots__ = ("_counts", "_longest", "count")

    def __init__(self) -> None:
        self.count: int = 0
        self._counts: dict[int, int] = {}
        self._longest = 0

    def observe(self, nanoseconds: int) -> None:
        """Count one duration."""
        microseconds = max(0, nanoseconds) // 1000
        bucket = microseconds | ((1 << max(0, microseconds.bit_length() - _BITS)) - 1)  # its longest duration
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self._longest = max(self._longest, microseconds)
        self.count += 1

    def percentile_ms(self, percent: float) -> float | None:
        """So many percent took no longer, in milliseconds; None if there is no duration.

        It is the nearest rank's, never less than that, and at most 0.8 % more.
        """
        rank = math.ceil(self.count * percent / 100)
        for bucket in sorted(self._counts):
            rank -= self._counts[bucket]
            if rank <= 0:
                return min(bucket, self._longest) / 1000
        return None

    @property
    def max_ms(self) -> float | None:
        """The longest, in milliseconds; None if there is no duration."""
        return self._longest / 1000 if self.count else None

    def __repr__(self) -> str:
        return f"<Durations: {self.count}, p99 {self.percentile_ms(99)} ms, max {self.max_ms} ms>"
