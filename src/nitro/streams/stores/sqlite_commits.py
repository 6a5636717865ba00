"""Commits of streams in a SQLite file: what a batch of them, and of new alarms, does in one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from nitro.brokers.sqlite.log import transaction
from nitro.streams.base import ABSENT, Commit, Conflict
from nitro.streams.stores import sqlite_statements as sql

__all__ = ["commit_all", "postpone_all"]

_NEW: Final = (ABSENT, 0)
_SWEPT_RECORDS: Final = 500
_SWEPT_BYTES: Final = 1024 * 1024
"""What a commit deletes of deleted streams, besides twice what it adds."""


def commit_all(writer: sqlite3.Connection, namespace: str, commits: Sequence[Commit]) -> list[int | Conflict]:
    """Store each of the commits whose key is at the version that it expects."""
    added, changed, records, forgotten = [], [], [], []
    results: list[int | Conflict] = []
    deleted = 0
    with transaction(writer):
        version = _newest(writer)
        places = _places(writer, namespace, commits)
        for commit in commits:
            before, stream = places.get(commit.key, _NEW)
            if before != commit.expected:
                results.append(Conflict(f"{commit.key!r} is at {before}, not at {commit.expected}"))
                continue
            version = max(version, commit.tail) + 1
            results.append(version)
            if commit.state is None:
                deleted = version
                forgotten.append((namespace, commit.key, stream))
                continue
            if before == ABSENT:
                stream = version
            if commit.body is not None:
                records.append((version, stream, commit.body))
            tail = commit.tail if commit.body is None else version
            row = (version, before, tail, commit.alarm_at, commit.state, namespace, commit.key)
            if before == ABSENT:
                added.append((*row, stream))
            else:
                changed.append(row)
        writer.executemany(sql.ADD_STREAM, added)
        writer.executemany(sql.CHANGE_STREAM, changed)
        writer.executemany(sql.ADD_RECORD, records)
        writer.executemany(sql.FORGET_STREAM, [(namespace, key) for namespace, key, _ in forgotten])
        writer.executemany(sql.ADD_GARBAGE, [(stream,) for _, _, stream in forgotten])
        if added or changed or forgotten:
            writer.execute(sql.COUNT, (version, deleted))
        _sweep(writer, _SWEPT_RECORDS + 2 * len(commits), _SWEPT_BYTES + 2 * sum(len(body) for _, _, body in records))
    return results


def postpone_all(writer: sqlite3.Connection, namespace: str, alarms: Sequence[tuple[str, float, float]]) -> list[bool]:
    """Change the alarm of each key that has the first one to the second; whether it had."""
    with transaction(writer):
        return [
            writer.execute(sql.POSTPONE, (to, namespace, key, alarm_at)).rowcount > 0 for key, alarm_at, to in alarms
        ]


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


def _newest(writer: sqlite3.Connection) -> int:
    found = writer.execute(sql.COUNTER).fetchone()
    if found is None:
        raise sqlite3.OperationalError("somebody has deleted the counter in nitro_stream_versions")
    return int(found[0])


def _places(writer: sqlite3.Connection, namespace: str, commits: Sequence[Commit]) -> dict[str, tuple[int, int]]:
    """The version and the id of each stream that is there."""
    keys = json.dumps([commit.key for commit in commits], ensure_ascii=False)
    return {key: (version, id) for key, version, id in writer.execute(sql.PLACES, (namespace, keys))}
