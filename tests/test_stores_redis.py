"""The Redis store of streams against the conformance suite, on real servers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from nitro.errors import ConfigurationError
from nitro.streams.base import ABSENT, Commit, Conflict, Store, Stored
from nitro.streams.decisions import Append, Creation
from nitro.streams.forking import ForkPoint
from nitro.streams.stores.redis.store import RedisStore
from nitro.streams.streams import Streams
from nitro.testing.conformance.stores import Heard, StoreConformance, again, commit
from tests.brokers import Redis
from tests.services import RedisCluster, RedisServer, Sentinel
from tests.store_pairs import STEPS, Step, compare


class TestRedisStore(StoreConformance):
    broker: Redis

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _started(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with Redis(tmp_path_factory.mktemp("redis")) as cls.broker:
            yield

    def store(self, namespace: str) -> Store:
        return RedisStore(self.broker.url, namespace)

    def cut(self) -> None:
        cut(self.broker.server)

    def leftovers(self, namespace: str) -> int:
        return len(keys_of(self.broker.port, namespace))

    def test_redis_deletes_by_itself_what_has_expired_and_nobody_sweeps_and_nothing_else(self) -> None:
        name = self.namespace()

        async def scenario(store: Store) -> None:
            now = time.time()
            version = await commit(store, Commit("a", ABSENT, b"s", b"1", alarm_at=now + 100, expires=True))
            assert self.left_seconds(name) == pytest.approx([3700, 3700], abs=5)
            assert await store.postpone("a", now + 100, now + 1000)
            assert self.left_seconds(name) == pytest.approx([4600, 4600], abs=5)
            version = await commit(store, Commit("a", version, b"s", b"2"))
            assert self.left_seconds(name) == []
            version = await commit(store, Commit("a", version, b"s", b"3", alarm_at=5.0, expires=True))
            assert self.left_seconds(name) == pytest.approx([3600, 3600], abs=5)
            version = await commit(store, Commit("a", version, b"s", alarm_at=float("inf"), expires=True))
            assert len(self.left_seconds(name)) == 2
            version = await commit(store, Commit("a", version, b"s", b"4", alarm_at=5.0))
            assert await store.postpone("a", 5.0, 6.0)
            assert self.left_seconds(name) == []

        self.run(scenario, name)

    def test_redis_never_deletes_by_itself_what_is_needed(self) -> None:
        name = self.namespace()

        async def main() -> None:
            streams = Streams(self.store(name))
            await streams.create("r", Creation(ttl_seconds=9.0, items=[b"1"], run={}, alarm_at=time.time() + 9))
            assert self.left_seconds(name) == [], "a run that nobody writes is found, and may be started again"
            await streams.create("source", Creation(ttl_seconds=9.0, items=[b"1"]))
            assert len(self.left_seconds(name)) == 2
            await streams.create("fork", Creation(expires_at=1e11, expires_text="", items=[b"2"]), ForkPoint("source"))
            await streams.delete("source")
            assert len(self.left_seconds(name)) == 2, "those of the fork alone"
            await streams.append("r", Append(closes=True))
            assert len(self.left_seconds(name)) == 4
            await streams.close()

        asyncio.run(main())

    def test_what_redis_has_deleted_is_neither_due_nor_found(self) -> None:
        name = self.namespace()

        async def scenario(store: Store) -> None:
            await store.commit([Commit(f"k{n}", ABSENT, b"s", b"1", alarm_at=n + 1.0) for n in range(40)])
            for key in keys_of(self.broker.port, name):
                if key.partition("}:")[2][1:] in {f":k{n}" for n in range(39)}:
                    self.broker.server.run("DEL", key)
            assert list(await store.due(100.0, 5)) == ["k39"]
            assert self.leftovers(name) == 4
            await store.commit([Commit(f"k{n}", ABSENT, b"s", b"1", alarm_at=n + 1.0) for n in range(5)])
            for key in keys_of(self.broker.port, name):
                if key.endswith(":s:k3"):
                    self.broker.server.run("DEL", key)
            assert list(await store.keys("k", 10)) == ["k0", "k1", "k2", "k39", "k4"]

        self.run(scenario, name)

    def test_versions_increase_over_a_deletion_also_if_the_clock_is_behind(self) -> None:
        name = self.namespace()

        async def scenario(store: Store) -> None:
            ahead = int((time.time() + 1) * 1_000_000)
            first = await commit(store, Commit("a", ABSENT, b"s", None, ahead, alarm_at=1.0))
            deleted = await commit(store, Commit("a", first, None))
            assert await store.load("a") is None
            assert list(await store.keys("", 10)) == []
            assert not await store.postpone("a", 1.0, 2.0)
            (result,) = await store.commit([Commit("a", deleted, b"s")])
            assert isinstance(result, Conflict)
            again = await commit(store, Commit("a", ABSENT, b"s", b"1"))
            assert ahead < first < deleted < again
            assert self.left_seconds(name) == []
            await commit(store, Commit("a", again, None))

        self.run(scenario, name)
        deadline = time.monotonic() + 10
        while self.leftovers(name):
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def test_a_store_has_three_connections_however_much_is_asked_at_once(self) -> None:
        async def scenario(store: Store) -> None:
            before = self.connections()
            async with Heard(store) as heard:
                for n in range(50):
                    store.watch(f"k{n}")
                await heard.watch("k49")
                commits = [store.commit([Commit(f"k{n}", ABSENT, b"s", b"1")]) for n in range(500)]
                await asyncio.gather(*commits, *(store.load(f"k{n}") for n in range(500)), store.keys("", 10))
                newest = await store.load("k49")
                assert newest is not None
                await heard.until("k49", newest.version)
                assert self.connections() <= before + 2  # its reader was open

        self.run(scenario)

    def test_a_server_that_has_forgotten_the_scripts_is_told_them(self) -> None:
        async def scenario(store: Store) -> None:
            version = await commit(store, Commit("a", ABSENT, b"s", b"1"))
            self.broker.server.run("SCRIPT", "FLUSH")
            results = await store.commit([Commit("a", version, b"s", b"2"), Commit("b", ABSENT, b"s")])
            assert all(isinstance(result, int) for result in results)
            self.broker.server.run("SCRIPT", "FLUSH")
            assert len(await store.read("a", 0, 1 << 52, 100)) == 2

        self.run(scenario)

    def test_a_restart_of_the_server_loses_nothing(self) -> None:
        async def scenario(store: Store, other: Store) -> None:
            async with Heard(store) as heard:
                await heard.watch("a")
                version = await commit(other, Commit("a", ABSENT, b"s", b"1"))
                self.broker.kill()
                self.broker.start()
                stored = await again(lambda: store.load("a"))
                assert stored == Stored(version, version, b"s", None)
                version = await again(lambda: commit(other, Commit("a", version, b"s", b"2")))
                await heard.until("a", version)

        self.run_two(scenario)

    def test_an_error_that_stays_is_explained_without_secrets(self) -> None:
        url = f"redis://user:secret@127.0.0.1:{self.broker.port}"

        async def main() -> None:
            with pytest.raises(ConfigurationError, match="correct user and password") as raised:
                await RedisStore(url, "n").open()
            assert "secret" not in str(raised.value)

        asyncio.run(main())

    @settings(max_examples=60, deadline=None)
    @given(STEPS)
    def test_it_does_what_the_store_in_memory_does(self, steps: list[Step]) -> None:
        compare(self.store, self.namespace(), steps)

    def left_seconds(self, namespace: str) -> list[float]:
        """How long those Redis keys live that Redis deletes by itself."""
        left = (int(self.broker.server.run("PTTL", key)[1:]) for key in keys_of(self.broker.port, namespace))
        return [milliseconds / 1000 for milliseconds in left if milliseconds >= 0]

    def connections(self) -> int:
        """How many the server has."""
        said = self.broker.server.run("INFO", "clients").split(b"connected_clients:")[1]
        return int(said.split(b"\r")[0])


class TestRedisClusterStore(StoreConformance):
    """A cluster of one node: every command goes the way of a cluster."""

    server: RedisCluster

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _started(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with RedisCluster(tmp_path_factory.mktemp("cluster")) as cls.server:
            assert cls.server.run("CLUSTER", "ADDSLOTSRANGE", "0", "16383") == b"+OK\r\n"
            deadline = time.monotonic() + 10
            while b"cluster_state:ok" not in cls.server.run("CLUSTER", "INFO"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield

    def store(self, namespace: str) -> Store:
        return RedisStore(f"redis+cluster://127.0.0.1:{self.server.port}", namespace)

    def cut(self) -> None:
        cut(self.server)

    def leftovers(self, namespace: str) -> int:
        return len(keys_of(self.server.port, namespace))

    @settings(max_examples=20, deadline=None)
    @given(STEPS)
    def test_it_does_what_the_store_in_memory_does(self, steps: list[Step]) -> None:
        compare(self.store, self.namespace(), steps)


class TestRedisSentinelStore(StoreConformance):
    master: RedisServer
    sentinel: Sentinel

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _started(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        directory = tmp_path_factory.mktemp("sentinel")
        with RedisServer(directory / "redis") as cls.master, Sentinel(directory, cls.master) as cls.sentinel:
            yield

    def store(self, namespace: str) -> Store:
        return RedisStore(self.sentinel.url, namespace)

    def cut(self) -> None:
        cut(self.master)

    def leftovers(self, namespace: str) -> int:
        return len(keys_of(self.master.port, namespace))


def cut(server: RedisServer) -> None:
    """End all connections to it."""
    for kind in ("normal", "pubsub"):
        server.run("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


def keys_of(port: int, namespace: str) -> list[str]:
    """The Redis keys of that namespace."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection, connection.makefile("rb") as answer:
        connection.sendall(b"KEYS nitro:{%b*\r\n" % f"{namespace}/".encode())
        count = int(answer.readline()[1:])
        return [answer.read(int(answer.readline()[1:]) + 2)[:-2].decode() for _ in range(count)]
