"""What is too long for a store that takes only so much at once is refused by itself, over a store in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest

from nitro.streams.base import Commit, Conflict
from nitro.streams.committer import Applied
from nitro.streams.decisions import Append, Batch, Creation
from nitro.streams.errors import RecordTooLong
from nitro.streams.forking import ForkPoint
from nitro.streams.offsets import BEGINNING
from nitro.streams.stores.memory import MemoryStore
from nitro.streams.streams import Streams


class Narrow(MemoryStore):
    """A store that takes a thousand bytes at once, and notes how long what it got was."""

    max_body_bytes = 1_000
    longest = 0

    async def commit(self, commits: Sequence[Commit]) -> Sequence[int | Conflict]:
        self.longest = max([self.longest, *(len(each.state or b"") + len(each.body or b"") for each in commits)])
        return await super().commit(commits)


def test_what_is_too_long_is_refused_by_itself_and_the_rest_is_stored() -> None:
    asyncio.run(_append_what_is_too_long())


async def _append_what_is_too_long() -> None:
    store = Narrow("memory://", uuid4().hex)
    streams = Streams(store)
    made = await asyncio.gather(
        streams.create("a", Creation()),
        streams.create("long", Creation(items=[b"." * 950])),
        streams.create("kept", Creation(run={"data": "." * 600})),
        streams.create("b", Creation("application/json", items=[b"1"] * 300)),
        return_exceptions=True,
    )
    assert [type(each) for each in made] == [Applied, RecordTooLong, RecordTooLong, Applied]
    sizes = [300, 300, 300, 950, 5, 880]
    appended = await asyncio.gather(
        *(streams.append("a", Append([b"." * size])) for size in sizes), return_exceptions=True
    )
    assert [isinstance(each, RecordTooLong) for each in appended] == [size == 950 for size in sizes]
    assert [len(item) for item in (await streams.reading.page("a", BEGINNING)).items] == [300, 300, 300, 5, 880]
    assert 900 < store.longest <= 1_000
    await streams.close()


def test_what_a_stream_keeps_of_producers_and_forks_leaves_room_for_records() -> None:
    asyncio.run(_fill_a_state())


async def _fill_a_state() -> None:
    streams = Streams(Narrow("memory://", uuid4().hex))
    await streams.create("a", Creation(items=[b"1"]))
    with pytest.raises(RecordTooLong, match="half of that for the state"):
        for n in range(100):
            await streams.append("a", Append([b"2"], batch=Batch(f"producer {n:040}", 0, 0)))
    with pytest.raises(RecordTooLong):
        await streams.create("x" * 600, Creation(), ForkPoint("a"))
    with pytest.raises(RecordTooLong):
        await streams.create("long", Creation(items=[b"." * 990]), ForkPoint("a"))
    await streams.append("a", Append([b"3" * 400]))
    await streams.create("b", Creation(), ForkPoint("a"))
    await streams.delete("a")
    await streams.delete("b")
    assert await streams.access.store.keys("", 10) == []
    await streams.close()
