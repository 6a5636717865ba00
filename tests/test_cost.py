"""What may not grow: the cost of an emit with the number of interests, and what is left after clients went."""

from __future__ import annotations

import asyncio
import gc
import os
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from nitro import Client, active_clients, emit
from nitro.delivery.chain import Batch
from nitro.delivery.hub import Hub

pytestmark = pytest.mark.usefixtures("hub")

TOPICS: dict[str, Callable[[int], Any]] = {
    "rooms": lambda n: {"chat.message": [f"room-{n}"]},
    "exact topics": lambda n: [f"room.{n}.message"],
    "patterns": lambda n: [f"user.{n}.*"],
}
EMITS = {
    "rooms": ("chat.message", "room-7"),
    "exact topics": ("room.7.message", "me"),
    "patterns": ("user.7.renamed", "me"),
}


@pytest.mark.parametrize("kind", TOPICS)
@pytest.mark.alone
def test_an_emit_to_one_of_ten_thousand_costs_under_twenty_microseconds_and_does_not_grow(kind: str) -> None:
    topic, sender = EMITS[kind]

    async def microseconds(count: int) -> float:
        clients = [Client(topics=TOPICS[kind](n)).connect() for n in range(count)]
        took: list[float] = []
        until = time.perf_counter() + 2.0  # the machine may be another's for a while
        while len(took) < 15 or (min(took) >= 18 and time.perf_counter() < until):
            began = time.perf_counter()
            for _ in range(200):
                emit(topic, sender, result={"n": 1})
            await asyncio.sleep(0)  # the tick in which all of them are routed
            took.append((time.perf_counter() - began) / 200 * 1e6)
            got = 0
            async for _ in clients[7].stream():
                got += 1
                if got == 200:
                    break
        for client in clients:
            client.disconnect()
        return min(took)

    few, many = asyncio.run(microseconds(10)), asyncio.run(microseconds(10_000))
    assert many < 20
    assert many < 2 * few + 2


@pytest.mark.slow
def test_ten_thousand_connects_and_drops_leave_everything_as_it_was(hub: Hub) -> None:
    async def round_of(count: int) -> None:
        for n in range(count):
            client = Client(topics=[f"user.{n}.*", "todo.*"], muted_topics=[f"x.{n}"])
            reading = asyncio.create_task(anext(client.connect().stream(), None))
            emit("todo.created", "me", result=n)
            assert await reading == n
            client.subscribe(f"later.{n}")
            client.disconnect()

    async def scenario() -> None:
        await round_of(300)  # what is made once and kept: caches, pools
        gc.collect()
        tasks, fds, memory = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd")), _traced()
        await round_of(10_000)
        gc.collect()
        assert len(asyncio.all_tasks()) == tasks
        assert len(os.listdir("/proc/self/fd")) == fds
        assert len(active_clients) == 0
        assert hub._lanes == {}
        # the log and the cache of checked topics are bounded, and full by now; nothing else may have grown
        assert _traced() - memory < 10_000 * 700

    tracemalloc.start()
    try:
        asyncio.run(scenario())
    finally:
        tracemalloc.stop()


def _traced() -> int:
    return tracemalloc.get_traced_memory()[0]


def test_a_slow_client_keeps_only_its_own_tail_alive(hub: Hub) -> None:
    async def scenario() -> None:
        with Client(topics=["a"]) as slow, Client(topics=["a"]) as quick:
            for n in range(500):
                emit("a", result=n)
                assert await anext(quick.stream()) == n
            assert slow._membership.outbox is not None
            assert quick._membership.outbox is not None
            assert slow._membership.outbox.waiting[0] == 500
            assert quick._membership.outbox.waiting == (0, 0)

    asyncio.run(scenario())


def test_importing_nitro_starts_nothing_and_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    script = (
        "import sys, threading, nitro\n"
        "assert threading.active_count() == 1\n"
        "heavy = {'sqlalchemy', 'sqlmodel', 'starlette', 'pydantic', 'asyncio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from nitro import *\n"
        "assert threading.active_count() == 1\n"
        "from nitro.delivery import process\n"
        "assert process._hub is None\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_what_every_client_has_taken_is_let_go() -> None:
    async def scenario() -> None:
        with Client(topics=["a"]) as client:
            reading = asyncio.create_task(_count(client, 3_000))
            for n in range(3_000):
                emit("a", result=n)
                await asyncio.sleep(0)
            assert await reading == 3_000
            gc.collect()
            assert sum(type(thing) is Batch for thing in gc.get_objects()) < 10

    asyncio.run(scenario())


def test_a_client_that_follows_another_feed_keeps_nothing_of_the_last_one() -> None:
    async def scenario() -> None:
        with Client(topics=["a"]) as reads, Client(topics=["a"]) as waits:
            reading = asyncio.create_task(_count(reads, 1_001))
            emit("a", result=0)
            await asyncio.sleep(0.01)
            waits.mute("a")
            for n in range(1_000):
                emit("a", result=n)
                await asyncio.sleep(0)
            assert await reading == 1_001
            gc.collect()
            assert waits._membership.outbox is not None
            assert waits._membership.outbox.waiting[0] == 1
            assert sum(type(thing) is Batch for thing in gc.get_objects()) < 10

    asyncio.run(scenario())


async def _count(client: Client, wanted: int) -> int:
    count = 0
    async for _ in client.stream():
        count += 1
        if count == wanted:
            break
    return count
