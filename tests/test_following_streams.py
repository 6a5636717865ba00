"""Followers of streams with an end, over a store in memory: what they are told of streams that go and come again."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from uuid import uuid4

import pytest

from nitro.streams.committer import Applied
from nitro.streams.decisions import Append, Creation
from nitro.streams.errors import StreamExists, StreamNotFound
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
