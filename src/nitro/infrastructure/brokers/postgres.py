"""`postgresql://`: the log in a table, for several hosts, and for events in the same transaction as the data.

The table is the truth, and NOTIFY only wakes. Whoever appends locks the row of its log until it commits, so sequences
become visible in their order. What an application emits in a transaction of its own waits in an outbox, without a
number, until that is committed; whoever appends next moves it into the log first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from sqlalchemy import Connection, text

from nitro.domain.message import Position
from nitro.errors import ConfigurationError
from nitro.infrastructure.brokers import postgres_sql as sql
from nitro.infrastructure.brokers.base import Entry, Extent, LogChanged, Retention, new_epoch
from nitro.infrastructure.brokers.dsn import target_of
from nitro.infrastructure.brokers.options import without_secrets

__all__ = ["PostgresLog"]

OUTBOX: Final = "outbox"
"""What a NOTIFY says when something waits in the outbox; every other text is a mere wake-up."""

_REMEDIES: Final = {
    "28": "correct user, password or host in NITRO_BROKER_URL, or the server's pg_hba.conf",
    "3D": "make the database, or correct its name in NITRO_BROKER_URL",
    "3F": "make the schema, or correct the role's search_path",
    "42501": "give the role its rights, by the SQL in docs/scaling.md",
    "42704": "leave that option out of NITRO_BROKER_URL",
    "22023": "correct that option in NITRO_BROKER_URL",
    "42601": "take PostgreSQL 13 or newer, or what behaves like it",
}
"""Class or code of an error that stays → what to do."""
_UNTOLD: Final = "unknown"
"""The timeline of a server that doesn't tell it, as the row has it."""
_NEVER_TOLD: Final = (
    asyncpg.UndefinedFunctionError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.FeatureNotSupportedError,
)
"""A server that answers so has no timelines, or keeps them from us; every other error may pass."""
_TRIMS_EVERY_SECONDS: Final = 1.0
_PAGE_BYTES: Final = 4 * 1024 * 1024


