"""What the specification in `tests/model` lets happen, done to the real hubs and links over a log in memory.

Walks at random, told by their seeds, judged by the oracle; and the counterexamples of the explorer, step by step.
`NITRO_TEST_EXAMPLES` is the number of walks of each kind.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from nitro.brokers import log_broker
from nitro.testing.conformance import End, eventually
from nitro.testing.oracle import Verdict
from tests.brokers import SQLite
from tests.model.world import World

pytestmark = pytest.mark.slow

WALKS: Final = int(os.environ.get("NITRO_TEST_EXAMPLES", "150")) // 6
STEPS: Final = 40
RETRIES: Final = ("emit", "emit", "emit", "cut", "lost answer", "move", "leave", "rest")
KINDS: Final[dict[str, tuple[str, ...]]] = {
    "retries": RETRIES,
    "crashes": (*RETRIES, "crash"),
    "trims": (*RETRIES, "emit", "pause", "go on"),
    "forgets": ("emit", "emit", "cut", "move", "leave", "rest", "forget", "pause", "go on"),
    "restores": ("emit", "emit", "cut", "move", "leave", "rest", "save", "put back"),
    "takeovers": ("emit", "emit", "cut", "move", "leave", "rest", "take over"),
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links try again at once, and notice soon that nothing comes."""
    monkeypatch.setattr(log_broker, "_FIRST_BACKOFF", 0.001)
    monkeypatch.setattr(log_broker, "_LONGEST_BACKOFF", 0.002)
    monkeypatch.setattr(log_broker, "_WAIT_SECONDS", 0.02)


@asynccontextmanager
async def world_of(max_messages: int = 1_000) -> AsyncIterator[World]:
    world = await World.begin(max_messages)
    try:
        yield world
    finally:
        await world.close()


class Walk:
    """One walk. Each step is one of its kind's, told by the seed."""

    def __init__(self, world: World, kind: str, seed: int) -> None:
        self.world = world
        self.kind = kind
        self.random = random.Random(seed)
        self.backup: Any = None
        self.backup_epoch = ""

    async def go(self) -> Verdict:
        world = self.world
        world.page.come(world.processes[0])
        for _ in range(STEPS):
            await self.step(self.random.choice(KINDS[self.kind]), self.random.randrange(2))
            await asyncio.sleep(self.random.choice((0, 0, 0.001)))
        world.go_on()
        if world.page.process is None:
            world.page.come(world.processes[0])
        return await world.end()

    async def step(self, what: str, p: int) -> None:
        world = self.world
        process, page = world.processes[p], world.page
        if what == "emit":
            process.emit()
        elif what == "cut":
            process.log.cut()
        elif what == "lost answer":
            process.log.loses_answer = True
        elif what == "move":
            await page.leave()
            page.come(process)
        elif what == "leave":
            await page.leave()
        elif what == "rest":
            await self.rest()
        elif what == "crash":
            if page.process is process:
                await page.leave()
            world.restart(p)
        elif what in ("pause", "go on"):
            process.log.is_paused = what == "pause"
            process.log.wake()
        elif what == "forget":
            await self.rest()  # a batch whose answer is lost may come again in the next epoch
            world.shelf.forget(self.random.randrange(len(world.shelf.master.entries) + 1))
        elif what == "take over":
            await self.rest()
            world.shelf.take_over(self.random.randrange(len(world.shelf.master.entries) + 1))
            for each in world.processes:
                each.log.cut()
        elif what == "save":
            self.backup, self.backup_epoch = world.shelf.save(), world.shelf.master.epoch
        elif what == "put back" and self.backup_epoch == world.shelf.master.epoch:
            await self.rest()
            world.shelf.put_back(self.backup)
            await self.rest()

    async def rest(self) -> None:
        self.world.go_on()
        await self.world.rest()


@pytest.mark.parametrize("kind", KINDS)
def test_a_walk_at_random_is_one_that_the_specification_allows(kind: str) -> None:
    async def walk(seed: int) -> None:
        async with world_of(5 if kind == "trims" else 1_000) as world:
            verdict = await Walk(world, kind, seed).go()
            assert verdict.is_clean, f"seed {seed}: {verdict}"
            if kind in ("retries", "crashes"):
                assert world.page.gaps == [], f"seed {seed}: nothing was lost"

    for seed in range(WALKS):
        asyncio.run(walk(seed))


async def own_entries_come_by(world: World) -> None:
    """What P was told to be in the log is lost before P has read it."""
    (p, _), page, backup = world.processes, world.page, world.shelf.save()
    page.come(p)
    world.pause()
    p.emit()
    await world.until(world.is_acknowledged, "it is acknowledged")
    world.shelf.put_back(backup)
    world.go_on()
    await world.until(lambda: page.gaps == ["epoch"], "the page is told")
    assert (await world.end()).is_clean


async def a_place_that_was_trimmed_is_a_gap(world: World) -> None:
    """The log was put back, and has grown so far that nothing is left that could be compared."""
    (p, _), page, backup = world.processes, world.page, world.shelf.save()
    page.come(p)
    p.emit()
    await world.rest()
    world.pause()
    world.shelf.put_back(backup)
    for _ in range(6):
        p.emit()
    await world.until(world.is_acknowledged, "it is acknowledged")
    world.go_on()
    assert (await world.end()).is_clean
    assert page.gaps


