"""A line to a SQLite file: one connection with the thread in which it is used, so that no event loop waits for a disk.

It connects when it is first used, and again after an error, or when there is another file at its path.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from nitro.brokers.sqlite.file import identity_of, why_refused
from nitro.brokers.sqlite.forks import UNFORKED
from nitro.brokers.sqlite.log import transaction
from nitro.brokers.sqlite.wal import use_wal
from nitro.brokers.tasks import started_pool
from nitro.errors import BrokerUnavailable
from nitro.streams.stores.sqlite.statements import COUNTER, SCHEMA, TABLES

__all__ = ["Line"]

P = ParamSpec("P")
T = TypeVar("T")

_BUSY_SECONDS: Final = 4.0
"""Shorter than the timeout of those who call, so that the error is SQLite's own, about the lock."""
_PASSING: Final = ("SQLITE_BUSY", "SQLITE_FULL")
"""Errors after which a connection is as good as before."""


class Line:
    """Part of one store.

    Args:
        path: of the file.
        name: of the store, for errors.
    """

    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self._name = name
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._thread = started_pool("nitro-sqlite-streams")

    def call(
        self, call: Callable[Concatenate[sqlite3.Connection, P], T], *arguments: P.args, **named: P.kwargs
    ) -> Future[T]:
        """Call it with the connection, after all that was asked for before."""
        return self._thread.submit(self._call, call, arguments, named)

    def close(self, *more: Callable[[], None]) -> Future[None]:
        """Close the connection, and call what else there is to close; the next call connects again."""
        return self._thread.submit(self._close, *more)

    def _call(self, call: Callable[..., T], arguments: tuple[Any, ...], named: dict[str, Any]) -> T:
        try:
            with UNFORKED:
                connection = self._connection
                if connection is None or identity_of(self._path) != self._file:
                    connection = self._connect()
                result = call(connection, *arguments, **named)
            if identity_of(self._path) != self._file:  # a deleted file must not acknowledge
                raise sqlite3.OperationalError("the file was deleted or moved; the next call opens what is there then")
        except sqlite3.Error as error:
            if not (getattr(error, "sqlite_errorname", None) or "").startswith(_PASSING):
                self._close()
            why = why_refused(self._path, error)
            if why is None:
                raise
            raise BrokerUnavailable(f"the store of streams, {self._name}, can't be used: {why}") from error
        return result

    def _connect(self) -> sqlite3.Connection:
        self._close()
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            use_wal(connection, _BUSY_SECONDS)
            if connection.execute(TABLES).fetchone() != (7,) or connection.execute(COUNTER).fetchone() is None:
                with transaction(connection):
                    for statement in SCHEMA:
                        connection.execute(statement)
        except BaseException:
            connection.close()
            raise
        self._connection, self._file = connection, identity_of(self._path)
        return connection

    def _close(self, *more: Callable[[], None]) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with UNFORKED:
                connection.close()
        for close in more:
            close()

    def __repr__(self) -> str:
        return f"<Line to {self._path}, {'open' if self._connection is not None else 'closed'}>"
