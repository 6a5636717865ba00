"""The SQLite store of streams: the conformance suite, what others may do to its file, and how news is joined."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from nitro.errors import BrokerUnavailable, ConfigurationError
from nitro.streams.base import ABSENT, Change, Commit, Conflict, Record, Store, Stored
from nitro.streams.decisions import Append, Creation
from nitro.streams.offsets import BEGINNING
from nitro.streams.stores.sqlite import line as sqlite_line
from nitro.streams.stores.sqlite.store import SQLiteStore
from nitro.streams.streams import Streams
from nitro.testing.conformance.stores import StoreConformance, commit, opened
from tests.store_pairs import STEPS, Step, compare

STREAMS = "SELECT count(*) FROM nitro_streams WHERE namespace = ?"
ORPHANS = "SELECT count(*) FROM nitro_stream_records WHERE stream NOT IN (SELECT id FROM nitro_streams)"
CHILD = """
import asyncio, sys
from nitro.streams.base import Commit
from nitro.streams.stores.sqlite.store import SQLiteStore

async def main():
    store = SQLiteStore(sys.argv[1], "app")
    (version,) = await store.commit([Commit("a", 0, b"state", b"body")])
    print(version, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


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

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    @given(STEPS)
    def test_it_does_what_the_store_in_memory_does(self, steps: list[Step]) -> None:
        compare(self.store, self.namespace(), steps)


def run(path: Path, *scenarios: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """Run a scenario with two open stores of one file."""

    async def main() -> None:
        url = f"sqlite:///{path / 'app.db'}"
        async with opened(SQLiteStore(url, "app")) as store, opened(SQLiteStore(url, "app")) as other:
            for scenario in scenarios:
                await scenario(store, other)

    asyncio.run(main())


async def told(store: Store) -> list[Change]:
    """The next news."""
    news = await asyncio.wait_for(store.news(), 10)
    assert news is not None
    return list(news)


async def watched(store: Store, *keys: str) -> None:
    """Watch these, from now on."""
    for key in keys:
        store.watch(key)
    assert await store.news() is None


def test_commits_between_two_looks_are_one_change_that_has_to_be_read(tmp_path: Path) -> None:
    async def scenario(store: Store, other: Store) -> None:
        first = await commit(other, Commit("a", ABSENT, b"1", b"one"))
        await watched(store, "a", "b", "c")
        second = await commit(other, Commit("a", first, b"2", b"two"))
        third = await commit(other, Commit("a", second, b"3", b"three"))
        new = await commit(other, Commit("b", ABSENT, b"new", None, 0, 7.5))
        assert await told(store) == [
            Change("a", second, Stored(third, third, b"3", None), None, is_complete=False),
            Change("b", ABSENT, Stored(new, 0, b"new", 7.5), None, is_complete=True),
        ]

    run(tmp_path, scenario)


def test_a_stream_that_is_deleted_is_told_once_and_one_that_is_made_anew_has_to_be_read(tmp_path: Path) -> None:
    async def scenario(store: Store, other: Store) -> None:
        first, second = [await commit(other, Commit(key, ABSENT, b"s", b"1")) for key in ("a", "b")]
        await watched(store, "a", "b")
        await commit(other, Commit("a", first, None))
        (gone,) = await told(store)
        assert (gone.key, gone.stored, gone.is_complete) == ("a", None, True)
        assert gone.previous >= first
        await commit(other, Commit("b", second, None))
        again = await commit(other, Commit("b", ABSENT, b"t", b"2"))
        assert await told(store) == [Change("b", ABSENT, Stored(again, again, b"t", None), None, is_complete=False)]
        again = await commit(other, Commit("a", ABSENT, b"t", b"2"))
        assert await told(store) == [Change("a", ABSENT, Stored(again, again, b"t", None), b"2", is_complete=True)]
        await commit(other, Commit("a", again, None))
        assert [(change.key, change.stored) for change in await told(store)] == [("a", None)]

    run(tmp_path, scenario)


def test_own_commits_are_not_told_but_what_others_do_before_and_after_them_is(tmp_path: Path) -> None:
    async def scenario(store: Store, other: Store) -> None:
        await watched(store, "a", "b", "c", "d")
        mine = [await commit(store, Commit(key, ABSENT, b"mine", key.encode())) for key in ("a", "b", "d")]
        theirs = await commit(other, Commit("a", mine[0], b"theirs", b"2"))
        await commit(store, Commit("d", mine[2], None))
        foreign = await commit(other, Commit("c", ABSENT, b"theirs", b"1"))
        own = await commit(store, Commit("c", foreign, b"mine", b"2"))
        assert await told(store) == [
            Change("a", mine[0], Stored(theirs, theirs, b"theirs", None), b"2", is_complete=True),
            Change("c", foreign, Stored(own, own, b"mine", None), None, is_complete=False),
        ]

    run(tmp_path, scenario)


def test_a_process_hears_another_and_what_that_has_committed_survives_its_death(tmp_path: Path) -> None:
    async def scenario(store: Store, _: Store) -> None:
        await watched(store, "a")
        url = f"sqlite:///{tmp_path / 'app.db'}"
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, url, stdout=subprocess.PIPE)
        try:
            (change,) = await told(store)
            assert child.stdout is not None
            version = int(await child.stdout.readline())
        finally:
            child.kill()
            await child.communicate()
        assert change == Change("a", ABSENT, Stored(version, version, b"state", None), b"body", is_complete=True)
        assert await store.read("a", 0, version, 100) == [Record(version, b"body")]

    run(tmp_path, scenario)


def test_who_follows_reads_what_two_processes_append_at_once_in_one_order(tmp_path: Path) -> None:
    async def scenario(*stores: Store) -> None:
        both = [Streams(store) for store in stores]
        keys = ["a", "b", "c"]
        for key in keys:
            await both[0].create(key, Creation())

        async def append(streams: Streams, name: bytes) -> None:
            for n in range(40):
                await asyncio.gather(*(streams.append(key, Append([b"%s %d" % (name, n)])) for key in keys))

        async def follow(streams: Streams, key: str) -> list[bytes]:
            return [item async for page in streams.reading.follow(key, BEGINNING) for item in page.items]

        followed = [asyncio.ensure_future(follow(streams, key)) for key in keys for streams in both]
        await asyncio.gather(*(append(streams, name) for streams, name in zip(both, (b"one", b"two"), strict=True)))
        for key in keys:
            await both[1].append(key, Append(closes=True))
        read = await asyncio.wait_for(asyncio.gather(*followed), 10)
        for one, other in zip(read[::2], read[1::2], strict=True):
            assert one == other
            for name in (b"one", b"two"):
                assert [item for item in one if item.startswith(name)] == [b"%s %d" % (name, n) for n in range(40)]
        for streams in both:
            await streams.close()

    run(tmp_path, scenario)


def test_a_long_stream_is_deleted_with_the_commits_that_follow(tmp_path: Path) -> None:
    async def scenario(store: Store, other: Store) -> None:
        version = ABSENT
        for _ in range(40):
            version = await commit(store, Commit("a", version, b"s", b"x" * 200_000))
        await commit(store, Commit("a", version, None))
        assert await store.load("a") is None
        assert await store.read("a", 0, version, 1000) == []
        assert await asyncio.to_thread(count, tmp_path, "nitro_stream_records") > 20
        again = await commit(other, Commit("a", ABSENT, b"s", b"new"))
        assert await store.read("a", 0, again, 1000) == [Record(again, b"new")]
        for n in range(20):
            await commit(other, Commit(f"b{n}", ABSENT, b"s"))
        assert await asyncio.to_thread(count, tmp_path, "nitro_stream_records") == 1
        assert await asyncio.to_thread(count, tmp_path, "nitro_stream_garbage") == 0

    run(tmp_path, scenario)


@pytest.mark.parametrize("is_replaced", [False, True], ids=["deleted", "replaced"])
def test_a_file_that_is_deleted_or_replaced_is_not_used_any_longer(tmp_path: Path, is_replaced: bool) -> None:
    path, copy = tmp_path / "app.db", tmp_path / "copy.db"

    def save() -> None:
        with contextlib.closing(sqlite3.connect(path)) as one, contextlib.closing(sqlite3.connect(copy)) as two:
            one.backup(two)

    def remove() -> None:
        for name in ("app.db", "app.db-wal", "app.db-shm"):
            (tmp_path / name).unlink()
        if is_replaced:
            copy.rename(path)

    async def scenario(store: Store, other: Store) -> None:
        kept = await commit(store, Commit("kept", ABSENT, b"s", b"1"))
        await asyncio.to_thread(save)
        version = await commit(store, Commit("a", ABSENT, b"s", b"1"))
        await watched(store, "a")
        await asyncio.to_thread(remove)
        assert isinstance((await store.commit([Commit("a", version, b"s", b"2")]))[0], Conflict)
        assert await other.load("a") is None
        assert await other.load("kept") == ((kept, kept, b"s", None) if is_replaced else None)
        assert await asyncio.wait_for(store.news(), 10) is None
        again = await commit(other, Commit("a", ABSENT, b"s", b"3"))
        assert await told(store) == [Change("a", ABSENT, Stored(again, again, b"s", None), b"3", is_complete=True)]

    run(tmp_path, scenario)


def test_what_was_stored_in_a_file_that_was_deleted_meanwhile_is_not_acknowledged(tmp_path: Path) -> None:
    def commit_into_nothing(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE nitro_stream_versions SET version = version + 1")
        (tmp_path / "app.db").unlink()

    async def scenario(store: SQLiteStore, _: Store) -> None:
        with pytest.raises(sqlite3.OperationalError, match="deleted or moved"):
            await asyncio.wrap_future(store._writer.call(commit_into_nothing))
        assert await commit(store, Commit("a", ABSENT, b"s", b"1")) > 0

    run(tmp_path, scenario)


def test_a_file_that_is_locked_for_too_long_is_an_error_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_line, "_BUSY_SECONDS", 0.1)

    async def scenario(store: Store, other: Store) -> None:
        version = await commit(store, Commit("a", ABSENT, b"s", b"1", alarm_at=1.0))
        holder = await asyncio.to_thread(sqlite3.connect, tmp_path / "app.db", check_same_thread=False)
        await asyncio.to_thread(holder.execute, "BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            await store.commit([Commit("a", version, b"s", b"2")])
        postponed = [store.postpone("a", 1.0, 2.0), store.postpone("a", 2.0, 3.0)]
        answers = await asyncio.gather(*postponed, return_exceptions=True)
        assert [type(answer) for answer in answers] == [sqlite3.OperationalError] * 2
        assert await store.load("a") == (version, version, b"s", 1.0)
        await asyncio.to_thread(holder.close)
        assert all(await asyncio.gather(store.postpone("a", 1.0, 2.0), store.postpone("a", 2.0, 3.0)))
        assert await commit(store, Commit("a", version, b"s", b"2")) > version

    run(tmp_path, scenario)


def test_a_full_disk_is_an_error_and_what_follows_is_stored_once_there_is_room(tmp_path: Path) -> None:
    def limit(connection: sqlite3.Connection, pages: int) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    async def scenario(store: SQLiteStore, other: Store) -> None:
        version = await commit(store, Commit("a", ABSENT, b"s", b"1"))
        await asyncio.wrap_future(store._writer.call(limit, 30))
        with pytest.raises(sqlite3.OperationalError, match="full"):
            await store.commit([Commit("a", version, b"s", b"x" * 1_000_000), Commit("b", ABSENT, b"s", b"1")])
        assert await other.load("a") == (version, version, b"s", None)
        assert await other.load("b") is None
        await asyncio.wrap_future(store._writer.call(limit, 100_000))
        assert await commit(store, Commit("a", version, b"s", b"x" * 1_000_000)) > version

    run(tmp_path, scenario)


def test_what_can_not_be_a_file_of_streams_is_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database, but a text that is longer than the head of one " * 20)

    async def scenario(path: Path, why: str) -> None:
        store = SQLiteStore(f"sqlite:///{path}", "app")
        with pytest.raises(BrokerUnavailable, match=why):
            await store.open()
        with pytest.raises(BrokerUnavailable, match=why):
            await store.commit([Commit("a", ABSENT, b"s")])
        await store.close()

    asyncio.run(scenario(tmp_path, "it is a directory"))
    asyncio.run(scenario(tmp_path / "text", "another kind of file"))
    asyncio.run(scenario(tmp_path / "missing" / "app.db", "there is no directory"))
    with pytest.raises(ConfigurationError, match="no file that processes could share"):
        SQLiteStore("sqlite://", "app")


def count(path: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(path / "app.db")) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