class PostgresLog:
    """See `base.Log` for what its verbs promise. Acknowledged is what is committed.

    Args:
        url: `postgresql://user:password@host:5432/database`, as libpq or SQLAlchemy takes it, with any driver's name
            and options; see `dsn`. Through PgBouncer only in session mode: LISTEN needs one connection.
        namespace: whose log, of those in the database.
        retention: what is kept in the table.
        max_body_bytes: a longer entry is not read.
    """

    max_body_bytes: int | None = None

    def __init__(self, url: str, namespace: str, retention: Retention, max_body_bytes: int) -> None:
        self.name = without_secrets(url)
        self._target = target_of(url)
        self._namespace = namespace
        self._channel = f"nitro_{namespace}"
        self._retention = retention
        self._longest_body = max_body_bytes
        self._epoch = ""
        self._reader: Any = None
        self._writer: Any = None
        self._news = asyncio.Event()
        self._has_outbox = False
        self._has_tables = False
        self._trimmed_at = 0.0
        self._untrimmed_bytes = 0

    async def open(self) -> Extent:
        self._writer = writer = await self._connect()
        self._reader = reader = await self._connect()
        for connection in (writer, reader):  # not as they connect: PgBouncer would refuse it
            await connection.execute("SET default_transaction_isolation = 'read committed'")
        await writer.execute(sql.DURABLE)
        await self._make(writer)
        await self._find(writer)
        await reader.add_listener(self._channel, self._wake)
        self._has_outbox = True  # something may wait since before
        extent = await self._extent(writer)
        self._epoch = extent.epoch
        return extent

    async def append(self, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        newest = await self._append(self._writer, producer, first, bodies)
        await self._trim(sum(map(len, bodies)))
        return newest

    async def read(self, after: int, limit: int, wait_seconds: float) -> Sequence[Entry]:
        deadline = time.monotonic() + wait_seconds
        while True:
            self._news.clear()
            if self._has_outbox:
                self._has_outbox = False
                await self._append(self._reader, "", 0, ())
            entries = await self._entries(after, limit)
            if entries:
                return entries
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await self._news.wait()
            except TimeoutError:
                break
        extent = await self._extent(self._reader)
        if extent.newest > after:
            entries = await self._entries(after, limit)
        if extent.epoch != self._epoch or (extent.newest != after and not entries):
            raise LogChanged("it is another one, or was emptied")
        self._has_outbox = True  # in case that a notification was lost
        return entries

    def append_in(self, connection: Connection, body: bytes) -> None:
        if connection.dialect.name != "postgresql":
            raise ConfigurationError(
                f"this session's database is a {connection.dialect.name}, and the broker is {self.name}; emit with "
                f"session= needs the broker in the session's own database"
            )
        if not self._has_tables:
            if connection.scalar(text("SELECT to_regclass('nitro_outbox')")) is None:
                raise ConfigurationError(
                    f"the session's database has no nitro_outbox. If {self.name} is this database, make its tables "
                    f"first, by nitro.connect_broker() when the application starts, or by the SQL in docs/scaling.md"
                )
            self._has_tables = True
        values = {"namespace": self._namespace, "body": body, "channel": self._channel, "outbox": OUTBOX}
        connection.execute(text("INSERT INTO nitro_outbox (namespace, body) VALUES (:namespace, :body)"), values)
        connection.execute(text("SELECT pg_notify(:channel, :outbox)"), values)

    async def newest(self) -> int:
        return await self._append(self._writer, "", 0, ())

    def why_refused(self, error: Exception) -> str | None:
        if isinstance(error, asyncpg.PostgresError):
            code = error.sqlstate or ""
            remedy = _REMEDIES.get(code) or _REMEDIES.get(code[:2])
            if "startup parameter" in str(error):  # PgBouncer has one code for this and for much that passes
                remedy = "leave it out of NITRO_BROKER_URL, or name it in PgBouncer's ignore_startup_parameters"
            return remedy and f"the server says: {error}. So {remedy}"
        if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
            return f"{error}. Correct NITRO_BROKER_URL"
        if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
            return "the server has no TLS, and NITRO_BROKER_URL wants it (sslmode); turn it on there, or off here"
        return None

    async def renew(self) -> None:
        async with self._writer.transaction():
            await self._begin_epoch(self._writer, self._epoch)

    async def close(self) -> None:
        connections = (self._reader, self._writer)
        self._reader = self._writer = None
        for connection in connections:
            if connection is not None:
                connection.terminate()  # whatever it is at: a polite end would wait for that

    async def _connect(self) -> Any:
        return await asyncpg.connect(self._target.url, **self._target.arguments)

    async def _make(self, writer: Any) -> None:
        """Make what is missing. Where that is a table, all logs begin anew: nobody knows what was in it."""
        if all(await writer.fetchrow(sql.EXISTS)):
            return
        async with writer.transaction():
            await writer.execute(sql.ALONE)  # two may want to make it
            has_tables, _ = await writer.fetchrow(sql.EXISTS)
            await writer.execute(sql.SCHEMA)
            if not has_tables:
                await writer.execute(sql.DISOWN)

    async def _find(self, writer: Any) -> None:
        """Find the row of the log, or make it; and begin a new epoch if it is new, or says what can't be, or another
        server has taken over.

        Whoever comes second waits for the row, and then finds what the first has made of it.
        The row has the timeline of the server that was last known to have it, and only another one that is known begins
        an epoch: a server that doesn't tell its timeline neither begins one nor makes the row forget the last.
        """
        async with writer.transaction():
            timeline, is_same_on_all = await self._server(writer)
            await writer.execute(sql.MAKE, self._namespace, timeline)
            epoch, newest, known = await writer.fetchrow(sql.FIND, self._namespace)
            is_taken_over = _UNTOLD not in (timeline, known) and timeline != known and not is_same_on_all
            if timeline not in (known, _UNTOLD):
                await writer.execute(sql.MOVE, self._namespace, timeline)
            if is_taken_over or not _is_sound(epoch, newest, *await writer.fetchrow(sql.ENDS, self._namespace)):
                await self._begin_epoch(writer, epoch)

    async def _begin_epoch(self, writer: Any, old: str) -> None:
        """Empty the log, if it has that epoch still. What waits in the outbox comes into the new one."""
        if await writer.fetchval(sql.RENEW, self._namespace, old, new_epoch()):
            for statement in sql.EMPTY:
                await writer.execute(statement, self._namespace)

    async def _server(self, connection: Any) -> tuple[str, bool]:
        """The server's timeline, which another one gets that takes over; and whether that one has everything.

        Raises:
            asyncpg.PostgresError: it can't tell now; a standby says so (55000) until it is promoted.
        """
        try:
            async with connection.transaction():
                timeline, is_same_on_all = await connection.fetchrow(sql.SERVER)
        except _NEVER_TOLD:
            return _UNTOLD, False
        return timeline, is_same_on_all

    async def _append(self, connection: Any, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        newest: int | None = await connection.fetchval(
            "SELECT nitro_append($1, $2, $3, $4, $5, $6)",
            *(self._namespace, self._epoch, producer, first, bodies, self._retention.max_messages),
        )
        if newest is None:
            raise LogChanged("it has another epoch")
        return newest

    async def _trim(self, more_bytes: int) -> None:
        """Forget by bytes and age, now and then; by number each append does it."""
        self._untrimmed_bytes += more_bytes
        now = time.monotonic()
        _, max_bytes, max_age_seconds = self._retention
        if now - self._trimmed_at > _TRIMS_EVERY_SECONDS or self._untrimmed_bytes > max_bytes // 16:
            self._trimmed_at, self._untrimmed_bytes = now, 0
            await self._writer.execute(sql.FORGET, self._namespace, max_bytes, max_age_seconds)
            await self._writer.execute(sql.FORGET_PRODUCERS)

    async def _entries(self, after: int, limit: int) -> list[Entry]:
        limits = (limit, self._longest_body, _PAGE_BYTES)
        rows = await self._reader.fetch(sql.READ, self._namespace, after, *limits, self._epoch)
        return [Entry(sequence, body, max(0.0, age)) for sequence, body, age in rows]

    async def _extent(self, connection: Any) -> Extent:
        epoch, newest, oldest = await connection.fetchrow(sql.EXTENT, self._namespace) or ("", 0, None)
        return Extent(epoch, newest + 1 if oldest is None else oldest, newest)

    def _wake(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._has_outbox = self._has_outbox or payload == OUTBOX
        self._news.set()

    def __repr__(self) -> str:
        return f"<PostgresLog {self.name}, namespace {self._namespace}>"


def _is_sound(epoch: str, newest: int, first: int | None, last: int | None) -> bool:
    """Whether a row can say that, beside messages from `first` to `last`. A new row has no epoch yet."""
    place = Position(epoch, newest)
    return Position.parse(str(place)) == place and (first is None or (first >= 1 and last == newest))
