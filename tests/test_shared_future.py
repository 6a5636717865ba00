"""One question about the log's head for all who ask at once, and one future for all who wait for its answer."""

from __future__ import annotations

import asyncio
import threading
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
