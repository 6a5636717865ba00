"""`Database`: a SQLAlchemy engine, created at first use, with sessions that are safe in threads and across forks.

SQLite writes one transaction at a time. Within a process, writers wait for a lock, fairly and without polling; between
processes, `BEGIN IMMEDIATE` and SQLite's busy timeout do the same. Readers of a file never wait, since its journal is a
write-ahead log. Those of a database in memory take turns with the writers.
"""

from __future__ import annotations

import os
import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock, RLock
from typing import Any

from pydantic import SecretStr
from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlmodel import Session

from nitro.brokers.sqlite.wal import use_wal
from nitro.entities.exact_decimal import give_collation
from nitro.errors import ConfigurationError
from nitro.redaction import ENCODE, without_secrets
from nitro.repository.memory import is_in_memory, share_memory
from nitro.repository.open_transactions import WRITING, OpenTransactions
from nitro.settings import get_settings

__all__ = ["CASEFOLD", "Database"]

CASEFOLD = "nitro_casefold"  # a SQL function on SQLite's connections, whose own lower() knows ASCII only
BUSY_SECONDS = 30.0
POOL_CONNECTIONS = 40  # as many as Starlette's thread pool has threads
_AMBIGUOUS = re.compile(r"(?!sqlite)[\w+]+://([^:/]*(?::[^@]*)?@)?+(?(1)|(?=[^/?]))[^@]*@")
"""An `@` after what SQLAlchemy parses as user and password, or after the host if there are none."""


class Database:
    """The database at `url`, or at the `NITRO_DB_URL` setting, read at first use.

    Nothing is opened before the first session. A forked child opens its own connections and leaves its parent's alone;
    for a database in memory it gets a new, empty one.
    """

    def __init__(self, url: str | SecretStr | URL | None = None) -> None:
        if isinstance(url, URL):
            url = url.render_as_string(hide_password=False)
        self._url = url.get_secret_value() if isinstance(url, SecretStr) else url
        self._engine: Engine | None = None
        self._opening = Lock()
        self._writers: AbstractContextManager[Any] = nullcontext()
        self._transactions: OpenTransactions | None = None
        self._is_in_memory = False
        self._inherited: list[object] = []

    @property
    def engine(self) -> Engine:
        """The engine; raises `ConfigurationError` for a URL that SQLAlchemy can't use."""
        return self._engine or self._open()

    @property
    def writers_overlap(self) -> bool:
        """Whether writers run concurrently, so that a row may change between a writer's read and its write."""
        return self.engine.dialect.name != "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for queries. Loaded objects stay usable after it is closed.

        In memory it waits for writers, and reads what is committed. Within a transaction of its own thread, for whose
        end it can't wait, it reads what is there.
        """
        engine = self.engine
        if self._transactions is None or not self._is_in_memory or self._transactions.is_open_here():
            with Session(engine, expire_on_commit=False) as session:
                yield session
        else:
            self._transactions.wait_for_written(BUSY_SECONDS)  # by sessions of the application's own, without a turn
            with self._writers, Session(engine, expire_on_commit=False) as session:
                yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session that commits at its end, or rolls back if the block raises.

        Raises:
            ConfigurationError: of SQLite, this thread is writing already.
        """
        engine = self.engine
        with self._writers, Session(engine, expire_on_commit=False) as session:
            session.connection(execution_options=WRITING)
            yield session
            session.commit()

    @contextmanager
    def defining(self) -> Iterator[Connection]:
        """A connection for DDL in one transaction, which on SQLite excludes writers of other processes."""
        engine = self.engine
        with self._writers, engine.connect() as connection, connection.execution_options(**WRITING).begin():
            yield connection

    def close(self) -> None:
        """Close idle connections; the next session opens new ones. A database in memory is lost."""
        if self._engine is not None:
            self._engine.dispose()

    def _open(self) -> Engine:
        with self._opening:
            if self._engine is None:
                url = _parsed(self._url or get_settings().db_url.get_secret_value())
                try:
                    engine = _engine(url)
                except ArgumentError:  # its text may contain the URL
                    raise _unusable(str(url), "SQLAlchemy can't take it for this dialect") from None
                if engine.dialect.name == "sqlite":
                    self._writers = RLock()
                    self._transactions = OpenTransactions(engine)
                    self._is_in_memory = is_in_memory(url)
                    if self._is_in_memory:
                        share_memory(engine, self._transactions, BUSY_SECONDS)
                _call_after_fork(weakref.WeakMethod(self._forked))
                self._engine = engine
            return self._engine

    def _forked(self) -> None:
        self._opening = Lock()
        if self._engine is not None:
            # Keep a reference, since garbage collection would close the parent's connections.
            self._inherited.append(self._engine.pool)
            self._engine.dispose(close=False)
            if self._transactions is not None:
                self._writers = RLock()
                self._transactions.forget()

    def __repr__(self) -> str:
        if self._engine is not None:
            return f"<Database {without_secrets(str(self._engine.url))} {self._engine.pool.status()}>"
        return f"<Database {'NITRO_DB_URL' if self._url is None else without_secrets(self._url)} not open>"


def _call_after_fork(method: weakref.WeakMethod[Callable[[], None]]) -> None:
    def in_child() -> None:
        if (bound := method()) is not None:
            bound()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=in_child)


def _parsed(text: str) -> URL:
    if _AMBIGUOUS.match(text):
        raise ConfigurationError(
            f"the database URL (NITRO_DB_URL) has an '@', or a '/' in its user, before its last '@', so its host can't "
            f"be told: {ENCODE}; an '@' behind the host is %40, too"
        )
    try:
        text.encode()
        url = make_url(text)
        is_async = url.get_dialect().is_async
    except NoSuchModuleError:
        raise _unusable(text, "SQLAlchemy has no such dialect") from None
    except (ArgumentError, ValueError):  # their texts may contain the URL
        raise _unusable(text, f"it is no URL of a database. If it has a password, {ENCODE}") from None
    if is_async:
        raise ConfigurationError(
            f"the database URL (NITRO_DB_URL) names the asynchronous driver {url.drivername!r}; "
            f"entities need a synchronous one, such as {url.get_backend_name()!r}"
        )
    return url


def _unusable(url: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"the database URL (NITRO_DB_URL: {without_secrets(url)}) can't be used: {why}; write one like sqlite:///nitro.db"
    )


def _engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    options: dict[str, Any] = {"connect_args": {"check_same_thread": False, "timeout": BUSY_SECONDS}}
    options |= {"pool_size": POOL_CONNECTIONS, "max_overflow": 0, "pool_timeout": BUSY_SECONDS}
    engine = create_engine(url, poolclass=QueuePool, **options)
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transactions; OpenTransactions does
    give_collation(connection)
    connection.create_function(CASEFOLD, 1, _casefold, deterministic=True)
    connection.execute("PRAGMA foreign_keys = ON")
    use_wal(connection, BUSY_SECONDS)


def _casefold(value: object) -> object:
    return value.casefold() if isinstance(value, str) else value
