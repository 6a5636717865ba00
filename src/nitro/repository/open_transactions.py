"""`OpenTransactions`: which thread has begun which transaction of a SQLite engine, and how each begins.

SQLite has one writer at a time, and lets a second one wait. If both are the same thread, such as in a handler that is
called before a commit, it would wait for itself.
"""

from __future__ import annotations

import time
from sqlite3 import Connection as SQLiteConnection
from sqlite3 import ProgrammingError
from threading import get_ident
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import Connection, Engine, event

from nitro.errors import ConfigurationError

__all__ = ["ONE_WRITER", "WRITING", "OpenTransactions"]

ONE_WRITER: Final = (
    "this thread has another transaction open that has written, and SQLite has one writer at a time, so this one would "
    "wait for ever: write it in that session, which a handler gets as session=, or after its commit"
)
_BEGIN: Final = "nitro_begin"  # execution option with the statement that begins a transaction
_POLL_SECONDS: Final = 0.002
WRITING: Final = {_BEGIN: "BEGIN IMMEDIATE"}


class OpenTransactions:
    """The transactions of an engine of SQLite, whose connections begin none by themselves."""

    def __init__(self, engine: Engine) -> None:
        self._begun: dict[SQLiteConnection, _Begun] = {}
        self._inherited: list[object] = []
        event.listen(engine, "begin", self._begin)
        for way in ("checkin", "close", "close_detached"):
            event.listen(engine, way, self._returned)

    def is_open_here(self) -> bool:
        """Whether the calling thread has begun a transaction that has not ended."""
        return any(connection.in_transaction for connection, _ in self._begun_here())

    def is_writing_here(self) -> bool:
        """Whether it is one that has begun with `WRITING`."""
        return any(begun.is_writing and connection.in_transaction for connection, begun in self._begun_here())

    def has_written_here(self, *, beside: object) -> bool:
        """Whether it is one that has changed rows, on another connection than `beside`."""
        return any(each[0] is not beside and _has_written(*each) for each in self._begun_here())

    def wait_for_written(self, seconds: float) -> None:
        """Wait until no thread has changed rows in one that hasn't begun with `WRITING`, for at most so long."""
        deadline = time.monotonic() + seconds
        while self._has_written_without_a_turn() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def forget(self) -> None:
        """Forget all: they are the parent's of this process, whose connections garbage collection mustn't close."""
        self._inherited.append(self._begun)
        self._begun = {}

    def _begun_here(self) -> list[tuple[SQLiteConnection, _Begun]]:
        here = get_ident()
        return [(connection, begun) for connection, begun in self._begun.copy().items() if begun.thread == here]

    def _has_written_without_a_turn(self) -> bool:
        return any(not each[1].is_writing and _has_written(*each) for each in self._begun.copy().items())

    def _begin(self, connection: Connection) -> None:
        statement = connection.get_execution_options().get(_BEGIN)
        if statement is not None and self.is_writing_here():
            raise ConfigurationError(ONE_WRITER)
        connection.exec_driver_sql(statement or "BEGIN")
        opened = cast("SQLiteConnection", connection.connection.dbapi_connection)
        self._begun[opened] = _Begun(get_ident(), statement is not None, opened.total_changes)

    def _returned(self, connection: Any, _record: object = None) -> None:
        self._begun.pop(connection, None)


class _Begun(NamedTuple):
    thread: int
    is_writing: bool
    changes: int


def _has_written(connection: SQLiteConnection, begun: _Begun) -> bool:
    try:
        return connection.in_transaction and connection.total_changes != begun.changes
    except ProgrammingError:  # another thread has closed it
        return False
