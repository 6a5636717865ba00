"""The news of streams in a SQLite file: which watched streams others have changed since this store looked last.

Fed by the store, which says what is watched and what it has committed itself, and calls `look` in the reader's thread.

Each row has the version that its newest commit replaced. If that one was there at the last look, the newest commit is
all that happened to the stream, and is told with all it has. Otherwise some commits are told as one, to be read.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence, Set
from typing import Final, NamedTuple

from nitro.streams.base import ABSENT, Change, Commit, Conflict, Stored
from nitro.streams.stores.sqlite.statements import CHANGED, COUNTER, GONE, NEWEST

__all__ = ["News", "Seen"]

_TOLD_BYTES: Final = 256 * 1024
"""Longer records are not told, but read by those who want them."""
_TOLD_AT_ONCE_BYTES: Final = 4 * 1024 * 1024
_OWN_COMMITS: Final = 10_000
"""Own commits that are remembered until the next look, so that they aren't told; any more are."""


class Seen(NamedTuple):
    """How far a look reached.

    Attributes:
        reader: the connection that looked.
        data_version: changes whenever another connection has committed.
        version: the newest version that it saw.
    """

    reader: sqlite3.Connection
    data_version: int
    version: int


class News:
    """Part of one store; used in its event loop, except for `look`.

    Args:
        namespace: of the streams.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._watched: set[str] = set()
        self._missing: set[str] = set()
        self._own: dict[int, Commit] = {}
        self._seen: Seen | None = None

    def watch(self, key: str) -> None:
        """Tell what is committed from now on."""
        self._watched.add(key)

    def unwatch(self, key: str) -> None:
        """Tell it no longer."""
        self._watched.discard(key)
        self._missing.discard(key)

    def committed(self, commits: Sequence[Commit], results: Sequence[int | Conflict]) -> None:
        """This store's own commits, which it doesn't tell."""
        if self._seen is None:
            return
        if len(self._own) > _OWN_COMMITS:
            self._own.clear()
        for commit, version in zip(commits, results, strict=True):
            if isinstance(version, int) and version > self._seen.version:
                self._own[version] = commit
                self._note(commit)

    def looked(self, seen: Seen, changes: list[Change] | None) -> None:
        """What a look found."""
        self._seen = seen
        for change in changes or ():
            if change.stored is not None:
                self._missing.discard(change.key)
            elif change.key in self._watched:
                self._missing.add(change.key)
        self._own = {version: commit for version, commit in self._own.items() if version > seen.version}
        for commit in self._own.values():
            self._note(commit)

    def look(self, reader: sqlite3.Connection) -> tuple[Seen, list[Change] | None]:
        """What others have committed since the last look; None if some may have been missed. In the reader's thread."""
        own, seen = dict(self._own), self._seen  # before the transaction begins, so that it sees all own commits
        (data_version,) = reader.execute("PRAGMA data_version").fetchone()
        if seen is not None and seen[:2] == (reader, data_version):
            return seen, []
        reader.execute("BEGIN")
        try:
            newest, deleted = reader.execute(COUNTER).fetchone() or (ABSENT, ABSENT)
            now = Seen(reader, data_version, newest)
            if seen is None or seen.reader is not reader or newest < seen.version:
                return now, None
            if not self._watched or newest - seen.version == len(own):  # each commit has its version
                return now, []
            look = _Look(reader, self._namespace, seen.version, own)
            if deleted <= seen.version:
                return now, look.changed(self._watched)
            there = self._watched - self._missing
            return now, look.gone(there, newest) + look.changed(self._watched, there)
        finally:
            reader.execute("COMMIT")

    def _note(self, commit: Commit) -> None:
        if commit.state is not None:
            self._missing.discard(commit.key)
        elif commit.key in self._watched:
            self._missing.add(commit.key)

    def __repr__(self) -> str:
        return f"<News of {len(self._watched)} streams>"


class _Look:
    """One look at what was committed after the version `seen`, in a transaction of the reader.

    Args:
        reader: the connection.
        namespace: of the streams.
        seen: the newest version of the last look.
        own: the store's own commits since, by their versions.
    """

    def __init__(self, reader: sqlite3.Connection, namespace: str, seen: int, own: Mapping[int, Commit]) -> None:
        self._reader = reader
        self._namespace = namespace
        self._seen = seen
        self._own = own

    def gone(self, keys: Set[str], newest: int) -> list[Change]:
        """Those that are not there. It is not known which version a deletion replaced, but that it was no newer one."""
        asked = json.dumps(tuple(keys), ensure_ascii=False)
        return [
            Change(key, newest, None, None, True) for (key,) in self._reader.execute(GONE, (asked, self._namespace))
        ]

    def changed(self, watched: Set[str], may_be_anew: Set[str] = frozenset()) -> list[Change]:
        """Those that others have changed. What may have been deleted and made anew is not told as new."""
        changes: list[Change] = []
        told_bytes = 0
        for key, version, previous in self._reader.execute(CHANGED, (self._namespace, self._seen)).fetchall():
            if key not in watched or self._before(version) <= self._seen:
                continue
            is_one = version not in self._own and self._before(previous) <= self._seen
            if previous == ABSENT and key in may_be_anew:
                is_one = False
            longest = _TOLD_BYTES if is_one and told_bytes < _TOLD_AT_ONCE_BYTES else -1
            change = self._change(key, previous, longest)
            told_bytes += len(change.body or b"")
            changes.append(change)
        return changes

    def _change(self, key: str, previous: int, longest: int) -> Change:
        """The newest commit of a stream; it is complete if its record is not longer than `longest`, which may be -1."""
        *stored, body, size = self._reader.execute(NEWEST, (longest, self._namespace, key)).fetchone()
        return Change(key, previous, Stored(*stored), body, is_complete=(size or 0) <= longest)

    def _before(self, version: int) -> int:
        """What was there before this store's own commits up to `version`."""
        while version in self._own:
            version = self._own[version].expected
        return version
