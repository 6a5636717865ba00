"""Connect rates: how fast clients connect, per address, per user, and in all. The admission holds the lock.

The overall rate is checked last, and a rejected client doesn't count in it. Half of its burst is reserved for users and
addresses that used little of it. So a client that opens and closes streams in a loop can't exhaust it for the others,
and a proxy, whose address all clients share, is not limited to a fixed share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nitro.access.leaky_buckets import LeakyBuckets
from nitro.settings import Settings

__all__ = ["ConnectRates"]

_BURST_SECONDS: Final = 30.0
"""Burst of a user or an address, in seconds of its rate: enough to open all tabs, several times in a row."""
_SHARE: Final = 0.25
"""Fraction of the overall rate above which a user or an address may use only half of the overall burst."""
_TOPICS_A_CONNECT: Final = 100
"""This many requested topics cost about as much as one more connect, and are counted as one."""
_ALL: Final = "all"


class ConnectRates:
    """The connect rates of a process."""

    def __init__(self, settings: Settings) -> None:
        self._of_address = _buckets(settings.max_connects_per_second_per_address)
        self._of_user = _buckets(settings.max_connects_per_second_per_user)
        whole = settings.max_connects_per_second
        self._burst = max(whole or 0.0, 1.0)
        self._all = None if whole is None else LeakyBuckets(whole, self._burst)
        self._shares = [] if whole is None else [LeakyBuckets(whole * _SHARE, self._burst) for _ in range(2)]

    def limit_reached(
        self, user_id: str | None, address: str | None, asked: Sequence[str] = ()
    ) -> tuple[str, float] | None:
        """The setting whose rate is exceeded, and in how many seconds to retry; None if none is."""
        cost = _cost(asked)
        for buckets, key, whose in ((self._of_address, address, "address"), (self._of_user, user_id, "user")):
            if buckets is not None and (seconds := buckets.wait(key, cost)):
                return f"max_connects_per_second_per_{whose}", seconds
        if self._all is not None:
            had_much = any(share.wait(key, cost) for share, key in zip(self._shares, (address, user_id), strict=True))
            if seconds := self._all.wait(_ALL, cost + had_much * self._burst / 2):
                return "max_connects_per_second", seconds
        return None

    def take(self, user_id: str | None, address: str | None, asked: Sequence[str] = ()) -> None:
        """Count a client that connects."""
        self.probe(user_id, address, asked)
        if self._all is not None:
            for buckets, key in ((self._all, _ALL), *zip(self._shares, (address, user_id), strict=True)):
                buckets.spend(key, _cost(asked))

    def probe(self, user_id: str | None, address: str | None, asked: Sequence[str]) -> None:
        """Count a request that is answered without a stream: in the rates per user and per address alone."""
        for buckets, key in ((self._of_address, address), (self._of_user, user_id)):
            if buckets is not None:
                buckets.spend(key, _cost(asked))

    def __repr__(self) -> str:
        return f"<ConnectRates of users: {self._of_user!r}, of addresses: {self._of_address!r}>"


def _buckets(per_second: float | None) -> LeakyBuckets | None:
    return None if per_second is None else LeakyBuckets(per_second, max(per_second * _BURST_SECONDS, 1.0))


def _cost(asked: Sequence[str]) -> float:
    return 1.0 + len(asked) // _TOPICS_A_CONNECT
