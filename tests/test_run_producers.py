"""Producers whose store takes less than they are sent, or refuses for a while: nothing is lost in silence."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from nitro import runs
from nitro.delivery.hub import Hub
from nitro.errors import ArgumentTypeError, ConfigurationError, InvalidPayload, PayloadTooLarge
from nitro.runs.record import PREFIX, RunRecord, new_id
from nitro.runs.service import get_runs
from nitro.streams.base import Commit, Conflict, Stored
from nitro.streams.committer import Applied
from nitro.streams.decisions import Append, Creation
from nitro.streams.items import JSON
from nitro.streams.stores.memory import MemoryStore
from tests.brokers import BROKERS

REFUSAL = ConfigurationError("JetStream is not on in its server; start it with nats-server -js")


class OddStore(MemoryStore):
    """A store as NATS's: its records are limited, and it may refuse when its server has come back.

    Attributes:
        refusals: how many commits are refused next.
        renews: whether it takes alarms.
        lengths: of the records that it has taken.
    """

    def __init__(self) -> None:
        super().__init__("memory://", uuid4().hex)
        self.refusals = 0
        self.renews = True
        self.lengths: list[int] = []

    async def commit(self, commits: Sequence[Commit]) -> Sequence[int | Conflict]:
        await asyncio.sleep(0.01)  # the way to a server, in which more is sent
        if self.refusals:
            self.refusals -= 1
            raise REFUSAL
        self.lengths += [len(commit.body or b"") + len(commit.state or b"") for commit in commits]
        return await super().commit(commits)

    async def postpone(self, key: str, alarm_at: float, to: float) -> bool:
        if not self.renews:
            raise REFUSAL
        return await super().postpone(key, alarm_at, to)


@pytest.fixture
def store(hub_with: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch) -> OddStore:
    hub_with(run_lease_seconds=1)
    store = OddStore()
    monkeypatch.setattr("nitro.streams.process.make_store", lambda url, namespace: store)
    return store


class CountingStore(MemoryStore):
    """Counts what is loaded at the same time, and what was loaded."""

    def __init__(self) -> None:
        super().__init__("memory://", uuid4().hex)
        self.loads = self.loading = self.most_loading = 0

    async def load(self, key: str) -> Stored | None:
        self.loads += 1
        self.loading += 1
        self.most_loading = max(self.most_loading, self.loading)
        await asyncio.sleep(0)
        self.loading -= 1
        return await super().load(key)


async def ended(run: runs.Run) -> tuple[list[Any], str]:
    return await asyncio.wait_for(run.result(), 10), (await run.info()).state


def test_items_that_are_more_than_a_record_may_hold_go_in_several(store: OddStore) -> None:
    store.max_body_bytes = 100_000
    sent = ["first", *(f"{n}" + "y" * 30_000 for n in range(12)), "z" * 80_000, "last"]

    async def items() -> AsyncIterator[str]:
        for item in sent:
            yield item

    async def scenario() -> None:
        assert await ended(await runs.start(items())) == (sent, "done")

    asyncio.run(scenario())
    assert max(store.lengths) <= 100_000


def test_an_item_that_the_store_does_not_take_is_refused_where_it_is_sent(store: OddStore) -> None:
    store.max_body_bytes = 100_000
    data = "d" * 30_000

    async def work(run: runs.Run) -> None:
        await run.send("first")
        with pytest.raises(PayloadTooLarge, match="takes 53,"):
            await run.send("z" * 60_000)
        await run.send("last")

    async def scenario() -> None:
        assert await ended(await runs.start(work, data=data)) == (["first", "last"], "done")

    asyncio.run(scenario())


def test_a_run_whose_store_takes_less_than_before_fails(store: OddStore) -> None:
    store.max_body_bytes = 100_000

    async def items() -> AsyncIterator[str]:
        yield "first"
        await asyncio.sleep(0.1)
        store.refusals = 1  # so the item waits
        yield "z" * 60_000
        await asyncio.sleep(0.02)
        store.max_body_bytes = 50_000
        await asyncio.sleep(10)

    async def scenario() -> None:
        with pytest.raises(runs.RunFailed, match="longer than the store takes by now"):
            await ended(await runs.start(items()))

    asyncio.run(scenario())


def test_of_a_batch_that_its_store_does_not_take_any_more_what_comes_before_is_kept(store: OddStore) -> None:
    store.max_body_bytes = 200_000

    async def items() -> AsyncIterator[str]:
        yield "first"
        await asyncio.sleep(0.1)
        store.refusals = 1_000  # so the items wait, and are one batch
        for item in ("a", "y" * 20_000, "b", "z" * 100_000, "c"):
            yield item
        await asyncio.sleep(0.02)
        store.max_body_bytes, store.refusals = 60_000, 0
        await asyncio.sleep(10)

    async def scenario() -> None:
        run = await runs.start(items())
        with pytest.raises(runs.RunFailed, match="longer than the store takes by now"):
            await ended(run)
        assert (await run.info()).items == 4

    asyncio.run(scenario())


@pytest.mark.parametrize(("limit", "kept"), [({"max_items": 15}, 15), ({"max_bytes": 30}, 20)])
@pytest.mark.parametrize("pause", [0.0, 0.01], ids=["at once", "slowly"])
def test_a_run_over_its_limit_keeps_all_that_it_has_room_for(
    store: OddStore, limit: dict[str, Any], kept: int, pause: float
) -> None:
    async def items() -> AsyncIterator[int]:
        for n in range(40):
            yield n
            if pause:
                await asyncio.sleep(pause)

    async def scenario() -> None:
        run, found = await runs.start(items(), **limit), list[int]()
        with pytest.raises(runs.RunFailed, match="longer than it may be"):
            async for item in run.items():
                found.append(item)
        assert found == list(range(kept))

    asyncio.run(scenario())


def test_who_sends_more_than_a_run_may_hold_is_told_that_it_has_failed(store: OddStore) -> None:
    async def scenario() -> None:
        run = await runs.start(max_items=2)
        with pytest.raises(runs.RunFailed, match="may have 2"):
            async with runs.open(run.id) as opened:
                for n in range(3):
                    await opened.send(n)
        reason = "the run is longer than it may be: it would have 3 items, and may have 2"
        assert (await run.info())[2:5] == ("failed", reason, 2)
        with pytest.raises(runs.RunFailed, match="may have 2"):
            await opened.send(4)

    asyncio.run(scenario())


@pytest.mark.parametrize("wrong", [0.5, 1.5, 0, float("nan"), float("inf"), True])
def test_a_limit_is_a_whole_number_above_0(store: OddStore, wrong: float) -> None:
    async def scenario() -> None:
        for call in (runs.start(max_items=wrong), runs.start(max_bytes=wrong), runs.list(limit=wrong)):  # type: ignore[arg-type] # by mistake
            with pytest.raises(ConfigurationError, match="is a whole number above 0, not"):
                await call

    asyncio.run(scenario())


@pytest.mark.parametrize("most_bytes", [0, 100])
def test_a_run_whose_state_alone_is_too_long_for_its_store_by_now_is_given_up(
    store: OddStore, most_bytes: int, caplog: pytest.LogCaptureFixture
) -> None:
    store.max_body_bytes = 100_000

    async def work(run: runs.Run) -> None:
        await run.send("first")
        await asyncio.sleep(0.1)
        store.max_body_bytes = most_bytes

    async def scenario() -> None:
        run = await runs.start(work, data="d" * 1_000)
        while "can't be stored" not in caplog.text:
            await asyncio.sleep(0.01)
        while [task for task in asyncio.all_tasks() if "producer of" in task.get_name()]:
            await asyncio.sleep(0.01)
        assert (await run.info()).state == "running"  # until its lease ends

    asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_the_store_refuses_for_a_while_is_stored_then(
    store: OddStore, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def items() -> AsyncIterator[int]:
        for n in range(6):
            if n == 3:
                store.refusals = count
            yield n
            await asyncio.sleep(0.02)

    async def scenario() -> None:
        assert await ended(await runs.start(items())) == ([0, 1, 2, 3, 4, 5], "done")

    asyncio.run(scenario())
    assert ("waits for its store: JetStream is not on" in caplog.text) == bool(count)


def test_an_end_that_the_store_refuses_for_a_while_is_stored_then(store: OddStore) -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0.1)
        store.refusals = 2

    async def scenario() -> None:
        assert await ended(await runs.start(items())) == ([1], "done")

    asyncio.run(scenario())


def test_a_lease_that_the_store_refuses_to_renew_for_a_while_is_kept(
    store: OddStore, hub_with: Callable[..., Hub]
) -> None:
    hub_with(run_lease_seconds=3)

    async def idle(run: runs.Run) -> None:
        store.renews = False
        await asyncio.sleep(0.8)  # in which it is asked at least once
        store.renews = True
        await asyncio.sleep(6)  # it would have been lost by then
        await run.send("late")

    async def scenario() -> None:
        assert await ended(await runs.start(idle)) == (["late"], "done")

    asyncio.run(scenario())


class AwayStore(MemoryStore):
    """A store that can't be reached until some time; by the monotonic clock."""

    away_until = 0.0

    def _answer(self) -> None:
        if time.monotonic() < self.away_until:
            raise ConnectionError

    async def load(self, key: str) -> Stored | None:
        self._answer()
        return await super().load(key)

    async def commit(self, commits: Sequence[Commit]) -> Sequence[int | Conflict]:
        self._answer()
        return await super().commit(commits)

    async def postpone(self, key: str, alarm_at: float, to: float) -> bool:
        self._answer()
        return await super().postpone(key, alarm_at, to)

    async def due(self, now: float, limit: int) -> Sequence[str]:
        self._answer()
        return await super().due(now, limit)


