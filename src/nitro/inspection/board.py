"""The board: where processes pin up what they tell each other of themselves, beside the log: in its store of streams.

What stands there is replaced, so it grows with the number of processes and not with time, and pushes nothing out of the
log. It needs no clock that two hosts agree on: a notice is fresh as long as it changes.
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


class Notice(NamedTuple):
    """What one process has pinned up, and for how long it has been seen unchanged."""

    content: bytes
    age_seconds: float


class Board:
    """Used from one event loop. Each coroutine may raise the errors of the store's driver.

    Args:
        store: not open.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._own: dict[str, int] = {}
        self._changed: dict[str, tuple[int, float]] = {}  # key → its version, and when that was first seen

    async def open(self) -> None:
        """Connect."""
        await in_time(self._store.open())

    async def pin(self, kind: str, name: str, content: bytes) -> None:
        """Replace what stands there under this kind and name."""
        key = f"{_PREFIX}{kind}/{name}"
        for _ in range(2):
            (version,) = await in_time(self._store.commit([Commit(key, self._own.get(key, ABSENT), content)]))
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
            version, since = self._changed.get(key, (ABSENT, now))
            if version != stored.version:
                self._changed[key] = stored.version, (since := now)
            if now - since > _DEAD_SECONDS:
                await in_time(self._store.commit([Commit(key, stored.version, None)]))
                del self._changed[key]
            else:
                notices[key.removeprefix(prefix)] = Notice(stored.state, now - since)
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
