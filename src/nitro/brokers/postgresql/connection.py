"""A log's connection to PostgreSQL, which may have a different session in each transaction.

A pooler in transaction mode does that, and can't be detected directly. So a connection sets and prepares nothing that
outlasts a transaction, until `hears` has shown that it keeps its session.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import asyncpg

from nitro.brokers.postgresql import statements as sql
from nitro.brokers.postgresql.dsn import Target

__all__ = ["LogConnection", "connection_to", "hears", "why_refused"]

_REMEDIES: Final = {
    "28": "correct user, password or host in NITRO_BROKER_URL, or the server's pg_hba.conf",
    "3D": "make the database, or correct its name in NITRO_BROKER_URL",
    "3F": "make the schema, or correct the role's search_path",
    "42501": "give the role its rights, by the SQL in https://nitro-realtime.github.io/nitro/how-to/scaling/",
    "42704": "leave that option out of NITRO_BROKER_URL",
    "22023": "correct that option in NITRO_BROKER_URL",
    "42601": "take PostgreSQL 13 or newer, or what behaves like it",
}
"""Class or code of a permanent error → remedy."""
_CLOSES_WITHIN_SECONDS: Final = 2.0
_ANSWERS: Final = 10
"""As many times what the server takes for an answer may the test notification take, but at most `_LONGEST_SECONDS`."""
_LONGEST_SECONDS: Final = 2.0
_ENDED: Final = (
    "the idle connection was closed by the server (an administrator, idle_session_timeout), a pooler or a firewall; "
    "the server's own log may say why"
)


class LogConnection:
    """An asyncpg connection, and what is known of its session. Used by one coroutine at a time.

    Args:
        connection: one without a statement cache.
        target: what it is connected to.
    """

    def __init__(self, connection: Any, target: Target) -> None:
        self.connection: Any = connection
        self._target = target
        self._is_plain = self._is_kept = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A read-committed transaction that is durable once committed, whatever the role's settings are.

        The server ends it if nothing comes for 5 seconds, as its locks keep others waiting.

        Raises:
            ConnectionError: the connection had been closed before its first or last statement.
        """
        with self._tells_of_end(), self._ends_when_given_up():
            transaction = self.connection.transaction(isolation="read_committed")
            await transaction.start()
            try:
                await self.connection.execute(sql.SETTINGS, True)
                yield
            except asyncio.CancelledError:
                raise
            except BaseException:
                await transaction.rollback()
                raise
            await transaction.commit()

    async def look(self) -> None:
        """Find out whether a single statement is such a transaction by default."""
        self._is_plain = await self.connection.fetchval(sql.IS_PLAIN)

    async def keep(self) -> None:
        """Reconnect with a statement cache and session settings, as the connection keeps its session.

        Without a cache, asyncpg takes twice as long for each statement.
        """
        await self.connection.close(timeout=_CLOSES_WITHIN_SECONDS)
        self.connection = await asyncpg.connect(self._target.url, **self._target.arguments)
        await self.connection.execute(sql.ISOLATED)
        await self.connection.execute(sql.SETTINGS, False)
        self._is_plain = self._is_kept = True

    async def run(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement in a `transaction` of its own; returns its rows."""
        if self._is_plain:
            return await self.read(statement, *values)
        async with self.transaction():
            return await self.read(statement, *values)

    async def read(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement that takes no lock and changes nothing, or is in a transaction; returns its rows.

        Raises:
            ConnectionError: the connection had been closed before.
        """
        with self._tells_of_end(), self._ends_when_given_up():
            return await self.connection.fetch(statement, *values)  # type: ignore[no-any-return]

    @contextmanager
    def _tells_of_end(self) -> Iterator[None]:
        """asyncpg can't handle what the server sends to an idle connection, and raises this at the next statement."""
        try:
            yield
        except (asyncpg.InternalClientError, asyncpg.InterfaceError) as error:
            if self.connection.is_closed() or str(error).startswith("cannot switch to state"):
                raise ConnectionError(_ENDED) from error
            raise

    @contextmanager
    def _ends_when_given_up(self) -> Iterator[None]:
        """A statement that is given up ends with its connection, before asyncpg connects again to cancel it. PgBouncer
        1.18 may end for everybody when such a client goes too soon. The server gives up by itself to wait for a lock.
        """
        try:
            yield
        except asyncio.CancelledError:
            self.connection.terminate()
            raise

    def __repr__(self) -> str:
        return f"<LogConnection {'in one session' if self._is_kept else 'in any session'}>"


async def connection_to(target: Target) -> LogConnection:
    """Connect.

    Raises:
        asyncpg.PostgresError, OSError, TimeoutError: from asyncpg.
    """
    return LogConnection(await asyncpg.connect(target.url, **target.arguments | {"statement_cache_size": 0}), target)


async def hears(line: LogConnection, other: LogConnection, within_seconds: float) -> bool:
    """Whether notifications reach `line` while it is idle, and so whether it keeps its session.

    A pooler in transaction mode accepts LISTEN, but drops notifications between transactions. A server that takes long
    to answer gets more than `within_seconds`.
    """
    channel = f"nitro_{secrets.token_hex(16)}"  # not the log's: in a pooled session, its LISTEN would remain
    heard = asyncio.Event()

    def hear(*_: object) -> None:
        heard.set()

    began = time.monotonic()
    await line.connection.add_listener(channel, hear)
    await other.connection.execute(sql.NOTIFY, channel)
    answer_seconds = (time.monotonic() - began) / 2
    try:
        async with asyncio.timeout(max(within_seconds, min(_ANSWERS * answer_seconds, _LONGEST_SECONDS))):
            await heard.wait()
    except TimeoutError:
        pass
    await line.connection.remove_listener(channel, hear)
    return heard.is_set()


def why_refused(error: Exception) -> str | None:
    """What is wrong and the remedy, if this error of the driver is permanent; else None."""
    if isinstance(error, asyncpg.PostgresError):
        code = error.sqlstate or ""
        remedy = _REMEDIES.get(code) or _REMEDIES.get(code[:2])
        if "startup parameter" in str(error):  # PgBouncer uses one code for this and for transient errors
            remedy = "remove it from NITRO_BROKER_URL, or add it to PgBouncer's ignore_startup_parameters"
        return remedy and f"the server says: {error}. So {remedy}"
    if isinstance(error, asyncpg.exceptions.ClientConfigurationError):
        return f"{error}. Correct NITRO_BROKER_URL"
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return "the server has no TLS, and NITRO_BROKER_URL requires it (sslmode); enable it there, or disable it here"
    return None
