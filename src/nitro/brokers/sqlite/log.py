"""`sqlite:///path`: the log in a file, for several processes on one host, with no server.

There is one writer at a time, so sequences become visible in order. When the reader is woken, and at times when it is
not, it asks for `PRAGMA data_version`, which costs microseconds and changes whenever another connection has committed.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from nitro.brokers.base import Entry, Examination, Extent, LogChanged, Retention, new_epoch
from nitro.brokers.bookmark import Bookmark
from nitro.brokers.sqlite.file import identity_of, is_same_file, path_of, why_refused
from nitro.brokers.sqlite.forks import UNFORKED
from nitro.brokers.sqlite.statements import (
    FORGET,
    NUMBER,
    PRODUCERS,
    READ,
    SCHEMA,
    TABLES,
    begin,
    begin_of,
    empty,
    mend,
)
from nitro.brokers.sqlite.wakeups import Wakeups
from nitro.brokers.sqlite.wal import use_wal
from nitro.brokers.tasks import started_pool
from nitro.errors import ConfigurationError
from nitro.redaction import without_secrets

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["SQLiteLog"]

T = TypeVar("T")

_BUSY_SECONDS: Final = 4.0
"""Shorter than the log broker's timeout, so that the error is SQLite's own, about the lock."""
_TRIMS_EVERY_SECONDS: Final = 1.0
_PAGE_BYTES: Final = 4 * 1024 * 1024
_PRODUCER_SECONDS: Final = 24 * 3600
"""How long the last number of a producer is kept."""


class SQLiteLog:
    """See `base.Log` for what its verbs promise. Entries are acknowledged when they are on disk (`synchronous = FULL`).

    Args:
        url: `sqlite:///relative/path` or `sqlite:////absolute/path`, or a SQLAlchemy URL of a file.
        namespace: separates logs in one file.
        retention: what is retained in the file.
        max_body_bytes: a longer entry is read without its body.
    """

    max_body_bytes: int | None = None

    def __init__(self, url: str, namespace: str, retention: Retention, max_body_bytes: int) -> None:
        self._path = path_of(url)
        self.name: str = without_secrets(url)
        self._namespace = namespace
        self._retention = retention
        self._longest_body = max_body_bytes
        self._epoch = ""
        self._reader: sqlite3.Connection | None = None
        self._writer: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._trimmed_at = 0.0
        self._untrimmed_bytes = 0
        self._bookmark = Bookmark()
        self._read_whole: dict[int, tuple[int]] = {}  # the newest entry read: the file's version, if that had no more
        self._thread = started_pool("nitro-sqlite")
        self._wakeups = Wakeups(self._path, namespace)

    async def open(self) -> Extent:
        await self._in_thread(self._open)
        self._file = identity_of(self._path)
        self._wakeups.listen()
        with UNFORKED:
            self._reader = self._connect()
            self._read_whole = {}  # each connection counts versions for itself
            extent = self._extent(self._reader)
        self._epoch = extent.epoch
        return extent

    async def append(self, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        newest = await self._in_thread(self._append, producer, first, bodies)
        self._wakeups.wake_own()
        return newest

    async def read(self, after: int, limit: int, wait_seconds: float) -> Sequence[Entry]:
        reader = self._reader
        assert reader is not None
        began = time.monotonic()
        version, self._read_whole = self._read_whole.get(after), {}
        while True:
            self._wakeups.clear()
            with UNFORKED:
                now_version = reader.execute("PRAGMA data_version").fetchone()
                if now_version != version:
                    version = now_version
                    entries = self._entries(reader, after, limit)
                    if entries:
                        self._check_identity()
                        self._wakeups.has_read()
                        if len(entries) < limit and not _is_page(entries):
                            self._read_whole = {entries[-1].sequence: version}
                        return entries
                    self._check_bookmark(reader, after)
            left_seconds = began + wait_seconds - time.monotonic()
            if left_seconds <= 0:
                break
            await self._wakeups.wait(left_seconds)
        with UNFORKED:
            extent = self._extent(reader)
            entries = self._entries(reader, after, limit) if extent.newest > after else []
        self._check_identity()
        self._wakeups.listen()
        if extent.epoch != self._epoch or (extent.newest != after and not entries):
            raise LogChanged("it was replaced or emptied")
        return entries

    def append_in(self, connection: Connection, bodies: Sequence[bytes]) -> None:
        from sqlalchemy.exc import DatabaseError

        if connection.dialect.name != "sqlite" or not is_same_file(connection.engine.url.database, self._path):
            raise ConfigurationError(
                f"this session's database is {without_secrets(str(connection.engine.url))}, and the broker's is "
                f"{self.name}: emit with session= needs them to be one; set NITRO_BROKER_URL to the database's URL"
            )
        namespace, run = self._namespace, connection.exec_driver_sql
        try:
            numbered = run(NUMBER, (len(bodies), namespace)).rowcount
        except DatabaseError as error:
            if "no such table" not in str(error.orig):
                raise
            numbered = 0
        if not numbered:  # nothing is in the log yet
            for statement in SCHEMA:
                run(statement)
            begin(run, namespace)
            run(NUMBER, (len(bodies), namespace))
        now, places = time.time(), range(len(bodies) - 1, -1, -1)
        run(
            "INSERT INTO nitro_messages SELECT namespace, sequence - ?, ?, ? FROM nitro_logs WHERE namespace = ?",
            [(behind, now, body, namespace) for behind, body in zip(places, bodies, strict=True)],
        )

    def committed(self) -> None:
        self._wakeups.wake_all()

    async def newest(self) -> int:
        assert self._reader is not None
        with UNFORKED:
            extent = self._extent(self._reader)
        if extent.epoch != self._epoch:
            raise LogChanged("it has another epoch")
        self._wakeups.wake_own()  # the caller is going to wait for it to be read
        return extent.newest

    def why_refused(self, error: Exception) -> str | None:
        return why_refused(self._path, error)

    async def examine(self) -> Examination:
        return Examination("all of them: they are on disk before they are acknowledged")

    async def count_producers(self) -> int:
        assert self._reader is not None
        with UNFORKED:
            (count,) = self._reader.execute(PRODUCERS, (self._namespace,)).fetchone()
        return int(count)

    async def renew(self) -> None:
        await self._in_thread(self._renew)

    async def close(self) -> None:
        self._wakeups.close()
        reader, self._reader = self._reader, None
        if reader is not None:
            with UNFORKED:
                reader.close()
        await self._in_thread(self._close)

    async def _in_thread(self, call: Callable[..., T], *arguments: Any) -> T:
        """Run a call that may wait for the file's lock in the thread, one at a time."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, _unforked, call, *arguments)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _open(self) -> None:
        self._writer = writer = self._connect()
        use_wal(writer, _BUSY_SECONDS)
        if writer.execute(TABLES).fetchone() != (3,):
            for statement in SCHEMA:
                writer.execute(statement)
        with transaction(writer):
            begin(writer.execute, self._namespace)
            mend(writer.execute, self._namespace)

    def _append(self, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        writer, namespace, now = self._writer, self._namespace, time.time()
        assert writer is not None
        with transaction(writer):
            epoch, newest = writer.execute(
                "SELECT epoch, sequence FROM nitro_logs WHERE namespace = ?", (namespace,)
            ).fetchone() or ("", 0)
            if epoch != self._epoch:
                raise LogChanged("it has another epoch")
            found = writer.execute(
                "SELECT number FROM nitro_producers WHERE namespace = ? AND producer = ?", (namespace, producer)
            ).fetchone()
            known = found[0] if found else 0
            new = bodies[max(0, known + 1 - first) :]
            writer.executemany(
                "INSERT INTO nitro_messages VALUES (?, ?, ?, ?)",
                [(namespace, newest + 1 + place, now, body) for place, body in enumerate(new)],
            )
            newest += len(new)
            writer.execute("UPDATE nitro_logs SET sequence = ? WHERE namespace = ?", (newest, namespace))
            writer.execute(
                "INSERT OR REPLACE INTO nitro_producers VALUES (?, ?, ?, ?)",
                (namespace, producer, max(known, first + len(bodies) - 1), now),
            )
            self._trim(writer, newest, now, sum(map(len, new)))
        self._wakeups.wake_all()
        self._check_identity()  # a deleted file must not acknowledge
        return int(newest)

    def _trim(self, writer: sqlite3.Connection, newest: int, now: float, more_bytes: int) -> None:
        """Delete the oldest entries, so many that no append takes long: by number each time, by bytes and age at
        intervals.
        """
        namespace, (max_messages, max_bytes, max_age_seconds) = self._namespace, self._retention
        writer.execute(
            "DELETE FROM nitro_messages WHERE namespace = :namespace AND sequence < "
            "min(:until, (SELECT min(sequence) FROM nitro_messages WHERE namespace = :namespace) + 20000)",
            {"namespace": namespace, "until": newest - max_messages},
        )
        self._untrimmed_bytes += more_bytes
        if now - self._trimmed_at < _TRIMS_EVERY_SECONDS and self._untrimmed_bytes < max_bytes // 16:
            return
        self._trimmed_at, self._untrimmed_bytes = now, 0
        since, oldest = now - max_age_seconds, newest - max_messages  # what is older is trimmed by number
        limits = {"newest": newest, "oldest": oldest, "bytes": max_bytes, "since": since}
        writer.execute(FORGET, {"namespace": namespace, **limits})
        writer.execute("DELETE FROM nitro_producers WHERE at < ?", (now - _PRODUCER_SECONDS,))

    def _renew(self) -> None:
        writer = self._writer
        assert writer is not None
        with transaction(writer):
            changed = writer.execute(
                "UPDATE nitro_logs SET epoch = ?, sequence = 0 WHERE namespace = ? AND epoch = ?",
                (new_epoch(), self._namespace, self._epoch),
            )
            if changed.rowcount:
                empty(writer.execute, self._namespace)

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _entries(self, reader: sqlite3.Connection, after: int, limit: int) -> list[Entry]:
        now = time.time()
        values = (self._longest_body, self._namespace, after, self._epoch, limit)
        entries: list[Entry] = []
        size = 0
        for sequence, at, body in reader.execute(READ, values):
            body = body if isinstance(body, bytes | None) else b""  # SQLite columns hold any type
            size += len(body or b"")
            entries.append(Entry(sequence, body, max(0.0, now - at) if isinstance(at, float) else 0.0))
            if size > _PAGE_BYTES:
                break
        if entries:
            self._check_bookmark(reader, after)
            self._bookmark.move(entries[-1])
        return entries

    def _check_bookmark(self, reader: sqlite3.Connection, after: int) -> None:
        if self._bookmark.is_at(after):
            self._bookmark.check(begin_of(reader, self._namespace, after))

    def _extent(self, reader: sqlite3.Connection) -> Extent:
        epoch, newest, oldest = reader.execute(
            "SELECT epoch, sequence, (SELECT min(sequence) FROM nitro_messages WHERE namespace = nitro_logs.namespace) "
            "FROM nitro_logs WHERE namespace = ?",
            (self._namespace,),
        ).fetchone() or ("", 0, None)
        return Extent(epoch, newest + 1 if oldest is None else oldest, newest)

    def _check_identity(self) -> None:
        if identity_of(self._path) != self._file:
            raise LogChanged("its file was deleted or moved")

    def __repr__(self) -> str:
        return f"<SQLiteLog {self.name}, namespace {self._namespace}, {self._wakeups!r}>"


def _is_page(entries: Sequence[Entry]) -> bool:
    """Whether there may be more behind them for their bytes."""
    return sum(len(each.body or b"") for each in entries) > _PAGE_BYTES


def _unforked(call: Callable[..., T], *arguments: Any) -> T:
    with UNFORKED:
        return call(*arguments)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction, which waits for the file's write lock when it begins."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
