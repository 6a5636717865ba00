"""`memory://`: streams in this process alone, which end with it. Shared by all event loops of the process."""

from __future__ import annotations

import asyncio
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Final

from nitro.streams.base import ABSENT, Change, Commit, Conflict, Record, Stored

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Kept:
    stored: Stored
    versions: list[int] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


class _Shelf:
    """What all stores of one namespace share."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.kept: dict[str, _Kept] = {}
        self.version = 0
        self.watchers: dict[str, set[MemoryStore]] = {}


_shelves: Final[dict[str, _Shelf]] = {}
_making: Final = threading.Lock()


class MemoryStore:
    """See `base.Store` for what its verbs promise."""

    max_body_bytes: int | None = None

    def __init__(self, url: str, namespace: str) -> None:
        self.name: str = url
        with _making:
            self._shelf = _shelves.setdefault(namespace, _Shelf())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: deque[Change] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._is_called = False

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def load(self, key: str) -> Stored | None:
        kept = self._shelf.kept.get(key)
        return None if kept is None else kept.stored

    async def commit(self, commits: Sequence[Commit]) -> Sequence[int | Conflict]:
        shelf = self._shelf
        with shelf.lock:
            return [self._commit(shelf, commit) for commit in commits]

    async def read(self, key: str, after: int, until: int, max_bytes: int) -> Sequence[Record]:
        with self._shelf.lock:
            kept = self._shelf.kept.get(key)
            if kept is None:
                return ()
            first, end = bisect_right(kept.versions, after), bisect_right(kept.versions, until)
            records: list[Record] = []
            for place in range(first, end):
                max_bytes -= len(kept.bodies[place])
                if max_bytes < 0 and records:
                    break
                records.append(Record(kept.versions[place], kept.bodies[place]))
            return records

    async def postpone(self, key: str, alarm_at: float, to: float) -> bool:
        with self._shelf.lock:
            kept = self._shelf.kept.get(key)
            if kept is None or kept.stored.alarm_at != alarm_at:
                return False
            kept.stored = kept.stored._replace(alarm_at=to)
            return True

    async def due(self, now: float, limit: int) -> Sequence[str]:
        with self._shelf.lock:
            alarms = [(kept.stored.alarm_at, key) for key, kept in self._shelf.kept.items() if kept.stored.alarm_at]
        return [key for alarm_at, key in nsmallest(limit, alarms) if alarm_at <= now]

    async def keys(self, prefix: str, limit: int) -> Sequence[str]:
        with self._shelf.lock:
            return nsmallest(limit, (key for key in self._shelf.kept if key.startswith(prefix)))

    def watch(self, key: str) -> None:
        with self._shelf.lock:
            self._shelf.watchers.setdefault(key, set()).add(self)

    def unwatch(self, key: str) -> None:
        with self._shelf.lock:
            watchers = self._shelf.watchers.get(key, set())
            watchers.discard(self)
            if not watchers:
                self._shelf.watchers.pop(key, None)

    async def news(self) -> Sequence[Change] | None:
        while not self._news:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        with self._shelf.lock:
            news, self._news = self._news, deque()
        return news

    async def close(self) -> None:
        with self._shelf.lock:
            for watchers in self._shelf.watchers.values():
                watchers.discard(self)
            self._loop = None

    def _commit(self, shelf: _Shelf, commit: Commit) -> int | Conflict:
        kept = shelf.kept.get(commit.key)
        version = kept.stored.version if kept is not None else ABSENT
        if version != commit.expected:
            return Conflict(f"{commit.key!r} is at {version}, not at {commit.expected}")
        shelf.version = new = shelf.version + 1
        stored: Stored | None = None
        if commit.state is None:
            shelf.kept.pop(commit.key, None)
        else:
            stored = Stored(new, commit.tail if commit.body is None else new, commit.state, commit.alarm_at)
            if kept is None:
                kept = shelf.kept[commit.key] = _Kept(stored)
            kept.stored = stored
            if commit.body is not None:
                kept.versions.append(new)
                kept.bodies.append(commit.body)
        for watcher in shelf.watchers.get(commit.key, ()):
            if watcher is not self:
                watcher._tell(Change(commit.key, version, stored, commit.body, True))
        return new

    def _tell(self, change: Change) -> None:
        self._news.append(change)
        loop = self._loop
        if loop is not None and not self._is_called and not loop.is_closed():
            self._is_called = True
            loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._is_called = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __repr__(self) -> str:
        return f"<MemoryStore of {len(self._shelf.kept)} streams>"
