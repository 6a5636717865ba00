"""Rates: how fast clients connect, from one address, of one user, and in all. Fed by the admission, under its lock.

The whole comes last, and who is refused takes nothing of it: so one stranger who opens and closes streams doesn't keep
everybody out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nitro.infrastructure.access.buckets import Buckets
from nitro.settings import Settings

__all__ = ["Rates"]

_BURST_SECONDS: Final = 30.0
"""A user, or an address, may connect so many seconds' worth at once: all tabs, several times in a row."""
_SHARE: Final = 0.25
"""Of what all may connect in a second, no user and no address has more, unless a setting of its own says so."""
_TOPICS_A_CONNECT: Final = 100
"""To ask for so many topics costs about as much as to connect, and counts as much."""
_ALL: Final = "all"


class Rates:
    """Of one process."""

    def __init__(self, settings: Settings) -> None:
        whole = settings.max_connects_per_second
        self._all = None if whole is None else Buckets(whole, max(whole, 1.0))
        self._of_user = _buckets(settings.max_connects_per_second_per_user, whole)
        self._of_address = _buckets(settings.max_connects_per_second_per_address, whole)

    def limit_reached(self, user_id: str | None, address: str | None, asked: Sequence[str] = ()) -> str | None:
        """The setting that forbids one more now; None if none does."""
        cost = _cost(asked)
        for buckets, key, whose in (
            (self._of_address, address, "_per_address"),
            (self._of_user, user_id, "_per_user"),
            (self._all, _ALL, ""),
        ):
            if buckets is not None and buckets.wait(key, cost):
                return f"max_connects_per_second{whose}"
        return None

    def take(self, user_id: str | None, address: str | None, asked: Sequence[str] = ()) -> None:
        """One more connects."""
        cost = _cost(asked)
        for buckets, key in ((self._of_address, address), (self._of_user, user_id), (self._all, _ALL)):
            if buckets is not None:
                buckets.spend(key, cost)

    def probe(self, user_id: str | None, asked: Sequence[str]) -> None:
        """A user asked what a stream would say of itself, which costs as much to read, and nothing of the whole."""
        if self._of_user is not None:
            self._of_user.spend(user_id, _cost(asked))

    def __repr__(self) -> str:
        return f"<Rates of users: {self._of_user!r}, of addresses: {self._of_address!r}>"


def _buckets(own: float | None, whole: float | None) -> Buckets | None:
    """As its own setting says, and at most its share of the whole."""
    if whole is not None and (own is None or own > whole * _SHARE):
        return Buckets(whole * _SHARE, max(whole, 1.0))
    return None if own is None else Buckets(own, max(own * _BURST_SECONDS, 1.0))


def _cost(asked: Sequence[str]) -> float:
    return 1.0 + len(asked) // _TOPICS_A_CONNECT
