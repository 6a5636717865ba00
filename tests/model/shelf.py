"""A log in memory that several links share, and all that can happen to it: for walks that drive the real code.

`Shelf` is the server, `ShelfLog` a connection to it. Each verb is one step; faults come between them, from the test.
"""

from __future__ import annotations

import asyncio
import copy
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from nitro.brokers.base import Entry, Extent, LogChanged, new_epoch
from nitro.brokers.bookmark import Bookmark

__all__ = ["Book", "Shelf", "ShelfLog"]


@dataclass(slots=True)
class Book:
    """What one server has. `oldest` is the sequence of the first of its entries."""

    epoch: str = field(default_factory=new_epoch)
    oldest: int = 1
    entries: list[tuple[bytes, float]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    is_suspect: bool = False
    """It may not have all that was acknowledged, so the next who opens it begins a new epoch."""
    ended: dict[str, int] | None = None
    """Where a replica has taken over: epochs that have ended, and how far each was known to have come."""

    @property
    def newest(self) -> int:
        return self.oldest + len(self.entries) - 1

    def become(self, other: Book) -> None:
        """Have what the other has."""
        other = copy.deepcopy(other)
        self.epoch, self.oldest, self.entries = other.epoch, other.oldest, other.entries
        self.numbers, self.is_suspect, self.ended = other.numbers, other.is_suspect, other.ended


class Shelf:
    """The server that everybody finds, and its connections.

    Args:
        max_messages: how many entries are kept.
    """

    def __init__(self, max_messages: int = 1_000) -> None:
        self.max_messages = max_messages
        self.lock = threading.RLock()
        self.master = Book()
        self.logs: list[ShelfLog] = []

    def connect(self) -> ShelfLog:
        log = ShelfLog(self)
        self.logs.append(log)
        return log

    @property
    def head(self) -> tuple[str, int] | None:
        """Epoch and sequence of the newest place; None while nobody has opened what may have lost something."""
        with self.lock:
            return None if self.master.is_suspect else (self.master.epoch, self.master.newest)

    def save(self) -> Book:
        with self.lock:
            return copy.deepcopy(self.master)

    def put_back(self, backup: Book) -> None:
        """Under the connections, which notice nothing by themselves."""
        with self.lock:
            self.master.become(backup)
        self.tell()

    def forget(self, has: int) -> None:
        """The server stops, and starts with so many of its entries."""
        with self.lock:
            del self.master.entries[has:]
            self.master.is_suspect = True
            for log in self.logs:
                log.cut()

    def take_over(self, has: int) -> None:
        """A replica takes over that has so many of the entries; who is connected to the old master stays so."""
        with self.lock:
            self.master = copy.deepcopy(self.master)
            del self.master.entries[has:]
            self.master.is_suspect = True
            self.master.ended = self.master.ended or {}

    def tell(self) -> None:
        """Something changed."""
        for log in self.logs:
            log.wake()


class ShelfLog:
    """See `base.Log` for what its verbs promise.

    Attributes:
        is_paused: its reads wait.
        loses_answer: the next append is done, and then the connection is cut.
        stays_away: it can't be opened then.
        is_refused: it can't be opened.
    """

    name = "shelf://"
    max_body_bytes: int | None = None

    def __init__(self, shelf: Shelf) -> None:
        self.is_paused = False
        self.loses_answer = False
        self.stays_away = False
        self.is_refused = False
        self._shelf = shelf
        self._book: Book | None = None
        self._epoch = ""
        self._seen = 0
        self._bookmark = Bookmark()
        self._news: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def cut(self) -> None:
        """End the connection; what is asked of it fails."""
        self._book = None
        self.wake()

    def wake(self) -> None:
        if self._loop is not None and self._news is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)

    async def open(self) -> Extent:
        self._loop, self._news = asyncio.get_running_loop(), asyncio.Event()
        with self._shelf.lock:
            if self.is_refused:
                raise ConnectionRefusedError("it is not there")
            self._book = book = self._shelf.master
            comes_from, ended = self._epoch not in ("", book.epoch), book.ended
            has_lived_on = comes_from and ended is not None and self._seen > ended.get(self._epoch, -1)
            if book.is_suspect or has_lived_on:
                if ended is not None:
                    ended = {**ended, book.epoch: book.newest}
                    ended[self._epoch] = max(self._seen, ended.get(self._epoch, -1))
                book.become(Book(ended=ended))
            if book.epoch != self._epoch:
                self._epoch, self._seen = book.epoch, 0
            return Extent(book.epoch, book.oldest, book.newest)

    async def append(self, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        with self._shelf.lock:
            book = self._connected()
            new = bodies[max(0, book.numbers.get(producer, 0) + 1 - first) :]
            book.entries += [(body, time.monotonic()) for body in new]
            book.numbers[producer] = first + len(bodies) - 1
            while len(book.entries) > self._shelf.max_messages + 1:  # by which the oldest place is known
                del book.entries[0]
                book.oldest += 1
            newest = self._seen = book.newest
            if self.loses_answer:
                self.loses_answer, self.is_refused = False, self.stays_away
                self.cut()
        self._shelf.tell()
        self._check_connection()
        return newest

    async def read(self, after: int, limit: int, wait_seconds: float) -> Sequence[Entry]:
        assert self._news is not None
        until = time.monotonic() + wait_seconds
        while True:
            self._news.clear()
            if not self.is_paused or not wait_seconds:
                entries = self._read(after, limit)
                if entries or time.monotonic() >= until:
                    return entries
            with self._shelf.lock:
                self._check_connection()
            try:
                async with asyncio.timeout(max(0.001, until - time.monotonic())):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def newest(self) -> int:
        with self._shelf.lock:
            return self._connected().newest

    async def renew(self) -> None:
        with self._shelf.lock:
            self._check_connection()
            book = self._book
            assert book is not None
            if book.epoch == self._epoch:
                book.become(Book())
        self._shelf.tell()

    async def close(self) -> None:
        self._book = None

    def _read(self, after: int, limit: int) -> list[Entry]:
        with self._shelf.lock:
            book = self._connected()
            if book.newest < after:
                raise LogChanged("it was put back to an earlier state")
            if self._bookmark.is_at(after) and after >= book.oldest:
                self._bookmark.check(book.entries[after - book.oldest][0][:9])
            start, now = max(0, after + 1 - book.oldest), time.monotonic()
            entries = [
                Entry(book.oldest + start + place, body, now - came)
                for place, (body, came) in enumerate(book.entries[start : start + limit])
            ]
            if entries:
                self._bookmark.move(entries[-1])
                self._seen = max(self._seen, entries[-1].sequence)
            return entries

    def _connected(self) -> Book:
        self._check_connection()
        assert self._book is not None
        if self._book.epoch != self._epoch or self._book.is_suspect:
            raise LogChanged("it has another epoch")
        return self._book

    def _check_connection(self) -> None:
        if self._book is None or self.is_refused:
            raise ConnectionResetError("the connection was cut")

    def __repr__(self) -> str:
        return f"<ShelfLog of {self._epoch}>"
