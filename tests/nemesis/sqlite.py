"""A file of SQLite's: locked, copied, moved, deleted, and edited by other hands."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from nitro.testing.nemesis import Fault
from tests.brokers import SQLite
from tests.nemesis.setup import LONG, Single, at_once, foreign_hands, holding

__all__ = ["File"]


class File(Single[SQLite]):
    kind = "sqlite"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, SQLite(directory))
        self.path = directory / "events.db"
        self._moves = 0

    def faults(self) -> list[Fault]:
        newest = "SELECT max(sequence) FROM nitro_messages"
        return [
            *foreign_hands(self.broker, self.namespace),
            holding("file-locked", self._locked, holds=LONG),
            holding("file-read-for-long", self._read_for_long, holds=(6.0,)),
            at_once("file-vacuumed", lambda _: self.run("VACUUM")),
            at_once("file-checkpointed", lambda _: self.run("PRAGMA wal_checkpoint(TRUNCATE)")),
            at_once("file-deleted", lambda _: self._delete(), may_lose=True),
            at_once("file-moved", lambda _: self._move(), may_lose=True),
            holding("file-put-back", self._put_back, may_lose=True, holds=(1.0, 3.0)),
            holding("file-restored-in-place", self._restored_in_place, may_lose=True, holds=(1.0, 3.0)),
            at_once("row-of-the-log-deleted", lambda _: self.broker.damage(self.namespace), may_lose=True),
            at_once(
                "newest-rows-deleted",
                lambda _: self.run(f"DELETE FROM nitro_messages WHERE sequence > ({newest}) - 5"),
                may_lose=True,
            ),
        ]

    def run(self, *statements: str) -> None:
        with contextlib.closing(self._connect()) as connection:
            for statement in statements:
                connection.execute(statement).fetchall()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=10, isolation_level=None)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(self.path, 10, isolation_level=None, check_same_thread=False)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield
            other.execute("ROLLBACK")

    @contextlib.contextmanager
    def _read_for_long(self) -> Iterator[None]:
        with contextlib.closing(sqlite3.connect(self.path, 10, isolation_level=None, check_same_thread=False)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM nitro_messages").fetchall()
            yield

    def _delete(self) -> None:
        for suffix in ("-wal", "-shm", ""):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def _move(self) -> None:
        self._moves += 1
        for suffix in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                os.replace(f"{self.path}{suffix}", f"{self.path}.{self._moves}{suffix}")
            Path(f"{self.path}.{self._moves - 1}{suffix}").unlink(missing_ok=True)

    def _copy(self) -> Path:
        copy = self.path.with_name(f"copy-{random.randrange(10**9)}.db")
        with contextlib.closing(self._connect()) as one, contextlib.closing(sqlite3.connect(copy)) as other:
            one.backup(other)
        return copy

    @contextlib.contextmanager
    def _put_back(self) -> Iterator[None]:
        copy = self._copy()
        yield
        self._delete()
        os.replace(copy, self.path)

    @contextlib.contextmanager
    def _restored_in_place(self) -> Iterator[None]:
        copy = self._copy()
        yield
        with contextlib.closing(sqlite3.connect(copy)) as one, contextlib.closing(self._connect()) as other:
            one.backup(other)
        copy.unlink()
