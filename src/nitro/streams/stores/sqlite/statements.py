"""The SQL of streams in a SQLite file: their tables, and how they are read and changed.

Versions are numbers of one counter for the file, which only grows. The records of a stream stand under the version of
the commit that made it: so those of a stream that was deleted are never those of a new one of the same key.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ADD_GARBAGE",
    "ADD_RECORD",
    "ADD_STREAM",
    "CHANGED",
    "CHANGE_STREAM",
    "COUNT",
    "COUNTER",
    "DUE",
    "FORGET_GARBAGE",
    "FORGET_RECORD",
    "FORGET_STREAM",
    "GARBAGE",
    "GARBAGE_RECORDS",
    "GONE",
    "KEYS",
    "LOAD",
    "NEWEST",
    "PLACES",
    "POSTPONE",
    "READ",
    "SCHEMA",
    "TABLES",
]

SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS nitro_streams (namespace TEXT NOT NULL, key TEXT NOT NULL, id INTEGER NOT NULL, "
    "version INTEGER NOT NULL, previous INTEGER NOT NULL, tail INTEGER NOT NULL, alarm_at REAL, state BLOB NOT NULL, "
    "PRIMARY KEY (namespace, key))",
    "CREATE INDEX IF NOT EXISTS nitro_streams_by_version ON nitro_streams (namespace, version, previous)",
    "CREATE INDEX IF NOT EXISTS nitro_streams_by_alarm ON nitro_streams (namespace, alarm_at) "
    "WHERE alarm_at IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS nitro_stream_records (version INTEGER PRIMARY KEY, stream INTEGER NOT NULL, "
    "body BLOB NOT NULL)",
    "CREATE INDEX IF NOT EXISTS nitro_stream_records_by_stream ON nitro_stream_records (stream, version)",
    "CREATE TABLE IF NOT EXISTS nitro_stream_versions (name TEXT PRIMARY KEY, version INTEGER NOT NULL, "
    "deleted INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS nitro_stream_garbage (stream INTEGER PRIMARY KEY)",
    "INSERT OR IGNORE INTO nitro_stream_versions "
    "SELECT 'all', coalesce(max(max(version), max(tail)), 0), coalesce(max(version), 0) FROM nitro_streams",
)
"""`nitro_stream_versions` has the newest version of all, and that of the newest commit that deleted a stream. Records
stand in the order of their versions, whatever their streams, since those of one transaction then share pages: with
those of each stream together, a batch of commits of 1,000 streams takes twice as long."""
TABLES: Final = """
    SELECT count(*) FROM sqlite_schema WHERE name IN ('nitro_streams', 'nitro_streams_by_version',
    'nitro_streams_by_alarm', 'nitro_stream_records', 'nitro_stream_records_by_stream', 'nitro_stream_versions',
    'nitro_stream_garbage')"""

LOAD: Final = "SELECT version, tail, state, alarm_at FROM nitro_streams WHERE namespace = ? AND key = ?"
READ: Final = """
    SELECT version, body FROM nitro_stream_records
    WHERE stream = (SELECT id FROM nitro_streams WHERE namespace = ? AND key = ?) AND version > ? AND version <= ?
    ORDER BY version"""
DUE: Final = "SELECT key FROM nitro_streams WHERE namespace = ? AND alarm_at <= ? ORDER BY alarm_at, key LIMIT ?"
KEYS: Final = "SELECT key FROM nitro_streams WHERE namespace = ? AND key >= ? AND key < ? ORDER BY key LIMIT ?"

COUNTER: Final = "SELECT version, deleted FROM nitro_stream_versions WHERE name = 'all'"
COUNT: Final = "UPDATE nitro_stream_versions SET version = ?, deleted = ? WHERE name = 'all' AND version < ?"
PLACES: Final = """
    SELECT key, version, id FROM nitro_streams WHERE namespace = ? AND key IN (SELECT value FROM json_each(?))"""
ADD_STREAM: Final = """
    INSERT INTO nitro_streams (version, previous, tail, alarm_at, state, namespace, key, id)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
CHANGE_STREAM: Final = """
    UPDATE nitro_streams SET version = ?, previous = ?, tail = ?, alarm_at = ?, state = ?
    WHERE namespace = ? AND key = ?"""
ADD_RECORD: Final = "INSERT INTO nitro_stream_records (version, stream, body) VALUES (?, ?, ?)"
FORGET_STREAM: Final = "DELETE FROM nitro_streams WHERE namespace = ? AND key = ?"
ADD_GARBAGE: Final = "INSERT INTO nitro_stream_garbage VALUES (?)"
GARBAGE: Final = "SELECT stream FROM nitro_stream_garbage LIMIT ?"
GARBAGE_RECORDS: Final = "SELECT version, length(body) FROM nitro_stream_records WHERE stream = ? LIMIT ?"
FORGET_RECORD: Final = "DELETE FROM nitro_stream_records WHERE version = ?"
FORGET_GARBAGE: Final = "DELETE FROM nitro_stream_garbage WHERE stream = ?"
POSTPONE: Final = "UPDATE nitro_streams SET alarm_at = ? WHERE namespace = ? AND key = ? AND alarm_at = ?"

CHANGED: Final = """
    SELECT key, version, previous FROM nitro_streams WHERE namespace = ? AND version > ? ORDER BY version"""
NEWEST: Final = """
    SELECT stream.version, stream.tail, stream.state, stream.alarm_at,
    CASE WHEN length(record.body) <= ? THEN record.body END, length(record.body)
    FROM nitro_streams AS stream
    LEFT JOIN nitro_stream_records AS record ON record.stream = stream.id AND record.version = stream.version
    WHERE stream.namespace = ? AND stream.key = ?"""
GONE: Final = """
    SELECT value FROM json_each(?)
    WHERE NOT EXISTS (SELECT 1 FROM nitro_streams WHERE namespace = ? AND key = value)"""
