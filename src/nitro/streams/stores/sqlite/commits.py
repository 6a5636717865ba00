"""Commits of streams in a SQLite file: what a batch of them, and of new alarms, does in one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from nitro.brokers.sqlite.log import transaction
from nitro.streams.base import ABSENT, Commit, Conflict
from nitro.streams.stores.sqlite import statements as sql

__all__ = ["commit_all", "postpone_all"]

_NEW: Final = (ABSENT, 0)
_SWEPT_RECORDS: Final = 500
_SWEPT_BYTES: Final = 1024 * 1024
"""What a commit deletes of deleted streams, besides twice what it adds."""


def commit_all(writer: sqlite3.Connection, namespace: str, commits: Sequence[Commit]) -> list[int | Conflict]:
    """Store each of the commits whose key is at the version that it expects."""
    with transaction(writer):
        batch = _Batch(namespace, *_counter(writer))
        places = _places(writer, namespace, commits)
        results = [batch.add(commit, *places.get(commit.key, _NEW)) for commit in commits]
        batch.write(writer)
        added_bytes = sum(len(body) for _, _, body in batch.records)
        _sweep(writer, _SWEPT_RECORDS + 2 * len(commits), _SWEPT_BYTES + 2 * added_bytes)
    return results


def postpone_all(writer: sqlite3.Connection, namespace: str, alarms: Sequence[tuple[str, float, float]]) -> list[bool]:
    """Change the alarm of each key that has the first one to the second; whether it had."""
    with transaction(writer):
        return [
            writer.execute(sql.POSTPONE, (to, namespace, key, alarm_at)).rowcount > 0 for key, alarm_at, to in alarms
        ]


class _Batch:
    """The rows of one transaction.

    Args:
        namespace: of the streams.
        version: the newest of all.
        deleted: that of the newest commit that deleted a stream.
    """

    def __init__(self, namespace: str, version: int, deleted: int) -> None:
        self.records: list[tuple[int, int, bytes]] = []
        self._namespace = namespace
        self._version = version
        self._deleted = deleted
        self._added: list[tuple[object, ...]] = []
        self._changed: list[tuple[object, ...]] = []
        self._forgotten: list[tuple[str, str]] = []
        self._garbage: list[tuple[int]] = []

    def add(self, commit: Commit, before: int, stream: int) -> int | Conflict:
        """Add what a commit does to a key that is at the version `before`; the new version."""
        if before != commit.expected:
            return Conflict(f"{commit.key!r} is at {before}, not at {commit.expected}")
        self._version = version = max(self._version, commit.tail) + 1
        if commit.state is not None:
            tail = commit.tail if commit.body is None else version
            row = (version, before, tail, commit.alarm_at, commit.state, self._namespace, commit.key)
            if before == ABSENT:
                stream = version
                self._added.append((*row, stream))
            else:
                self._changed.append(row)
            if commit.body is not None:
                self.records.append((version, stream, commit.body))
        elif before != ABSENT:
            self._deleted = version
            self._forgotten.append((self._namespace, commit.key))
            self._garbage.append((stream,))
        return version

    def write(self, writer: sqlite3.Connection) -> None:
        """Write all of it."""
        writer.executemany(sql.ADD_STREAM, self._added)
        writer.executemany(sql.CHANGE_STREAM, self._changed)
        writer.executemany(sql.ADD_RECORD, self.records)
        writer.executemany(sql.FORGET_STREAM, self._forgotten)
        writer.executemany(sql.ADD_GARBAGE, self._garbage)
        writer.execute(sql.COUNT, (self._version, self._deleted, self._version))


def _sweep(writer: sqlite3.Connection, max_records: int, max_bytes: int) -> None:
    """Delete some records of streams that are deleted: a long one would keep all who write waiting for seconds.

    The next commits go on. Nobody needs it done before: what is deleted leaves room for what is committed.
    """
    for (stream,) in writer.execute(sql.GARBAGE, (max_records,)).fetchall():
        records = writer.execute(sql.GARBAGE_RECORDS, (stream, max_records)).fetchall()
        sizes = accumulate(size for _, size in records)
        swept = [(version,) for (version, _), size in zip(records, sizes, strict=True) if size <= max_bytes]
        swept = swept or [(version,) for version, _ in records[:1]]
        writer.executemany(sql.FORGET_RECORD, swept)
        if len(swept) == max_records or len(swept) < len(records):
            return
        writer.execute(sql.FORGET_GARBAGE, (stream,))
        max_records -= len(swept)
        max_bytes -= sum(size for _, size in records)
        if max_bytes <= 0:
            return


def _counter(writer: sqlite3.Connection) -> tuple[int, int]:
    found = writer.execute(sql.COUNTER).fetchone()
    if found is None:
        raise sqlite3.OperationalError("somebody has deleted the counter in nitro_stream_versions")
    version, deleted = found
    return version, deleted


def _places(writer: sqlite3.Connection, namespace: str, commits: Sequence[Commit]) -> dict[str, tuple[int, int]]:
    """The version and the id of each stream that is there."""
    keys = json.dumps([commit.key for commit in commits], ensure_ascii=False)
    return {key: (version, id) for key, version, id in writer.execute(sql.PLACES, (namespace, keys))}
