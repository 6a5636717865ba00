"""Databases of SQLite in memory: with many connections, so that they behave as a file does.

The connections share one cache by its name. What they lock is tables, and SQLite's busy timeout knows nothing of that,
so a statement that meets such a lock is repeated here. Who reads locks nothing, and sees what others have not
committed. (It could lock: but then a writer that waits for it lets nobody begin to read, also not its own thread.)
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import URL, Engine, event

from nitro.errors import ConfigurationError
from nitro.repository.open_transactions import ONE_WRITER, OpenTransactions

__all__ = ["is_in_memory", "share_memory"]

_POLL_SECONDS: Final = 0.002
_OWN_SECONDS: Final = 1.0
"""How long a thread waits for a transaction that it has begun: another thread may have taken it over, and end it."""


def is_in_memory(url: URL) -> bool:
    """Whether a URL of SQLite is that of a database in memory."""
    name = url.database or ":memory:"
    return ":memory:" in name or url.query.get("mode") == "memory"


def share_memory(engine: Engine, transactions: OpenTransactions, busy_seconds: float) -> None:
    """Let all connections of an engine, which has none yet, use one database in memory; another in each process.

    Args:
        engine: its URL `is_in_memory`.
        transactions: its own.
        busy_seconds: how long a statement waits for what other threads have locked.
    """
    token = uuid4().hex

    def name_it(_dialect: object, _record: object, arguments: list[Any], options: dict[str, Any]) -> None:
        # Of this process, since a forked child has its parent's caches in its own memory.
        arguments[:] = [f"file:nitro-{os.getpid()}-{token}?mode=memory&cache=shared"]
        options["uri"] = True

    def execute(cursor: sqlite3.Cursor, statement: str, parameters: Any, _context: object) -> bool:
        return patiently(cursor, lambda: cursor.execute(statement, parameters))

    def execute_many(cursor: sqlite3.Cursor, statement: str, parameters: Any, _context: object) -> bool:
        return patiently(cursor, lambda: cursor.executemany(statement, parameters))

    def patiently(cursor: sqlite3.Cursor, run: Callable[[], object]) -> bool:
        began = time.monotonic()
        while True:
            try:
                run()
            except sqlite3.OperationalError as error:
                waited_seconds = time.monotonic() - began
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_LOCKED or waited_seconds > busy_seconds:
                    raise
                if waited_seconds > _OWN_SECONDS and transactions.has_written_here(beside=cursor.connection):
                    raise ConfigurationError(ONE_WRITER) from error
                time.sleep(_POLL_SECONDS)
            else:
                return True

    if engine.url.query.get("cache") != "shared":
        event.listen(engine, "do_connect", name_it)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "do_execute", execute)
    event.listen(engine, "do_executemany", execute_many)


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    if connection.execute("SELECT sqlite_compileoption_used('OMIT_SHARED_CACHE')").fetchone()[0]:
        raise ConfigurationError(
            "this SQLite was built without shared caches (SQLITE_OMIT_SHARED_CACHE), which a database in memory needs: "
            "give NITRO_DB_URL a file, such as sqlite:////tmp/test.db"
        )
    connection.execute("PRAGMA read_uncommitted = ON")
