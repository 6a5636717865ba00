"""The NATS store against the conformance suite, on a nats-server that the tests start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from nitro.streams.base import ABSENT, Commit, Conflict, Record, Store
from nitro.streams.stores.memory import MemoryStore
from nitro.streams.stores.nats.link import Request
from nitro.streams.stores.nats.messages import headers_of
from nitro.streams.stores.nats.store import NatsStore
from nitro.testing.conformance.stores import Heard, StoreConformance, again, commit, eventually, opened
from tests.brokers import Nats
from tests.services import administer

KEYS = ("a", "a/b", "a/b/", "/", "ä" * 1_000, "ä" * 1_000 + "/1")
ALARMS = st.none() | st.sampled_from([1.5, 2.0, 3.25])
ONE = st.fixed_dictionaries(
    {
        "key": st.sampled_from(KEYS),
        "expects": st.sampled_from(["newest", "newest", "newest", "newest", "older", "absent"]),
        "state": st.none() | st.binary(max_size=4) | st.binary(min_size=1, max_size=4),
        "body": st.none() | st.binary(max_size=4),
        "alarm_at": ALARMS,
    }
)
BATCHES = st.lists(ONE, min_size=1, max_size=4, unique_by=lambda each: each["key"])
POSTPONES = st.tuples(st.sampled_from(KEYS), st.sampled_from([1.5, 2.0, 3.25]), st.sampled_from([1.5, 2.0, 3.25]))
STEPS = st.lists(BATCHES | POSTPONES, min_size=1, max_size=25)


class TestNatsStore(StoreConformance):
    broker: ClassVar[Nats]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _started(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with Nats(tmp_path_factory.mktemp("nats")) as cls.broker:
            yield

    @given(steps=STEPS)
    @settings(
        max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors]
    )
    def test_it_does_what_the_store_in_memory_does(self, steps: list[Any]) -> None:
        asyncio.run(self._compare(steps))

    def test_a_key_is_free_whose_deletion_was_not_finished(self) -> None:
        async def scenario(store: Store) -> None:
            assert isinstance(store, NatsStore)
            version = await commit(store, Commit("a", ABSENT, b"1", b"1", alarm_at=1.0))
            assert list(await store.due(2.0, 10)) == ["a"]
            deletion = Commit("a", version, None)
            jetstream, subject = await store._connected(), store._subjects.of("a")
            request = Request(subject, b"", headers_of(deletion, subject, version))
            (gone,) = await jetstream.publish([request], as_batch=False)
            assert gone is not None
            assert await store.load("a") is None
            assert await store.read("a", 0, gone, 1_000) == []
            await eventually(lambda: _is(store.due(2.0, 10), []))
            assert isinstance((await store.commit([deletion]))[0], Conflict)
            again = await commit(store, Commit("a", ABSENT, b"2", b"2"))
            assert await store.read("a", 0, again, 1_000) == [Record(again, b"2")]

        self.run(scenario)

    def test_of_messages_without_a_record_only_the_newest_is_left(self) -> None:
        name = self.namespace()

        async def scenario(store: Store) -> None:
            first = version = await commit(store, Commit("a", ABSENT, b"s", b"1"))
            for n in range(5):
                version = await commit(store, Commit("a", version, b"s", None, first, float(n)))
                assert await store.postpone("a", float(n), n + 0.5)
            assert await store.load("a") == (version, first, b"s", 4.5)
            assert await store.read("a", 0, version, 1_000) == [Record(first, b"1")]

        self.run(scenario, name)
        assert self.leftovers(name) == 2

    def test_batches_that_are_too_many_for_the_server_are_stored_one_by_one(self) -> None:
        async def scenario(store: Store) -> None:
            assert isinstance(store, NatsStore)
            link = (await store._connected()).link
            for n in range(50):  # as many as the server has open of a stream, none of which is ever finished
                batch = {"Nats-Batch-Id": f"{n}", "Nats-Batch-Sequence": "1"}
                await link.tell(store._subjects.of(f"unfinished-{n}"), b"", batch)
            versions = await store.commit([Commit(f"k{n}", ABSENT, b"%d" % n) for n in range(5)])
            for n, version in enumerate(versions):
                assert await store.load(f"k{n}") == (version, 0, b"%d" % n, None)

        self.run(scenario)

    def test_what_was_committed_survives_its_server_and_goes_on(self) -> None:
        async def scenario(store: Store, other: Store) -> None:
            async with Heard(store) as heard:
                await heard.watch("a")
                version = await commit(other, Commit("a", ABSENT, b"1", b"1", alarm_at=1.0))
                assert list(await store.due(2.0, 10)) == ["a"]
                await heard.until("a", version)
                self.broker.kill()
                self.broker.start()
                assert await again(lambda: store.load("a")) == (version, version, b"1", 1.0)
                assert list(await store.due(2.0, 10)) == ["a"]
                second = await again(lambda: commit(other, Commit("a", version, b"2", b"2")))
                await heard.until("a", second)

        self.run_two(scenario)

    async def _compare(self, steps: list[Any]) -> None:
        """Take the steps in two stores of one namespace by turns, and in the one in memory."""
        name = self.namespace()
        async with (
            opened(MemoryStore("memory://", name)) as memory,
            opened(self.store(name)) as one,
            opened(self.store(name)) as other,
        ):
            versions = {ABSENT: ABSENT}  # of the store in memory -> of this one
            known: dict[str, list[int]] = {key: [ABSENT] for key in KEYS}
            for place, step in enumerate(steps):
                store = (one, other)[place % 2]
                if isinstance(step, tuple):
                    assert await store.postpone(*step) == await memory.postpone(*step)
                else:
                    wanted = [await self._commit_of(memory, known[each["key"]], **each) for each in step]
                    told = await memory.commit(wanted)
                    got = await store.commit(
                        [each._replace(expected=versions[each.expected], tail=versions[each.tail]) for each in wanted]
                    )
                    for each, model, real in zip(wanted, told, got, strict=True):
                        assert isinstance(model, Conflict) == isinstance(real, Conflict), (each, model, real)
                        if isinstance(model, int) and isinstance(real, int):
                            versions[model] = real
                            known[each.key].append(model)
                for each in (one, other):
                    await self._is_alike(memory, each, versions)

    @staticmethod
    async def _commit_of(memory: Store, known: list[int], *, key: str, expects: str, **more: Any) -> Commit:
        stored = await memory.load(key)
        newest = ABSENT if stored is None else stored.version
        expected = {"newest": newest, "older": known[len(known) // 2], "absent": ABSENT}[expects]
        return Commit(key, expected, more["state"], more["body"], stored.tail if stored else 0, more["alarm_at"])

    @staticmethod
    async def _is_alike(memory: Store, store: Store, versions: dict[int, int]) -> None:
        for key in KEYS:
            stored, found = await memory.load(key), await store.load(key)
            if stored is not None:
                stored = stored._replace(version=versions[stored.version], tail=versions[stored.tail])
            assert found == stored
            records = await memory.read(key, 0, 1 << 52, 1_000)
            assert list(await store.read(key, 0, 1 << 52, 1_000)) == [
                record._replace(version=versions[record.version]) for record in records
            ]
        for prefix in ("", "a", "a/", "a/b", "ä"):
            assert list(await store.keys(prefix, 3)) == list(await memory.keys(prefix, 3))
        for now in (1.0, 2.0, 4.0):
            await eventually(partial(_is_due, store, now, await memory.due(now, 10)))

    def store(self, namespace: str) -> Store:
        return NatsStore(self.broker.url, namespace)

    def cut(self) -> None:
        self.broker.cut()

    def leftovers(self, namespace: str) -> int:
        async def count(connection: Client) -> int:
            try:
                info = await connection.jetstream().stream_info(f"nitro_{namespace}_streams")
            except NotFoundError:
                return 0
            return int(info.state.messages)

        with ThreadPoolExecutor(1) as elsewhere:  # it is called in a running loop, too
            return elsewhere.submit(administer, self.broker.server.url, count).result()


async def _is(answer: Awaitable[Sequence[str]], wanted: Sequence[str]) -> bool:
    return list(await answer) == list(wanted)


async def _is_due(store: Store, now: float, wanted: Sequence[str]) -> bool:
    return list(await store.due(now, 10)) == list(wanted)
