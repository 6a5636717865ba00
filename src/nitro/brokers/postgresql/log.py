"""`postgresql://`: the log in a table, for several hosts, and for events in the same transaction as the data.

The table is authoritative; NOTIFY only wakes readers. An append locks the log's row until it commits, so sequences
become visible in order. An event emitted in an application's transaction is inserted into an outbox table, without a
sequence; after its commit, the next append moves it into the log first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from sqlalchemy import Connection, TwoPhaseTransaction, text

from nitro.brokers.base import Entry, Examination, Extent, LogChanged, Retention, new_epoch
from nitro.brokers.bookmark import Bookmark
from nitro.brokers.codec import STAMP_BYTES
from nitro.brokers.postgresql import statements as sql
from nitro.brokers.postgresql.connection import LogConnection, connection_to, hears, why_refused
from nitro.brokers.postgresql.dsn import target_of
from nitro.errors import ConfigurationError
from nitro.messages.message import Position
from nitro.redaction import without_secrets

__all__ = ["PostgresLog"]

log: Final = logging.getLogger("nitro.brokers")

_FSYNC: Final = "set fsync = on in postgresql.conf"
_LOGGED: Final = "ALTER TABLE nitro_messages SET LOGGED"
OUTBOX: Final = "outbox"
"""Payload of a NOTIFY when the outbox has rows; any other payload only wakes readers."""

_UNKNOWN: Final = "unknown"
"""Stored in the row as the timeline of a server that doesn't report it."""
_NEVER_ANSWERED: Final = (
    asyncpg.UndefinedFunctionError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.FeatureNotSupportedError,
)
"""Errors of a server that has no timelines or doesn't show them; others may be transient."""
_TRIMS_EVERY_SECONDS: Final = 1.0
_NOTIFIED_WITHIN_SECONDS: Final = (0.1, 1.0)
"""Timeout for the test notification: if the last one did not arrive, and if it did."""
_LOOKS_SOON_SECONDS: Final = 0.05
_LOOKS_LATER_SECONDS: Final = 0.25
_LATER_AFTER_SECONDS: Final = 1.0
"""Without notifications, an idle log is polled less often."""
_PAGE_BYTES: Final = 4 * 1024 * 1024


