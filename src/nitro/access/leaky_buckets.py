"""Leaky buckets: how much is done for each user or address in a second, and when more may be.

Whoever does something says what it cost; whoever is about to asks first. What a bucket holds beyond its burst has to
run out before anything more is done, so a single piece of work may be larger than the burst.
"""

from __future__ import annotations

from time import monotonic
from typing import Final

__all__ = ["LeakyBuckets"]

_LEAST_SWEEP: Final = 256


class LeakyBuckets:
    """One for each key that did something lately; those that ran empty are forgotten, however many come. Not locked.

    Args:
        per_second: what may be done for one key in the long run.
        burst: and at once.
    """

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst_seconds = burst / per_second
        self._empty_at: dict[str, float] = {}
        self._sweep_at = _LEAST_SWEEP

    def spend(self, key: str | None, work: float) -> None:
        """So much was done for `key`; of nobody nothing is kept."""
        if key is None:
            return
        now = monotonic()
        self._empty_at[key] = max(now, self._empty_at.get(key, now)) + work / self._per_second
        if len(self._empty_at) >= self._sweep_at:
            self._empty_at = {each: at for each, at in self._empty_at.items() if at > now}
            self._sweep_at = max(_LEAST_SWEEP, 2 * len(self._empty_at))

    def wait(self, key: str | None, work: float = 0.0) -> float:
        """For how many seconds nothing more is to be done for `key`, if that is so much."""
        if key is None or key not in self._empty_at:
            return 0.0
        filled = self._empty_at[key] - monotonic()
        return max(0.0, filled + min(work / self._per_second, self._burst_seconds) - self._burst_seconds)

    def __len__(self) -> int:
        return len(self._empty_at)

    def __repr__(self) -> str:
        return f"<LeakyBuckets of {self._per_second} a second: {len(self)} in use>"
