"""The board: where processes pin up what they tell each other of themselves, beside the log: in its store of streams.

What stands there is replaced, so it grows with the number of processes and not with time, and pushes nothing out of the
log. It needs no clock that two hosts agree on: a notice is fresh as long as it changes. Only when it is seen for the
first time, its own time says how old it may be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

from nitro.brokers.tasks import in_time
from nitro.streams.base import ABSENT, Commit, Conflict, Store

__all__ = ["Board", "Notice"]

_PREFIX: Final = "inspection/"
_MOST: Final = 1_000
"""Processes that are looked at."""
_DEAD_SECONDS: Final = 20.0
"""A notice that has not changed for so long is taken down."""


_CHANCE_SECONDS: Final = 3.0
"""However old it says it is, it has so long to change after it was first seen: its clock may be behind."""
_LONGEST_TIME: Final = 15
"""Digits of milliseconds since 1970."""


class Notice(NamedTuple):
    """What one process has pinned up.

    Attributes:
        content: as it was given.
        age_seconds: for how long it has been seen unchanged.
        seen_at: since when, in seconds since 1970 by this process's clock.
    """

    content: bytes
    age_seconds: float
    seen_at: float


class Board:
    """Used from one event loop. Each coroutine may raise the errors of the store's driver.

    Args:
        store: not open.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._own: dict[str, int] = {}
        self._changed: dict[str, tuple[int, float, float]] = {}  # key → its version, and when that was first seen

    async def open(self) -> None:
        """Connect."""
        await in_time(self._store.open())

    async def pin(self, kind: str, name: str, content: bytes) -> None:
        """Replace what stands there under this kind and name."""
        key = f"{_PREFIX}{kind}/{name}"
        for _ in range(2):
            state = b"%d\n%b" % (time.time() * 1000, content)
            (version,) = await in_time(self._store.commit([Commit(key, self._own.get(key, ABSENT), state)]))
            if not isinstance(version, Conflict):
                self._own[key] = version
                return
            stored = await in_time(self._store.load(key))  # it was taken down meanwhile
            self._own[key] = ABSENT if stored is None else stored.version

    async def read(self, kind: str) -> Mapping[str, Notice]:
        """What all processes have pinned up under this kind, by name. What is too old to be true is taken down."""
        prefix = f"{_PREFIX}{kind}/"
        keys = await in_time(self._store.keys(prefix, _MOST))
        found = await asyncio.gather(*(in_time(self._store.load(key)) for key in keys))
        now = time.monotonic()
        notices: dict[str, Notice] = {}
        for key, stored in zip(keys, found, strict=True):
            if stored is None:
                continue
            written_at, _, content = stored.state.partition(b"\n")
            version, since, seen_at = self._changed.get(key, (ABSENT, 0.0, 0.0))
            if version != stored.version:
                since, seen_at = now, time.time()
                if version == ABSENT:  # how old it is, only the clock of who wrote it tells
                    since -= _age(written_at)
                    seen_at -= now - since
                self._changed[key] = stored.version, since, seen_at
            if now - since > _DEAD_SECONDS:
                await in_time(self._store.commit([Commit(key, stored.version, None)]))
                del self._changed[key]
            else:
                notices[key.removeprefix(prefix)] = Notice(content, now - since, seen_at)
        return notices

    async def close(self) -> None:
        """Take down what this process has pinned up, if that can be done, and disconnect."""
        try:
            if self._own:
                own = [Commit(key, version, None) for key, version in self._own.items() if version != ABSENT]
                await in_time(self._store.commit(own))
        finally:
            await self._store.close()

    def __repr__(self) -> str:
        return f"<Board in {self._store.name}, {len(self._own)} notices of this process>"


def _age(written_at: bytes) -> float:
    """For how many seconds a notice may have stood there; 0 if its clock is ahead of this one, or it doesn't tell."""
    if not written_at.isdigit() or len(written_at) > _LONGEST_TIME:
        return 0.0
    return min(max(0.0, time.time() - int(written_at) / 1000), _DEAD_SECONDS - _CHANCE_SECONDS)