class PostgresLog:
    """See `base.Log` for what its verbs promise. Entries are acknowledged when they are committed.

    Args:
        url: `postgresql://user:password@host:5432/database`, as for libpq or SQLAlchemy, with any driver's name and
            options; see `dsn`. Through a pooler in transaction mode, where no notifications arrive, the table is
            polled.
        namespace: separates logs in one database.
        retention: what is retained in the table.
        max_body_bytes: a longer entry is read without its body.
    """

    max_body_bytes: int | None = None

    def __init__(self, url: str, namespace: str, retention: Retention, max_body_bytes: int) -> None:
        self.name: str = without_secrets(url)
        self._target = target_of(url)
        self._namespace = namespace
        self._channel = f"nitro_{namespace}"
        self._retention = retention
        self._longest_body = max_body_bytes
        self._epoch = ""
        self._reader: Any = None
        self._writer: Any = None
        self._is_notified = True
        self._has_warned = False
        self._quiet_since = 0.0
        self._news = asyncio.Event()
        self._bookmark = Bookmark()
        self._has_outbox = False
        self._has_tables = False
        self._trimmed_at = 0.0
        self._untrimmed_bytes = 0

    async def open(self) -> Extent:
        self._writer = writer = await connection_to(self._target)
        self._reader = reader = await connection_to(self._target)
        await self._make(writer)
        await self._find(writer)
        self._is_notified = await hears(reader, writer, _NOTIFIED_WITHIN_SECONDS[self._is_notified])
        if self._is_notified:
            await writer.keep()
            await reader.keep()
            await reader.connection.add_listener(self._channel, self._wake)
        else:
            await writer.look()
            await reader.look()
            self._warn_that_it_polls()
        self._has_outbox = True  # it may have rows from before
        extent = await self._extent(writer)
        self._epoch = extent.epoch
        return extent

    async def append(self, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        newest = await self._append(self._writer, producer, first, bodies)
        if not self._is_notified:
            self._news.set()
        await self._trim(newest, sum(map(len, bodies)))
        return newest

    async def read(self, after: int, limit: int, wait_seconds: float) -> Sequence[Entry]:
        deadline = time.monotonic() + wait_seconds
        while True:
            self._news.clear()
            if self._has_outbox or not self._is_notified:
                self._has_outbox = False
                await self._append(self._reader, "", 0, ())
            entries = await self._entries(after, limit)
            now = time.monotonic()
            if entries:
                self._quiet_since = now
                return entries
            if now >= deadline:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(deadline - now, self._looks_after_seconds(now))):
                    await self._news.wait()
        extent = await self._extent(self._reader, after)
        if extent.newest > after:
            entries = await self._entries(after, limit)
        if extent.epoch != self._epoch or (extent.newest != after and not entries):
            raise LogChanged("it was replaced or emptied")
        self._has_outbox = True  # in case a notification was lost
        return entries

    def append_in(self, connection: Connection, bodies: Sequence[bytes]) -> None:
        if connection.dialect.name != "postgresql":
            raise ConfigurationError(
                f"this session's database is a {connection.dialect.name}, and the broker is {self.name}; emit with "
                f"session= needs the broker in the session's own database"
            )
        if isinstance(connection.get_transaction(), TwoPhaseTransaction):
            raise ConfigurationError(
                "PostgreSQL sends no notification from a transaction that is prepared, so emit with session= can't be "
                "in a session with twophase=True; give it a session without, or emit after the commit, without session="
            )
        if not self._has_tables:
            if connection.scalar(text("SELECT to_regclass('nitro_outbox')")) is None:
                raise ConfigurationError(
                    f"the session's database has no nitro_outbox. If {self.name} is this database, make its "
                    "tables first, by nitro.connect_broker() when the application starts, or by the SQL in "
                    "https://nitro-realtime.github.io/nitro/how-to/scaling/"
                )
            self._has_tables = True
        rows = [{"namespace": self._namespace, "body": body} for body in bodies]
        connection.execute(text("INSERT INTO nitro_outbox (namespace, body) VALUES (:namespace, :body)"), rows)
        connection.execute(text("SELECT pg_notify(:channel, :outbox)"), {"channel": self._channel, "outbox": OUTBOX})

    async def newest(self) -> int:
        newest = await self._append(self._writer, "", 0, ())
        if not self._is_notified:
            self._news.set()  # the caller is going to wait for it to be read
        return newest

    def why_refused(self, error: Exception) -> str | None:
        return why_refused(error)

    async def examine(self) -> Examination:
        assert self._writer is not None
        asked_at = time.time()
        fsync, persistence, now = await self._writer.connection.fetchrow(sql.EXAMINE)
        weaknesses = []
        if fsync == "off":
            weaknesses.append(
                ("PostgreSQL has fsync = off, so a crash of its host may lose and damage anything", _FSYNC)
            )
        if persistence == "u":
            weaknesses.append(("the log's table is UNLOGGED, so a crash of PostgreSQL empties it", _LOGGED))
        survives = "not all" if weaknesses else "all of them: they are on disk before they are acknowledged"
        return Examination(survives, weaknesses, float(now) - (asked_at + time.time()) / 2)

    async def count_producers(self) -> int:
        assert self._writer is not None
        return int(await self._writer.connection.fetchval(sql.COUNT_PRODUCERS, self._namespace))

    async def renew(self) -> None:
        async with self._writer.transaction():
            await self._begin_epoch(self._writer, self._epoch)

    async def close(self) -> None:
        lines = (self._reader, self._writer)
        self._reader = self._writer = None
        for line in lines:
            if line is not None:
                line.connection.terminate()  # `close` would wait for a running statement

    async def _make(self, writer: LogConnection) -> None:
        """Create missing tables and the function. If a table was missing, all logs restart: its rows are unknown."""
        if all(await writer.connection.fetchrow(sql.EXISTS)):
            return
        async with writer.transaction():
            await writer.connection.execute(sql.ALONE)  # one process at a time
            has_tables, _ = await writer.connection.fetchrow(sql.EXISTS)
            await writer.connection.execute(sql.SCHEMA)
            if not has_tables:
                await writer.connection.execute(sql.DISOWN)

    async def _find(self, writer: LogConnection) -> None:
        """Find or create the log's row; begin a new epoch if it is new or inconsistent, or another server took over.

        The row is locked, so that a second process waits, and finds the first one's result.
        The row has the last known timeline of its server. Only a different known timeline begins an epoch; a server
        that doesn't report its timeline neither begins one nor changes the row's.
        """
        async with writer.transaction():
            timeline, is_same_on_all = await self._server(writer)
            await writer.connection.execute(sql.MAKE, self._namespace, timeline)
            epoch, newest, known = await writer.connection.fetchrow(sql.FIND, self._namespace)
            is_taken_over = _UNKNOWN not in (timeline, known) and timeline != known and not is_same_on_all
            if timeline not in (known, _UNKNOWN):
                await writer.connection.execute(sql.MOVE, self._namespace, timeline)
            if is_taken_over or not _is_sound(
                epoch, newest, *await writer.connection.fetchrow(sql.ENDS, self._namespace)
            ):
                await self._begin_epoch(writer, epoch)

    async def _begin_epoch(self, writer: LogConnection, old: str) -> None:
        """Begin a new, empty epoch, if the current one is `old`. Rows in the outbox go to the new one."""
        if await writer.connection.fetchval(sql.RENEW, self._namespace, old, new_epoch()):
            for statement in sql.EMPTY:
                await writer.connection.execute(statement, self._namespace)

    async def _server(self, line: LogConnection) -> tuple[str, bool]:
        """The server's timeline, which changes at a failover; and whether a standby has everything then.

        Raises:
            asyncpg.PostgresError: it is unknown now; a standby raises 55000 until it is promoted.
        """
        try:
            async with line.connection.transaction():
                timeline, is_same_on_all = await line.connection.fetchrow(sql.SERVER)
        except _NEVER_ANSWERED:
            return _UNKNOWN, False
        return timeline, is_same_on_all

    async def _append(self, line: LogConnection, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        values = (self._namespace, self._epoch, producer, first, bodies, self._retention.max_messages)
        ((newest,),) = await line.run(sql.APPEND, *values)
        if newest is None:
            raise LogChanged("it has another epoch")
        return int(newest)

    async def _trim(self, newest: int, more_bytes: int) -> None:
        """Delete the oldest entries by bytes and age, at intervals; each append does so by number."""
        self._untrimmed_bytes += more_bytes
        now = time.monotonic()
        max_messages, max_bytes, max_age_seconds = self._retention
        if now - self._trimmed_at > _TRIMS_EVERY_SECONDS or self._untrimmed_bytes > max_bytes // 16:
            self._trimmed_at, self._untrimmed_bytes = now, 0
            oldest = newest - max_messages  # what is older is trimmed by number
            await self._writer.run(sql.FORGET, self._namespace, max_bytes, max_age_seconds, oldest)
            await self._writer.run(sql.FORGET_PRODUCERS)

    async def _entries(self, after: int, limit: int) -> list[Entry]:
        limits = (limit, self._longest_body, _PAGE_BYTES)
        rows = await self._reader.read(sql.READ, self._namespace, after, *limits, self._epoch, STAMP_BYTES)
        if not rows:
            return []
        self._check_bookmark(after, rows[0][3])
        entries = [Entry(sequence, body, max(0.0, age)) for sequence, body, age, _ in rows]
        self._bookmark.move(entries[-1])
        return entries

    async def _extent(self, line: LogConnection, after: int | None = None) -> Extent:
        rows = await line.read(sql.EXTENT, self._namespace, after, STAMP_BYTES)
        epoch, newest, oldest, begin = rows[0] if rows else ("", 0, None, None)
        if after is not None and newest == after:
            self._check_bookmark(after, begin)
        return Extent(epoch, newest + 1 if oldest is None else oldest, newest)

    def _check_bookmark(self, after: int, begin: bytes | None) -> None:
        if self._bookmark.is_at(after):
            self._bookmark.check(begin)

    def _wake(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._has_outbox = self._has_outbox or payload == OUTBOX
        self._news.set()

    def _looks_after_seconds(self, now: float) -> float:
        """Seconds until the next poll; infinite if there are notifications."""
        if self._is_notified:
            return math.inf
        return _LOOKS_LATER_SECONDS if now - self._quiet_since > _LATER_AFTER_SECONDS else _LOOKS_SOON_SECONDS

    def _warn_that_it_polls(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "%s brings no notifications, as with a pooler in transaction mode. Nitro polls the log every %d to %d "
                "ms instead. To avoid that delay, set NITRO_BROKER_URL to the server itself or a pool in session mode",
                *(self.name, 1000 * _LOOKS_SOON_SECONDS, 1000 * _LOOKS_LATER_SECONDS),
            )

    def __repr__(self) -> str:
        return f"<PostgresLog {self.name}, namespace {self._namespace}>"


def _is_sound(epoch: str, newest: int, first: int | None, last: int | None) -> bool:
    """Whether a row is consistent with entries from `first` to `last`. A new row has no epoch yet, and is not."""
    place = Position(epoch, newest)
    return Position.parse(str(place)) == place and (first is None or (first >= 1 and last == newest))
