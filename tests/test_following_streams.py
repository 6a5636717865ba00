"""Followers of streams with an end, over a store in memory: what they are told of streams that go and come again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from uuid import uuid4

import pytest

from nitro.errors import BrokerUnavailable
from nitro.streams.base import Commit, Conflict
from nitro.streams.committer import Applied
from nitro.streams.decisions import Append, Batch, Creation
from nitro.streams.errors import StreamExists, StreamGone, StreamNotFound, TooMany
from nitro.streams.forking import ForkPoint
from nitro.streams.offsets import BEGINNING
from nitro.streams.stores.memory import MemoryStore
from nitro.streams.streams import Streams


def test_who_follows_a_stream_is_told_nothing_of_another_one_of_its_name() -> None:
    asyncio.run(_follow_one_that_comes_again())


async def _follow_one_that_comes_again() -> None:
    streams = Streams(MemoryStore("memory://", uuid4().hex))
    await streams.create("a", Creation(items=[b"old"]))
    async with aclosing(streams.reading.follow("a", BEGINNING)) as pages:
        assert (await anext(pages)).items == [b"old"]
        following = asyncio.ensure_future(anext(pages))
        await asyncio.sleep(0)
        deleting = asyncio.ensure_future(streams.delete("a"))
        creating = asyncio.ensure_future(streams.create("a", Creation()))
        appending = asyncio.ensure_future(streams.append("a", Append([b"new"])))
        with pytest.raises(StreamNotFound):
            await following
        await asyncio.gather(deleting, creating, appending)
    await streams.close()


def test_of_two_forks_that_want_one_name_the_source_keeps_what_the_first_one_reads() -> None:
    asyncio.run(_fork_twice())


async def _fork_twice() -> None:
    streams = Streams(MemoryStore("memory://", uuid4().hex))
    await streams.create("source", Creation(items=[b"kept"]))
    made = await asyncio.gather(
        *(streams.create("fork", Creation(ttl_seconds=ttl), ForkPoint("source")) for ttl in (100, 200)),
        return_exceptions=True,
    )
    assert [type(each) for each in made] == [Applied, StreamExists]
    await streams.delete("source")
    assert (await streams.reading.page("fork", BEGINNING)).items == [b"kept"]
    await streams.delete("fork")
    assert await streams.access.store.keys("", 10) == []
    await streams.close()


def test_a_fork_of_a_fork_has_nothing_behind_the_place_where_it_left_it() -> None:
    asyncio.run(_fork_a_fork())


async def _fork_a_fork() -> None:
    streams = Streams(MemoryStore("memory://", uuid4().hex))
    first = (await streams.create("a", Creation(items=[b"1"]))).offset
    for item in (b"2", b"3"):
        await streams.append("a", Append([item]))
    await streams.create("b", Creation(items=[b"of b"]), ForkPoint("a"))
    await streams.create("c", Creation(), ForkPoint("b", first))
    await streams.create("d", Creation(items=[b"of d"]), ForkPoint("c"))
    items = {key: (await streams.reading.page(key, BEGINNING)).items for key in "abcd"}
    assert items == {"a": [b"1", b"2", b"3"], "b": [b"1", b"2", b"3", b"of b"], "c": [b"1"], "d": [b"1", b"of d"]}
    await streams.close()


def test_a_fork_has_all_that_its_sources_have_or_there_are_too_many() -> None:
    asyncio.run(_fork_forks())


async def _fork_forks() -> None:
    streams = Streams(MemoryStore("memory://", uuid4().hex))
    await streams.create("0", Creation(items=[b"0"]))
    with pytest.raises(TooMany):
        for n in range(1, 200):
            await streams.create(f"{n}", Creation(items=[b"%d" % n]), ForkPoint(f"{n - 1}"))
    last = len(await streams.access.keys("", 1_000)) - 1
    assert (await streams.reading.page(f"{last}", BEGINNING)).items == [b"%d" % n for n in range(last + 1)]
    await streams.close()


def test_a_fork_whose_source_is_missing_is_refused() -> None:
    asyncio.run(_lose_a_source())


async def _lose_a_source() -> None:
    store = MemoryStore("memory://", uuid4().hex)
    streams = Streams(store)
    await streams.create("a", Creation(items=[b"1"]))
    await streams.create("b", Creation(items=[b"2"]), ForkPoint("a"))
    await streams.create("c", Creation(items=[b"3"]), ForkPoint("b"))
    assert (await streams.reading.page("c", BEGINNING)).items == [b"1", b"2", b"3"]
    found = await store.load("a")
    assert found is not None
    await store.commit([Commit("a", found.version, None)])
    for key in ("b", "c"):
        with pytest.raises(StreamGone, match=f"'{key}' inherits from 'a', which is no longer there"):
            await streams.reading.page(key, BEGINNING)
    await streams.close()


def test_a_source_that_is_read_elsewhere_outlives_its_forks() -> None:
    asyncio.run(_delete_forks_while_it_is_read())


async def _delete_forks_while_it_is_read() -> None:
    namespace = uuid4().hex
    one, other = (Streams(MemoryStore("memory://", namespace)) for _ in range(2))
    await one.create("source", Creation(ttl_seconds=0.6, items=[b"kept"]))
    for fork in ("b", "c"):
        await one.create(fork, Creation(ttl_seconds=100), ForkPoint("source"))
    for _ in range(4):
        await asyncio.sleep(0.2)
        await other.reading.page("source", BEGINNING)  # which postpones an alarm that the first process remembers
    for fork in ("b", "c"):
        await one.delete(fork)
        assert (await other.reading.page("source", BEGINNING)).items == [b"kept"]
    await one.create("b", Creation(ttl_seconds=100), ForkPoint("source"))
    await asyncio.sleep(0.7)
    await one.delete("b")
    with pytest.raises(StreamNotFound):
        await one.find("source", asks_store=True)  # what has expired is not alive again because its fork is gone
    await asyncio.gather(one.close(), other.close())


def test_who_follows_a_stream_renews_its_life_although_another_process_has_done_so() -> None:
    asyncio.run(_renew_what_was_renewed())


async def _renew_what_was_renewed() -> None:
    namespace = uuid4().hex
    one, other = (Streams(MemoryStore("memory://", namespace)) for _ in range(2))
    begun = time.time()
    await one.create("a", Creation(ttl_seconds=1_000))
    found = await one.access.load("a")
    assert found is not None and found.stored.alarm_at is not None
    await one.access.postpone("a", found.stored.alarm_at, begun + 100)
    with one.access.reading("a") as tail:
        await one.access.newest(tail)
        assert await other.access.postpone("a", begun + 100, begun + 200)  # no commit, so nobody is told
        async with aclosing(one.reading.follow("a", BEGINNING)) as pages:
            await anext(pages)
        assert tail.current == await other.access.load("a")
    assert tail.current is not None and tail.current.stored.alarm_at is not None
    assert tail.current.stored.alarm_at >= begun + 1_000
    await asyncio.gather(one.close(), other.close())


def test_what_has_expired_takes_nothing_while_somebody_is_about_to_delete_it() -> None:
    asyncio.run(_append_between())


async def _append_between() -> None:
    streams = Streams(MemoryStore("memory://", uuid4().hex))
    await streams.create("a", Creation(ttl_seconds=0.05))
    found = await streams.access.load("a")
    assert found is not None
    while not await streams.access.seize("a", found):
        await asyncio.sleep(0.01)
    assert not await streams.access.seize("a", found), "one of two sweepers was first"
    with pytest.raises(StreamNotFound):
        await streams.append("a", Append([b"too late"]))
    while await streams.access.load("a") is not None:
        await asyncio.sleep(0.01)
        await streams.sweeper.sweep("a")
    await streams.close()


class Slow(MemoryStore):
    """A store that takes its time to answer that it has postponed an alarm."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self.has_postponed, self.may_answer = asyncio.Event(), asyncio.Event()

    async def postpone(self, key: str, alarm_at: float, to: float) -> bool:
        is_done = await super().postpone(key, alarm_at, to)
        self.has_postponed.set()
        await self.may_answer.wait()
        return is_done


