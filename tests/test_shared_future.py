"""One question about the log's head for all who ask at once, and one future for all who wait for its answer."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from nitro.brokers.progress import Progress
from nitro.brokers.shared_future import SharedFuture
from nitro.messages.message import Position


def test_all_who_wait_in_a_loop_go_on_and_who_gives_up_takes_nobody_along() -> None:
    async def scenario() -> None:
        future: SharedFuture[int] = SharedFuture()
        waiting = [asyncio.create_task(future.wait(10)) for _ in range(1_000)]
        hasty = asyncio.create_task(future.wait(0.01))
        cancelled = asyncio.create_task(future.wait(10))
        assert await hasty is False
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert not future.cancel()
        assert not future.done()
        threading.Thread(target=future.set_result, args=[7]).start()
        assert await asyncio.gather(*waiting) == [True] * 1_000
        assert future.result() == 7
        assert await future.wait(0) is True

    asyncio.run(scenario())


def test_loops_and_threads_wait_for_the_same_and_a_closed_loop_holds_nobody_up() -> None:
    future: SharedFuture[int] = SharedFuture()

    async def give_up() -> bool:
        task = asyncio.create_task(future.wait(10))
        await asyncio.sleep(0)
        task.cancel()
        return await future.wait(0.001)

    assert asyncio.run(give_up()) is False
    begun = threading.Barrier(5)

    async def wait() -> bool:
        begun.wait()
        return await future.wait(10)

    def wait_here() -> bool:
        begun.wait()
        return future.result(10) == 7

    with ThreadPoolExecutor(4) as pool:
        waiting = [*(pool.submit(asyncio.run, wait()) for _ in range(3)), pool.submit(wait_here)]
        begun.wait()
        future.set_result(7)
        assert [each.result(10) for each in waiting] == [True] * 4


def test_a_loop_in_which_nobody_waits_any_more_is_not_kept() -> None:
    future: SharedFuture[int] = SharedFuture()

    async def wait_in_vain() -> weakref.ref[asyncio.AbstractEventLoop]:
        waiting = [asyncio.create_task(future.wait(0.001)) for _ in range(3)]
        assert await asyncio.gather(*waiting) == [False] * 3
        return weakref.ref(asyncio.get_running_loop())

    loops = [asyncio.run(wait_in_vain()) for _ in range(3)]
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3


def test_who_asks_before_the_log_is_asked_shares_a_question_and_who_asks_later_does_not() -> None:
    wakes: list[None] = []
    progress = Progress(lambda: wakes.append(None))
    early = progress.ask()
    assert progress.ask() is early
    taken = progress.take_questions()
    late = progress.ask()
    assert late is not early
    assert len(wakes) == 2
    progress.answer(taken, Position("e", 5))
    assert early.result(0) == Position("e", 5)
    assert not late.done()
    assert progress.take_questions() == (late,)
    assert progress.take_questions() == (late,), "asked again, should the first attempt have failed"
    progress.fail()
    assert late.result(0) is None
    assert progress.ask().result(0) is None
    progress.go_on()
    assert not progress.ask().done()


def test_all_who_ask_in_one_turn_of_a_loop_wake_the_log_once_at_its_end() -> None:
    wakes: list[None] = []
    progress = Progress(lambda: wakes.append(None))

    async def ask(times: int) -> None:
        loop = asyncio.get_running_loop()
        asked = [progress.ask(loop) for _ in range(times)]
        assert len(set(asked)) == 1
        assert not wakes
        await asyncio.sleep(0)
        assert len(wakes) == 1
        assert progress.ask(loop) is asked[0]
        await asyncio.sleep(0)
        assert len(wakes) == 1, "it is awake"

    asyncio.run(ask(100))
    progress.take_questions()

    async def leave() -> SharedFuture[Position | None]:
        return progress.ask(asyncio.get_running_loop())

    loop = asyncio.new_event_loop()
    loop.call_soon(loop.stop)
    asked = loop.create_task(leave())
    loop.run_forever()
    loop.close()  # before its turn has ended
    assert len(wakes) == 1
    assert progress.ask() is asked.result(), "and who asks then isn't left waiting"
    assert len(wakes) == 2
    progress.ask()
    assert len(wakes) == 2


def test_who_waits_for_one_place_is_told_when_it_is_read() -> None:
    progress = Progress(lambda: None)
    progress.read(Position("e", 1))
    first, second = progress.until_read(Position("e", 3)), progress.until_read(Position("e", 4))
    assert first is not None
    assert second is not None
    assert progress.until_read(Position("e", 3)) is first
    assert progress.until_read(Position("e", 1)) is None
    progress.read(Position("e", 3))
    assert first.done()
    assert not second.done()
    progress.fail()
    assert second.done()


def test_what_has_failed_meanwhile_is_not_answered_again() -> None:
    progress = Progress(lambda: None)
    asked = progress.ask()
    taken = progress.take_questions()
    progress.fail()
    progress.go_on()
    later = progress.ask()
    progress.answer(taken, Position("e", 5))
    assert asked.result(0) is None
    assert not later.done()
    assert progress.take_questions() == (later,)


def test_what_was_closed_does_not_go_on() -> None:
    progress = Progress(lambda: None)
    asked = progress.ask()
    progress.close()
    assert asked.result(0) is None
    progress.go_on()
    assert progress.ask().result(0) is None
    assert progress.until_read(Position("e", 3)) is None
