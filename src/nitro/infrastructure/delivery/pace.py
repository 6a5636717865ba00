"""The pace of replays: how much of the log is looked at for one user, a second.

Fed by replays with what they did; asked by them before the next page. Nothing is refused here: who asks for more than
that waits.
"""

from __future__ import annotations

from time import monotonic
from typing import Final

__all__ = ["Pace"]

_BURST_SECONDS: Final = 10.0
"""What may be done at once, in seconds of the pace: usually all that a user missed."""
_LEAST_SWEEP: Final = 256


class Pace:
    """Belongs to one lane. A leaky bucket for each user, kept as the time at which it will be empty.

    Args:
        per_second: how much work one user may cause in the long run.
    """

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._empty_at: dict[str, float] = {}
        self._sweep_at = _LEAST_SWEEP

    def spend(self, user_id: str | None, work: int) -> None:
        """So much was done for a user: messages looked at, and patterns compared. Of nobody nothing is kept."""
        if user_id is None:
            return
        now = monotonic()
        self._empty_at[user_id] = max(now, self._empty_at.get(user_id, now)) + work / self._per_second
        if len(self._empty_at) >= self._sweep_at:
            self._empty_at = {user: at for user, at in self._empty_at.items() if at > now}
            self._sweep_at = max(_LEAST_SWEEP, 2 * len(self._empty_at))

    def wait(self, user_id: str | None) -> float:
        """For how many seconds nothing more is done for a user."""
        if user_id is None or user_id not in self._empty_at:
            return 0.0
        return max(0.0, self._empty_at[user_id] - monotonic() - _BURST_SECONDS)

    def __repr__(self) -> str:
        return f"<Pace of {self._per_second} a second: {len(self._empty_at)} users>"
