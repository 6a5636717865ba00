"""SQLite's write-ahead log, in which readers don't wait for the writer."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

__all__ = ["use_wal"]

_LONGEST_KEPT_BYTES: Final = 8 * 1024 * 1024
"""A log that a burst or a long reader made longer is cut to this when it is begun again. SQLite by itself keeps its
length for ever; it begins anew at about half of this, so in daily work nothing is cut."""


def use_wal(connection: sqlite3.Connection, seconds: float) -> None:
    """Let the file of `connection` have one; a database in memory has none, and needs none.

    Raises:
        sqlite3.OperationalError: others kept the file locked for so many seconds.
    """
    deadline = time.monotonic() + seconds
    while connection.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # SQLite doesn't heed its busy timeout when the journal changes: it may be another process's turn.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    connection.execute(f"PRAGMA journal_size_limit = {_LONGEST_KEPT_BYTES}")