async def an_id_names_its_entry(world: World) -> None:
    """A backup is put back while all are stopped, and grows under the same numbers."""
    (p, _), page, backup = world.processes, world.page, world.shelf.save()
    page.come(p)
    p.emit()
    await world.rest()
    await page.leave()
    world.stop_all()
    world.shelf.put_back(backup)
    world.start_all()
    world.processes[0].emit()
    await world.rest()
    page.come(world.processes[0])
    assert (await world.end()).is_clean
    assert page.gaps


async def an_epoch_does_not_come_again(world: World) -> None:
    """A backup is put back that is older than the epoch."""
    (p, q), page, backup = world.processes, world.page, world.shelf.save()
    page.come(p)
    await world.rest()
    await page.leave()
    q.log.is_refused = True
    q.log.cut()
    p.emit()
    await world.until(world.is_acknowledged, "it is acknowledged")
    world.shelf.forget(1)
    await world.until(lambda: p.hub.broker.head[:2] == world.shelf.head, "P comes to the new epoch")
    world.shelf.put_back(backup)
    await world.until(lambda: p.hub.broker.head[:2] == world.shelf.head, "P follows the log again")
    world.go_on()
    await world.rest()
    page.come(p)
    assert (await world.end()).is_clean
    assert page.gaps == ["epoch"]


async def an_old_master_is_not_believed(world: World) -> None:
    """It acknowledges something to Q after P's page was told of the gap."""
    (p, q), page = world.processes, world.page
    page.come(p)
    world.shelf.take_over(0)
    p.log.cut()
    await world.until(lambda: page.gaps == ["epoch"], "the page is told")
    q.emit()
    await world.until(world.is_acknowledged, "the old master has it")
    q.log.cut()
    assert (await world.end()).is_clean
    assert page.gaps == ["epoch", "epoch"]


async def an_id_of_a_newer_epoch_is_waited_for(world: World) -> None:
    """Q has not noticed the new epoch yet."""
    (p, q), page = world.processes, world.page
    page.come(p)
    q.log.is_refused = True
    world.shelf.forget(0)
    await world.until(lambda: page.gaps == ["epoch"], "the page is told")
    await page.leave()
    page.come(q)
    await world.until(lambda: page.process is q and (page.is_quiet or page.is_held), "the page is there")
    world.go_on()
    assert (await world.end()).is_clean
    assert page.gaps == ["epoch"]


async def an_id_from_further_on_is_waited_for(world: World) -> None:
    """Q is cut off for longer than it has patience."""
    (p, q), page = world.processes, world.page
    page.come(p)
    q.log.is_refused = True
    q.log.cut()
    p.emit()
    await world.until(lambda: len(page.heard) == 1, "the page hears it")
    await page.leave()
    page.come(q)
    await asyncio.sleep(0.4)
    world.go_on()
    assert (await world.end()).is_clean
    assert page.gaps == []


async def a_batch_is_heard_again_behind_a_gap_only(world: World) -> None:
    """Its answer was lost, and then the log; so its process can't know that it was heard, and sends it again."""
    (p, q), page = world.processes, world.page
    page.come(q)
    p.log.loses_answer = p.log.stays_away = True
    p.emit()
    await world.until(lambda: len(page.heard) == 1, "the page hears it")
    world.shelf.forget(1)
    await world.until(lambda: page.gaps == ["epoch"], "the page is told")
    world.go_on()
    await world.rest()
    assert (page.heard, page.gaps) == ([("P", 0), ("P", 0)], ["epoch"])


Trace = Callable[[World], Coroutine[Any, Any, None]]
TRACES: Final[list[Trace]] = [
    own_entries_come_by,
    a_place_that_was_trimmed_is_a_gap,
    an_id_names_its_entry,
    an_epoch_does_not_come_again,
    an_old_master_is_not_believed,
    an_id_of_a_newer_epoch_is_waited_for,
    an_id_from_further_on_is_waited_for,
    a_batch_is_heard_again_behind_a_gap_only,
]


@pytest.mark.parametrize("trace", TRACES)
def test_what_the_model_found(trace: Trace) -> None:
    async def walk() -> None:
        async with world_of(5) as world:
            await trace(world)

    asyncio.run(walk())


def test_a_file_that_was_put_back_is_compared_though_nothing_new_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next event gets the very place at which both processes stand. Thrice, since links look once a second."""
    monkeypatch.setattr(log_broker, "_WAIT_SECONDS", 1.0)
    with SQLite(tmp_path) as broker:
        for _ in range(3):
            namespace = broker.namespace()
            ends = [End(broker.log(namespace)), End(broker.log(namespace))]
            try:
                eventually(lambda: all(end.broker.is_open for end in ends), "both reach the log")  # noqa: B023 - at once
                put_back = broker.save(namespace)
                ends[0].publish(b"1")
                eventually(lambda: all(end.heard.payloads == [b"1"] for end in ends), "both hear it")  # noqa: B023
                put_back()
                ends[0].publish(b"2")
                ends[0].flush()
                until = time.monotonic() + 3
                while not all(len(end.heard.log) > 2 for end in ends) and time.monotonic() < until:
                    time.sleep(0.01)
                assert all(len(end.heard.log) > 2 for end in ends), (
                    "it is acknowledged, and neither heard nor announced"
                )
            finally:
                for end in ends:
                    end.broker.close(1)