@pytest.mark.parametrize("leases", [1.2, 3.0])
def test_no_run_is_lost_by_a_store_that_is_away_for_however_long(
    leases: float, hub_with: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_with(run_lease_seconds=2)
    away_seconds = 2 * leases
    namespace = uuid4().hex
    monkeypatch.setattr("nitro.streams.process.make_store", lambda url, _: AwayStore(url, namespace))
    monkeypatch.setattr(AwayStore, "away_until", 0.0)

    async def idle(run: runs.Run) -> None:
        await asyncio.sleep(60)

    async def write() -> None:
        for _ in range(20):
            await runs.start(idle)
            await asyncio.sleep(0.03)
        await asyncio.sleep(1.2)
        AwayStore.away_until = time.monotonic() + away_seconds
        await asyncio.sleep(away_seconds + 5)
        assert Counter(info.state for info in await runs.list()) == {"running": 20}

    async def look_after() -> None:
        await runs.list()
        await asyncio.sleep(away_seconds + 5.5)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(asyncio.run, work()) for work in (write, look_after)]:
            done.result()


def test_no_run_is_lost_by_clocks_that_differ_or_jump(
    hub_with: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_with(run_lease_seconds=2, namespace=uuid4().hex)
    clock, of_host = time.time, threading.local()
    monkeypatch.setattr(time, "time", lambda: clock() + getattr(of_host, "ahead", 0.0))
    id = new_id(None, time.time())

    async def idle(run: runs.Run) -> None:
        await asyncio.sleep(60)

    async def write() -> None:
        dead = RunRecord(time.time(), keep_seconds=60, lease_seconds=2, max_items=1, max_bytes=1, epoch=1)
        await get_runs().streams.create(PREFIX + id, Creation(JSON, run=dead.to_json(), alarm_at=time.time()))
        for _ in range(20):
            await runs.start(idle)
            await asyncio.sleep(0.03)
        await asyncio.sleep(2.4)  # the sweeper has reached its store for a lease
        for ahead in (60.0, -60.0):
            of_host.ahead = ahead
            await asyncio.sleep(3)
        assert Counter(info.state for info in await runs.list() if info.id != id) == {"running": 20}
        with pytest.raises(runs.RunLost, match="its producer died"):
            await asyncio.wait_for(runs.open(id).result(), 10)

    async def look_after(ahead: float) -> None:
        of_host.ahead = ahead
        await runs.list()
        await asyncio.sleep(9.5)

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(asyncio.run, work) for work in (write(), look_after(1.5), look_after(60.0))]:
            done.result()