def test_who_sweeps_deletes_no_stream_that_was_made_meanwhile() -> None:
    asyncio.run(_sweep_while_it_is_made_anew())


async def _sweep_while_it_is_made_anew() -> None:
    namespace = uuid4().hex
    store = Slow("memory://", namespace)
    one, other = Streams(store), Streams(MemoryStore("memory://", namespace))
    await one.create("a", Creation(ttl_seconds=0.01))
    await asyncio.sleep(0.02)
    sweeping = asyncio.ensure_future(one.sweeper.sweep("a"))
    await store.has_postponed.wait()
    await asyncio.sleep(0.002)  # so the alarm that was seized is due again
    await other.create("a", Creation(items=[b"new"]))
    store.may_answer.set()
    await sweeping
    assert (await other.reading.page("a", BEGINNING)).items == [b"new"]
    await asyncio.gather(one.close(), other.close())


class Lossy(MemoryStore):
    """A store whose next commit is stored, and its answer lost."""

    is_losing = False

    async def commit(self, commits: Sequence[Commit]) -> Sequence[int | Conflict]:
        results = await super().commit(commits)
        if self.is_losing:
            self.is_losing = False
            raise ConnectionResetError("the answer was lost")
        return results


def test_who_follows_hears_a_commit_whose_answer_was_lost() -> None:
    asyncio.run(_lose_an_answer())


async def _lose_an_answer() -> None:
    store = Lossy("memory://", uuid4().hex)
    streams = Streams(store)
    await streams.create("a", Creation())
    async with aclosing(streams.reading.follow("a", BEGINNING)) as pages:
        await anext(pages)
        following = asyncio.ensure_future(anext(pages))
        await asyncio.sleep(0)
        last = Append([b"last"], batch=Batch("p", 0, 0), closes=True)
        store.is_losing = True
        with pytest.raises(BrokerUnavailable, match="was lost"):
            await streams.append("a", last)
        assert not (await streams.append("a", last)).is_changed
        page = await asyncio.wait_for(following, 5)
        assert (page.items, page.is_closed) == ([b"last"], True)
        assert (await streams.find("a")).state.is_closed
    await streams.close()
