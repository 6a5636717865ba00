"""The tasks of a link's loop: how long they wait for the log, and how they come to an end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

__all__ = ["ANSWER_SECONDS", "end", "end_all", "in_time", "started_pool"]

T = TypeVar("T")

ANSWER_SECONDS: Final = 5.0
"""How long a log may take for anything before it counts as gone."""


def started_pool(name: str) -> ThreadPoolExecutor:
    """A pool of one thread, which runs already. While the interpreter ends Python 3.12 starts no more of them, and that
    is when a short script publishes what it has emitted.
    """
    pool = ThreadPoolExecutor(1, name)
    pool.submit(int)
    return pool


async def in_time(answer: Awaitable[T], more_seconds: float = 0.0) -> T:
    """What the log answers; `TimeoutError` if it takes too long."""
    async with asyncio.timeout(ANSWER_SECONDS + more_seconds):
        return await answer


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them until they end: a driver may swallow a cancellation that comes together with its answer."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=0.05)
        await asyncio.gather(*done, return_exceptions=True)
    for _ in range(3):  # sockets that were closed a moment ago are let go in the next turns
        await asyncio.sleep(0)


async def end_all() -> None:
    """End what drivers have left in this loop: tasks, and sockets that they forgot when they were cancelled."""
    await end(asyncio.all_tasks() - {asyncio.current_task()})
    for transport in tuple(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
        transport.abort()
    await end(())
