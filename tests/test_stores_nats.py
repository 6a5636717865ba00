"""The NATS store against the conformance suite, on a nats-server that the tests start."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from nitro.errors import PayloadTooLarge
from nitro.streams.base import ABSENT, Commit, Conflict, Record, Store
from nitro.streams.committer import Applied
from nitro.streams.decisions import Append, Creation
from nitro.streams.errors import RecordTooLong
from nitro.streams.stores.nats.link import Request
from nitro.streams.stores.nats.messages import headers_of
from nitro.streams.stores.nats.store import NatsStore
from nitro.streams.streams import Streams
from nitro.testing.conformance.stores import Heard, StoreConformance, again, commit, eventually
from tests.brokers import Nats
from tests.services import administer
from tests.store_pairs import STEPS, Step, compare

CUTS = 20
PATIENCE_SECONDS = 1.5


class TestNatsStore(StoreConformance):
    broker: ClassVar[Nats]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _started(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with Nats(tmp_path_factory.mktemp("nats")) as cls.broker:
            yield

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
    @given(STEPS)
    def test_it_does_what_the_store_in_memory_does(self, steps: list[Step]) -> None:
        compare(self.store, self.namespace(), steps)

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

    def test_what_is_too_long_for_the_server_is_refused_and_what_comes_with_it_is_stored(self) -> None:
        name = self.namespace()

        async def main() -> None:
            streams = Streams(self.store(name))
            await streams.create("first", Creation())
            made = await asyncio.gather(
                streams.create("long", Creation(run={"data": "." * 2_000_000})),
                streams.create("short", Creation(run={"data": "." * 500_000})),
                return_exceptions=True,
            )
            assert [type(each) for each in made] == [RecordTooLong, Applied]
            with pytest.raises(PayloadTooLarge):
                await streams.append("short", Append([b"." * 600_000]))
            await streams.append("short", Append([b"." * 500_000]))
            await streams.close()

        asyncio.run(main())

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

    def test_cuts_while_hundreds_of_keys_are_committed_hold_up_nothing(self) -> None:
        async def scenario(store: Store) -> None:
            is_over = asyncio.Event()
            seconds: list[float] = []

            async def write(key: str) -> None:
                while not is_over.is_set():
                    began = time.monotonic()
                    with contextlib.suppress(NatsError, OSError):
                        stored = await store.load(key)
                        version = ABSENT if stored is None else stored.version
                        await store.commit([Commit(key, version, b"s", b"b" * 30_000)])
                    seconds.append(time.monotonic() - began)
                    await asyncio.sleep(0.001)

            async with asyncio.TaskGroup() as tasks:
                for n in range(400):  # more bytes than nats-py would have unsent
                    tasks.create_task(write(f"k{n}"))
                for _ in range(CUTS):
                    await asyncio.sleep(0.1)
                    self.broker.cut()
                is_over.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await again(lambda: commit(store, Commit("last", ABSENT, b"s")))
            assert max(seconds) < PATIENCE_SECONDS
            hearing = [task for task in asyncio.all_tasks() if "_wait_for_msgs" in repr(task.get_coro())]
            assert len(hearing) < 4  # those of the last connection

        self.run(scenario)

    @pytest.mark.timed
    def test_whatever_waits_for_an_answer_fails_when_the_connection_is_cut(self) -> None:
        async def scenario(store: Store) -> None:
            assert isinstance(store, NatsStore)
            await commit(store, Commit("a", ABSENT, b"s"))
            jetstream = await store._connected()
            self.broker.proxy.stall()
            try:
                waiting = [
                    asyncio.ensure_future(each)
                    for each in (jetstream.open(), store.load("a"), store.due(1.0, 1), store.keys("", 1))
                ]
                await asyncio.sleep(0.1)
                began = time.monotonic()
                self.broker.cut()
                told = await asyncio.gather(*waiting, return_exceptions=True)
                seconds = time.monotonic() - began
            finally:
                self.broker.proxy.go_on()
            assert seconds < PATIENCE_SECONDS
            assert all(isinstance(each, NatsError | OSError) for each in told), told
            assert await again(lambda: store.load("a")) is not None

        self.run(scenario)

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
