"""The SQL of a SQLite log: its tables, how they are read and trimmed, and how a log begins."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from nitro.brokers.base import new_epoch
from nitro.brokers.codec import STAMP_BYTES

__all__ = ["FORGET", "NUMBER", "PRODUCERS", "READ", "SCHEMA", "TABLES", "begin", "begin_of", "empty", "mend"]

SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS nitro_logs (namespace TEXT PRIMARY KEY, epoch TEXT NOT NULL, "
    "sequence INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS nitro_messages (namespace TEXT NOT NULL, sequence INTEGER NOT NULL, at REAL NOT NULL, "
    "body BLOB NOT NULL, PRIMARY KEY (namespace, sequence))",
    "CREATE TABLE IF NOT EXISTS nitro_producers (namespace TEXT NOT NULL, producer TEXT NOT NULL, "
    "number INTEGER NOT NULL, at REAL NOT NULL, PRIMARY KEY (namespace, producer))",
)
NUMBER: Final = "UPDATE nitro_logs SET sequence = sequence + ? WHERE namespace = ?"
PRODUCERS: Final = "SELECT count(*) FROM nitro_producers WHERE namespace = ?"
TABLES: Final = "SELECT count(*) FROM sqlite_schema WHERE name IN ('nitro_logs', 'nitro_messages', 'nitro_producers')"
READ: Final = """
    SELECT sequence, at, CASE WHEN length(body) <= ? THEN body END FROM nitro_messages AS message
    WHERE namespace = ? AND sequence > ? AND ? = (SELECT epoch FROM nitro_logs WHERE namespace = message.namespace)
    ORDER BY sequence LIMIT ?"""
FORGET: Final = """
    DELETE FROM nitro_messages WHERE namespace = :namespace AND sequence < (
        SELECT max(sequence) FROM (
            SELECT sequence, at, sum(length(body)) OVER (ORDER BY sequence DESC) AS bytes
            FROM nitro_messages WHERE namespace = :namespace AND sequence >= :oldest
        ) WHERE (bytes > :bytes AND sequence < :newest) OR at < :since)
    AND sequence < (SELECT min(sequence) FROM nitro_messages WHERE namespace = :namespace) + 20000"""
"""The newest entry stays, however long it is, and one more than the limits, which marks the oldest position. (A column
with the length in the subquery would make SQLite read the whole body.)"""


def begin(execute: Callable[[str, tuple[str, ...]], Any], namespace: str) -> None:
    """Create the log if it has no row. Entries without a row are deleted: their newest sequence is unknown."""
    made = execute("INSERT OR IGNORE INTO nitro_logs VALUES (?, ?, 0)", (namespace, new_epoch()))
    if made.rowcount:
        empty(execute, namespace)


def mend(execute: Callable[[str, tuple[str, ...]], Any], namespace: str) -> None:
    """Begin a new epoch if another program has left the row's sequence different from the newest entry's."""
    changed = execute(
        "UPDATE nitro_logs SET epoch = ?, sequence = 0 WHERE namespace = ? "
        "AND sequence <> (SELECT max(sequence) FROM nitro_messages WHERE namespace = nitro_logs.namespace)",
        (new_epoch(), namespace),
    )
    if changed.rowcount:
        empty(execute, namespace)


def empty(execute: Callable[[str, tuple[str, ...]], Any], namespace: str) -> None:
    """Delete the log's entries and producers, for a new epoch."""
    execute("DELETE FROM nitro_messages WHERE namespace = ?", (namespace,))
    execute("DELETE FROM nitro_producers WHERE namespace = ?", (namespace,))


def begin_of(reader: sqlite3.Connection, namespace: str, sequence: int) -> bytes | None:
    """The first bytes of an entry, read without the rest; None if it does not exist."""
    found = reader.execute(
        "SELECT rowid FROM nitro_messages WHERE namespace = ? AND sequence = ?", (namespace, sequence)
    ).fetchone()
    if found is None:
        return None
    try:
        with reader.blobopen("nitro_messages", "body", found[0], readonly=True) as body:
            return body.read(STAMP_BYTES)
    except sqlite3.OperationalError:  # it was deleted meanwhile, or is a number
        return None
