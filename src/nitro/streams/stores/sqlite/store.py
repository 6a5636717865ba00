"""`sqlite:///path`: streams in a file, for several processes on one host, with no server.

Commits are made in one thread, one transaction for all that come together; another thread reads. News is found as the
log's reader finds it: by `PRAGMA data_version`, when a commit wakes it, and at times when none does.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final

from nitro.brokers.sqlite.file import path_of
from nitro.brokers.sqlite.wakeups import Wakeups
from nitro.redaction import without_secrets
from nitro.streams.base import Change, Commit, Conflict, Record, Stored
from nitro.streams.stores.sqlite import statements as sql
from nitro.streams.stores.sqlite.commits import commit_all, postpone_all
from nitro.streams.stores.sqlite.line import Line
from nitro.streams.stores.sqlite.news import News

__all__ = ["SQLiteStore"]

_LISTEN_SECONDS: Final = 5.0
"""How often it looks whether the pipe that wakes it is still there."""


@dataclass(slots=True, eq=False)
class _Postponement:
    key: str
    alarm_at: float
    to: float
    was_there: bool | None = None


class SQLiteStore:
    """See `base.Store` for what its verbs promise. What `commit` returned is on disk (`synchronous = FULL`).

    Args:
        url: `sqlite:///relative/path` or `sqlite:////absolute/path`, or a SQLAlchemy URL of a file.
        namespace: separates stores in one file.
    """

    max_body_bytes: int | None = None

    def __init__(self, url: str, namespace: str) -> None:
        self._path = path_of(url)
        self.name: str = without_secrets(url)
        self._namespace = namespace
        self._reader = Line(self._path, self.name)
        self._writer = Line(self._path, self.name)
        self._news = News(namespace)
        self._wakeups = Wakeups(self._path, f"{namespace}-streams")
        self._listened_at = 0.0
        self._loads: list[tuple[str, asyncio.Future[Stored | None]]] = []
        self._postponements: deque[_Postponement] = deque()

    async def open(self) -> None:
        await asyncio.wrap_future(self._writer.call(_nothing))
        await asyncio.wrap_future(self._reader.call(_nothing))

    async def load(self, key: str) -> Stored | None:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Stored | None] = loop.create_future()
        self._loads.append((key, answer))
        if len(self._loads) == 1:  # those of one tick go together, since the way to the thread costs more than they do
            loop.call_soon(self._load_all)
        return await answer

    async def commit(self, commits: Sequence[Commit]) -> Sequence[int | Conflict]:
        stored = self._writer.call(commit_all, self._namespace, commits)
        answer = asyncio.wrap_future(stored)
        stored.add_done_callback(self._wake)  # after the answer, so that its news is known to be this store's own
        results = await answer
        self._news.committed(commits, results)
        return results

    async def read(self, key: str, after: int, until: int, max_bytes: int) -> Sequence[Record]:
        return await asyncio.wrap_future(self._reader.call(_read, self._namespace, key, after, until, max_bytes))

    async def postpone(self, key: str, alarm_at: float, to: float) -> bool:
        asked = _Postponement(key, alarm_at, to)
        self._postponements.append(asked)
        return await asyncio.wrap_future(self._writer.call(self._postpone, asked))

    async def due(self, now: float, limit: int) -> Sequence[str]:
        return await asyncio.wrap_future(self._reader.call(_keys, sql.DUE, (self._namespace, now, limit)))

    async def keys(self, prefix: str, limit: int) -> Sequence[str]:
        values = (self._namespace, prefix, _behind(prefix), limit)
        return await asyncio.wrap_future(self._reader.call(_keys, sql.KEYS, values))

    def watch(self, key: str) -> None:
        self._news.watch(key)

    def unwatch(self, key: str) -> None:
        self._news.unwatch(key)

    async def news(self) -> Sequence[Change] | None:
        while True:
            await self._listen()
            self._wakeups.clear()
            seen, changes = await asyncio.wrap_future(self._reader.call(self._news.look))
            self._news.looked(seen, changes)
            if changes is None or changes:
                self._wakeups.has_found()
                return changes
            await self._wakeups.wait(_LISTEN_SECONDS)

    async def close(self) -> None:
        self._listened_at = 0.0
        pipes = self._wakeups.detach()
        await asyncio.wrap_future(self._reader.close(*(pipe.close for pipe in pipes)))
        await asyncio.wrap_future(self._writer.close())

    async def _listen(self) -> None:
        """Listen to the pipe, which another process may have made anew."""
        now = time.monotonic()
        if now - self._listened_at > _LISTEN_SECONDS:
            self._listened_at = now
            await asyncio.wrap_future(self._reader.call(self._find_pipe))
            self._wakeups.attach()

    def _load_all(self) -> None:
        asked, self._loads = self._loads, []
        keys = [key for key, _ in asked]
        loaded = asyncio.wrap_future(self._reader.call(_load, self._namespace, keys))
        loaded.add_done_callback(partial(_answer, [answer for _, answer in asked]))

    def _find_pipe(self, _: sqlite3.Connection) -> None:
        self._wakeups.find()

    def _postpone(self, writer: sqlite3.Connection, mine: _Postponement) -> bool:
        """Change all alarms that are asked for by now, in one transaction, unless that was done with an earlier one."""
        if mine.was_there is None:
            waiting = [self._postponements.popleft() for _ in range(len(self._postponements))]
            asked = waiting if mine in waiting else [mine, *waiting]
            results = postpone_all(writer, self._namespace, [(each.key, each.alarm_at, each.to) for each in asked])
            for each, was_there in zip(asked, results, strict=True):
                each.was_there = was_there
        return bool(mine.was_there)

    def _wake(self, _: Future[list[int | Conflict]]) -> None:
        self._wakeups.wake_all()

    def __repr__(self) -> str:
        return f"<SQLiteStore {self.name}, namespace {self._namespace}, {self._news!r}>"


def _nothing(_: sqlite3.Connection) -> None:
    """Only connect."""


def _load(reader: sqlite3.Connection, namespace: str, keys: Sequence[str]) -> list[Stored | None]:
    found = [reader.execute(sql.LOAD, (namespace, key)).fetchone() for key in keys]
    return [None if row is None else Stored(*row) for row in found]


def _answer(answers: Sequence[asyncio.Future[Stored | None]], loaded: asyncio.Future[list[Stored | None]]) -> None:
    """Give each who waits what was loaded of its key, or the error."""
    error = loaded.exception()
    for place, answer in enumerate(answers):
        if answer.done():
            continue
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(loaded.result()[place])


def _read(reader: sqlite3.Connection, namespace: str, key: str, after: int, until: int, max_bytes: int) -> list[Record]:
    records: list[Record] = []
    for version, body in reader.execute(sql.READ, (namespace, key, after, until)):
        max_bytes -= len(body)
        if max_bytes < 0 and records:
            break
        records.append(Record(version, body))
    return records


def _keys(reader: sqlite3.Connection, query: str, values: tuple[object, ...]) -> list[str]:
    return [key for (key,) in reader.execute(query, values)]


def _behind(prefix: str) -> str | bytes:
    """What is greater than all keys that begin with `prefix`, and not greater than any other that is greater."""
    prefix = prefix.rstrip("\U0010ffff")
    if not prefix:
        return b""  # bytes are greater than all text
    last = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(0xE000 if last == 0xD800 else last)  # UTF-8 has no surrogates
