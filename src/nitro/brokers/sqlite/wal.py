"""SQLite's write-ahead log, in which readers don't wait for the writer."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

__all__ = ["use_wal"]

_LONGEST_KEPT_BYTES: Final = 8 * 1024 * 1024
"""A WAL file that a burst or a long reader has grown is truncated to this when it restarts. By default SQLite never
shrinks it. It normally restarts at about half of this, so that nothing is truncated."""


def use_wal(connection: sqlite3.Connection, seconds: float) -> None:
    """Switch the file of `connection` to WAL mode; a database in memory is left alone.

    Raises:
        sqlite3.OperationalError: others kept the file locked for `seconds`.
    """
    deadline = time.monotonic() + seconds
    while connection.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # SQLite ignores its busy timeout when the journal mode changes, and another process may change it now.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    connection.execute(f"PRAGMA journal_size_limit = {_LONGEST_KEPT_BYTES}")
