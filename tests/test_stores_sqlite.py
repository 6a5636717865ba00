"""The SQLite store of streams against the conformance suite."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from nitro.streams.base import Store
from nitro.streams.stores.sqlite import SQLiteStore
from nitro.testing.conformance.stores import StoreConformance

STREAMS = "SELECT count(*) FROM nitro_streams WHERE namespace = ?"
ORPHANS = "SELECT count(*) FROM nitro_stream_records WHERE stream NOT IN (SELECT id FROM nitro_streams)"


class TestSQLiteStore(StoreConformance):
    path: Path

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _file(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.path = tmp_path_factory.mktemp("sqlite") / "streams.db"

    def store(self, namespace: str) -> Store:
        return SQLiteStore(f"sqlite:///{self.path}", namespace)

    def leftovers(self, namespace: str) -> int:
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            (streams,) = connection.execute(STREAMS, (namespace,)).fetchone()
            (orphans,) = connection.execute(ORPHANS).fetchone()
        return int(streams + orphans)
