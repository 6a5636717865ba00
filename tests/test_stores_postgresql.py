"""The store in PostgreSQL against the conformance suite, on a real server, also through a pool."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import asyncpg
import pytest

from nitro.streams.base import Commit, Store
from nitro.streams.stores.memory import MemoryStore
from nitro.streams.stores.postgresql import PostgresStore
from nitro.testing.conformance.stores import StoreConformance
from tests.brokers import PooledPostgres, Postgres


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

    def test_it_does_what_the_store_in_memory_does(self) -> None:
        async def scenario(store: Store) -> None:
            choice, model = random.Random(7), MemoryStore("memory://", self.namespace())
            versions: dict[int, int] = {0: 0}  # the model's: this store's
            for n in range(150):
                pairs = list[tuple[Commit, Commit]]()
                for key in choice.sample("abcdef", choice.randint(1, 4)):
                    stored = await model.load(key)
                    current = stored.version if stored and choice.random() < 0.8 else 0
                    state = None if choice.random() < 0.15 else b"%d" % n
                    body = None if choice.random() < 0.3 else b"x" * choice.randint(0, 5000)
                    alarm_at = choice.choice((None, n + 0.5))
                    each = Commit(key, current, state, body, current, alarm_at)
                    pairs.append((each, each._replace(expected=versions[current], tail=versions[current])))
                wanted = await model.commit([mine for mine, _ in pairs])
                results = await store.commit([other for _, other in pairs])
                for want, result in zip(wanted, results, strict=True):
                    assert type(want) is type(result)
                    if isinstance(want, int) and isinstance(result, int):
                        versions[want] = result
                for key in "abcdef":
                    stored = await model.load(key)
                    if stored is not None:
                        stored = stored._replace(version=versions[stored.version], tail=versions[stored.tail])
                    assert await store.load(key) == stored
                    records = [(versions[v], body) for v, body in await model.read(key, 0, 1 << 52, 9000)]
                    assert list(await store.read(key, 0, 1 << 52, 9000)) == records
                assert list(await store.due(1e9, 9)) == list(await model.due(1e9, 9))
                assert list(await store.keys("", 9)) == list(await model.keys("", 9))

        self.run(scenario)


class TestPostgresStoreBehindAPool(TestPostgresStore):
    kind = PooledPostgres


def _in_a_thread(call: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Call it where no event loop runs."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(lambda: asyncio.run(call())).result()
