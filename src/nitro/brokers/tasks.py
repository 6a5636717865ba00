"""The tasks of a log broker's loop: their timeout, and how they are ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

__all__ = ["ANSWER_SECONDS", "end", "end_all", "in_time", "retry_seconds", "started_pool"]

T = TypeVar("T")

ANSWER_SECONDS: Final = 5.0
"""Timeout of every operation of a log."""
_RETRY_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)


def retry_seconds(failures: int) -> float:
    """How long to wait after so many failures before it is tried again, from 0 on."""
    return _RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)]


def started_pool(name: str) -> ThreadPoolExecutor:
    """A pool of one thread, which is already started. Python 3.12 starts no threads while the interpreter shuts down,
    which is when a short script publishes what it has emitted.
    """
    pool = ThreadPoolExecutor(1, name)
    pool.submit(int)
    return pool


async def in_time(answer: Awaitable[T], more_seconds: float = 0.0) -> T:
    """Await `answer`; raises `TimeoutError` after `ANSWER_SECONDS` and `more_seconds`."""
    async with asyncio.timeout(ANSWER_SECONDS + more_seconds):
        return await answer


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks repeatedly until they end: a driver may swallow a cancellation that coincides with an answer."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=0.05)
        await asyncio.gather(*done, return_exceptions=True)
    for _ in range(3):  # closed sockets are released in the next iterations of the loop
        await asyncio.sleep(0)


async def end_all() -> None:
    """End what drivers left in this loop: tasks, and sockets that were not closed on cancellation."""
    await end(asyncio.all_tasks() - {asyncio.current_task()})
    for transport in tuple(getattr(asyncio.get_running_loop(), "_transports", {}).values()):
        transport.abort()
    await end(())
