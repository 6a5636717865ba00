"""Leaky buckets: rate limits by key, such as a user or an address.

Callers check `wait` before they do some work, and `spend` its cost. A bucket may be filled beyond its burst, so a
single piece of work can be larger than the burst; the excess has to drain before more is allowed.
"""

from __future__ import annotations

from time import monotonic
from typing import Final

__all__ = ["LeakyBuckets"]

_LEAST_SWEEP: Final = 256


class LeakyBuckets:
    """One bucket for each recent key; empty buckets are discarded. Not thread-safe.

    Args:
        per_second: work allowed for each key, on average.
        burst: work allowed for each key at once.
    """

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst_seconds = burst / per_second
        self._empty_at: dict[str, float] = {}
        self._sweep_at = _LEAST_SWEEP

    def spend(self, key: str | None, work: float) -> None:
        """Add `work` to the bucket of `key`; None is not limited."""
        if key is None:
            return
        now = monotonic()
        self._empty_at[key] = max(now, self._empty_at.get(key, now)) + work / self._per_second
        if len(self._empty_at) >= self._sweep_at:
            self._empty_at = {each: at for each, at in self._empty_at.items() if at > now}
            self._sweep_at = max(_LEAST_SWEEP, 2 * len(self._empty_at))

    def wait(self, key: str | None, work: float = 0.0) -> float:
        """Seconds until `work` is allowed for `key`; 0.0 if it is allowed now."""
        if key is None or key not in self._empty_at:
            return 0.0
        filled = self._empty_at[key] - monotonic()
        return max(0.0, filled + min(work / self._per_second, self._burst_seconds) - self._burst_seconds)

    def __len__(self) -> int:
        return len(self._empty_at)

    def __repr__(self) -> str:
        return f"<LeakyBuckets of {self._per_second} a second: {len(self)} in use>"
