"""The store in PostgreSQL against the conformance suite, on a real server, also through a pool."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import asyncpg
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings

from nitro.brokers.postgresql.connection import connection_to
from nitro.brokers.postgresql.dsn import target_of
from nitro.streams.base import ABSENT, Commit, Store
from nitro.streams.stores.postgresql import _SCHEMA, PostgresStore
from nitro.testing.conformance.stores import Heard, StoreConformance, again, commit, eventually
from tests.brokers import PooledPostgres, Postgres
from tests.store_pairs import STEPS, Step, compare
from tests.test_database_of_the_application import documented

SLOW = (
    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3); RETURN NULL; "
    "EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(0.5); RETURN NULL; END $$",
    "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON nitro_stream_records DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION slow()",
)
"""A COMMIT takes its time, and is done although its client gives it up."""


class TestPostgresStore(StoreConformance):
    kind: ClassVar[type[Postgres]] = Postgres
    broker: ClassVar[Postgres]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def started(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        directory: Path = tmp_path_factory.mktemp("store")
        with cls.kind(directory) as cls.broker:
            yield

    def store(self, namespace: str) -> Store:
        return PostgresStore(self.broker.url, namespace)

    def cut(self) -> None:
        self.broker.cut()

    def leftovers(self, namespace: str) -> int:
        async def count() -> int:
            connection: Any = await asyncpg.connect(self.broker.url, statement_cache_size=0)
            try:
                tables = ("nitro_streams", "nitro_stream_records")
                queries = [f"SELECT count(*) FROM {table} WHERE namespace = $1" for table in tables]
                return sum([await connection.fetchval(query, namespace) for query in queries])
            finally:
                await connection.close()

        return _in_a_thread(count)

    def test_a_process_that_is_frozen_in_a_transaction_does_not_keep_its_locks(self) -> None:
        async def freeze() -> int:
            store = self.store(self.namespace())
            (version,) = await store.commit([Commit("k", 0, b"{}", None, 0, None)])
            assert isinstance(version, int)
            frozen = await connection_to(target_of(self.broker.url))
            with pytest.raises(ConnectionError, match="closed by the server"):
                async with frozen.transaction():
                    await frozen.read("SELECT 1 FROM nitro_streams WHERE key = 'k' FOR UPDATE")
                    commit = store.commit([Commit("k", version, b"{}", None, version, None)])
                    (newer,) = await asyncio.wait_for(commit, 15)
            await store.close()
            return newer if isinstance(newer, int) else 0

        assert _in_a_thread(freeze) > 0

    def test_a_commit_that_is_stored_after_it_was_given_up_is_told(self) -> None:
        async def scenario(store: Store) -> None:
            async with Heard(store) as heard:
                await heard.watch("a")
                await asyncio.to_thread(self.broker.server.run, *SLOW)
                try:
                    with pytest.raises(TimeoutError):
                        await asyncio.wait_for(store.commit([Commit("a", ABSENT, b"s", b"late")]), 1)
                    await eventually(lambda: _is_there(store, "a"))
                finally:
                    await asyncio.to_thread(self.broker.server.run, "DROP FUNCTION slow CASCADE")
                stored = await store.load("a")
                assert stored is not None
                await heard.until("a", stored.version)

        self.run(scenario)

    def test_who_listens_notices_that_its_connection_is_dead_though_it_says_nothing(self) -> None:
        async def scenario(store: Store, other: Store) -> None:
            async with Heard(store) as heard:
                await heard.watch("a")
                ears = await self.those_who_listen()
                for pid in ears:
                    os.kill(pid, signal.SIGSTOP)
                try:
                    version = await commit(other, Commit("a", ABSENT, b"s", b"1"))
                    await eventually(lambda: _is_known(heard, version), seconds=20)
                finally:
                    for pid in ears:
                        os.kill(pid, signal.SIGCONT)
                await heard.until("a", await commit(other, Commit("a", version, b"s", b"2")))

        self.run_two(scenario)

    def test_who_lost_its_connection_for_commits_listens_anew(self) -> None:
        async def scenario(store: Store, other: Store) -> None:
            async with Heard(store) as heard:
                await heard.watch("a")
                ears = await self.those_who_listen()
                await asyncio.to_thread(
                    self.broker.server.run,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nitro' "
                    f"AND NOT pid = ANY('{{{','.join(map(str, ears))}}}') AND pid <> pg_backend_pid()",
                )
                await again(lambda: store.load("a"))
                await heard.until("a", await again(lambda: commit(other, Commit("a", ABSENT, b"s", b"1"))))
                await eventually(lambda: self.are_others(ears))

        self.run_two(scenario)

    async def those_who_listen(self) -> list[int]:
        """The same, once as many listen as will: `watch` doesn't wait for that for long."""
        await eventually(lambda: self.has_ears(self.kind is Postgres))
        return await asyncio.to_thread(self.ears)

    async def has_ears(self, count: int) -> bool:
        return len(await asyncio.to_thread(self.ears)) == count

    def ears(self) -> list[int]:
        """The processes of the server in which somebody listens for commits."""
        with psycopg.connect(self.broker.server.url, autocommit=True) as connection:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'nitro' AND query LIKE 'LISTEN _nitro_str%'"
            )
            return [pid for (pid,) in found]

    async def are_others(self, ears: list[int]) -> bool:
        """Whether others listen than before."""
        now = await asyncio.to_thread(self.ears)
        return len(now) == len(ears) and not set(now) & set(ears)

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    @given(STEPS)
    def test_it_does_what_the_store_in_memory_does(self, steps: list[Step]) -> None:
        compare(self.store, self.namespace(), steps)


def test_the_tables_in_the_docs_are_those_that_are_made() -> None:
    _, _, streams, _ = documented("sql", "Tables that an administrator makes")
    assert streams.strip() == _SCHEMA.strip()


class TestPostgresStoreBehindAPool(TestPostgresStore):
    kind = PooledPostgres


async def _is_known(heard: Heard, version: int) -> bool:
    return heard.known["a"] == version


async def _is_there(store: Store, key: str) -> bool:
    return await store.load(key) is not None


def _in_a_thread(call: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Call it where no event loop runs."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(lambda: asyncio.run(call())).result()