def test_the_newest_runs_are_listed_first_and_no_more_are_loaded_than_are_asked_for(
    store: OddStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = CountingStore()
    monkeypatch.setattr("nitro.streams.process.make_store", lambda url, namespace: counting)

    async def scenario() -> None:
        ids = [(await runs.start(keep_seconds=60 if n < 240 else 0.001)).id for n in range(250)]
        for id in ids[240:]:
            await runs.open(id).end()
        newest = ids[239::-1]
        while {info.id for info in await runs.list()} & set(ids[240:]):
            await asyncio.sleep(0.01)  # they expire
        for limit in (1, 3, 100, 1_000):
            counting.loads = counting.most_loading = 0
            assert [info.id for info in await runs.list(limit=limit)] == newest[:limit]
            assert counting.loads <= 2 * limit + 50  # also those that have expired, and by who deletes them
            assert counting.most_loading <= 100
        assert await runs.list(user_id="ann") == []

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_reason_is_cut_so_that_the_end_can_be_stored(store: OddStore) -> None:
    store.max_body_bytes = 100_000

    async def work(run: runs.Run) -> None:
        await run.send("first")
        raise runs.RunFailed("\n" * 1_000_000)

    async def scenario() -> None:
        run = await runs.start(work)
        with pytest.raises(runs.RunFailed):
            await ended(run)
        assert (await run.info()).reason == "\n" * 2_000

    asyncio.run(scenario())


def test_a_reason_with_half_of_a_surrogate_pair_is_told_with_an_escape(store: OddStore) -> None:
    async def scenario() -> None:
        run = await runs.start()
        with pytest.raises(ArgumentTypeError, match="is a string, and not 404"):
            run.fail(404)  # type: ignore[arg-type] # as it is written by mistake
        await run.fail("can't read caf\udce9.csv")
        assert (await run.info())[2:4] == ("failed", "can't read caf\\udce9.csv")
        long = await runs.start()
        await long.fail("\udce9" * 2_000)
        assert (await long.info()).reason == ("\\udce9" * 400)[:2_000]

    asyncio.run(scenario())


def test_what_cannot_be_kept_of_one_stream_leaves_all_others_of_its_tick_alone(store: OddStore) -> None:
    async def scenario() -> None:
        streams = get_runs().streams
        await streams.create("one", Creation(JSON))
        bad, good, other = await asyncio.gather(
            streams.append("one", Append([b"1"], seq="\udce9")),
            streams.append("one", Append([b"2"])),
            runs.start(),
            return_exceptions=True,
        )
        assert isinstance(bad, InvalidPayload)
        assert isinstance(good, Applied)
        assert isinstance(other, runs.Run)
        found = await streams.find("one")
        assert found.state.items == 1

    asyncio.run(scenario())


def test_over_nats_an_item_is_as_long_as_its_server_takes(tmp_path: Path, hub_with: Callable[..., Hub]) -> None:
    async def work(run: runs.Run) -> None:
        await run.send("first")
        with pytest.raises(PayloadTooLarge):
            await run.send("q" * 1_045_000)
        for n in range(4):
            await run.send(f"{n}" + "y" * 80_000)
        await run.send("q" * 1_015_000)

    async def scenario() -> None:
        items, state = await ended(await runs.start(work))
        assert ([len(item) for item in items], state) == ([5, *[80_001] * 4, 1_015_000], "done")

    with BROKERS["nats"](tmp_path) as broker:
        hub_with(broker_url=broker.url)
        asyncio.run(scenario())


@runs.restartable
def go_on(run: runs.Run, items: list[Any]) -> AsyncIterator[str]:
    async def rest() -> AsyncIterator[str]:
        yield "rest"

    return rest()


def test_work_that_meets_the_end_of_another_run_fails(store: OddStore, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        other = await runs.start()
        await other.end()

        async def work(run: runs.Run) -> None:
            await run.send("first")
            await other.send("x")

        run = await runs.start(work)
        with pytest.raises(runs.RunFailed, match="internal error"):
            await ended(run)
        assert (await run.info()).items == 1

    asyncio.run(scenario())
    assert "nothing can be added to it" in caplog.text


def test_work_that_awaits_what_somebody_has_cancelled_fails_and_is_not_started_again(
    store: OddStore, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(run: runs.Run) -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    async def scenario() -> None:
        with pytest.raises(runs.RunFailed, match="internal error"):
            await ended(await runs.start(work, restart=go_on))

    asyncio.run(scenario())
    assert "CancelledError" in caplog.text


def test_a_block_may_end_its_run_itself(store: OddStore) -> None:
    async def scenario() -> None:
        for fails in (True, False):
            run = await runs.start()
            async with runs.open(run.id) as opened:
                await opened.send(1)
                await (opened.fail("bad file") if fails else opened.end())
            assert (await run.info())[2:5] == (("failed", "bad file", 1) if fails else ("done", None, 1))
            with pytest.raises(runs.RunEnded):
                await opened.send(2)

    asyncio.run(scenario())


def test_a_block_whose_run_was_cancelled_meanwhile_says_so_at_its_end(store: OddStore) -> None:
    async def scenario() -> None:
        run = await runs.start()
        with pytest.raises(runs.RunEnded, match="cancelled"):
            async with runs.open(run.id):
                await runs.cancel(run.id)
        assert (await run.info()).state == "cancelled"

    asyncio.run(scenario())


def test_work_may_write_its_run_in_a_block(store: OddStore) -> None:
    async def work(run: runs.Run) -> None:
        async with run:
            await run.send(1)
            await asyncio.sleep(0.05)
            await run.send(2)

    async def scenario() -> None:
        assert await ended(await runs.start(work)) == ([1, 2], "done")

    asyncio.run(scenario())


def test_a_block_that_is_cancelled_leaves_its_run_to_others(store: OddStore, caplog: pytest.LogCaptureFixture) -> None:
    async def write(id: str) -> None:
        async with runs.open(id) as run:
            await run.send("first")
            await asyncio.sleep(60)

    async def scenario() -> None:
        alone, restarted = await runs.start(), await runs.start(restart=go_on)
        for run in (alone, restarted):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(write(run.id), 0.2)
        assert (await alone.info())[2:5] == ("lost", "its producer was stopped", 1)
        assert await ended(restarted) == (["first", "rest"], "done")

    asyncio.run(scenario())
    assert "Traceback" not in caplog.text


def test_with_in_an_event_loop_says_what_to_write(store: OddStore) -> None:
    async def scenario() -> None:
        run = await runs.start()
        with pytest.raises(ConfigurationError, match="write `async with`"), runs.open(run.id):
            pass
        async with runs.open(run.id) as opened:
            await opened.send(1)
        assert await ended(run) == ([1], "done")

    asyncio.run(scenario())
