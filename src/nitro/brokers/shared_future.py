"""A future for all who wait for the same. Each event loop is woken once, however many wait in it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

__all__ = ["SharedFuture"]

T = TypeVar("T")
_Waiters = dict["asyncio.Future[None]", None]


class SharedFuture(Future[T]):
    """Completed in any thread. Threads wait as for any future; who waits can't cancel it for the others."""

    def __init__(self) -> None:
        super().__init__()
        self.set_running_or_notify_cancel()
        self._in_loops: dict[asyncio.AbstractEventLoop, _Waiters] = {}

    async def wait(self, seconds: float) -> bool:
        """Wait in the running loop, for at most `seconds`; returns whether it is done."""
        if self.done():
            return True
        loop = asyncio.get_running_loop()
        waiters = self._in_loops.get(loop)
        if waiters is None:
            waiters = self._in_loops[loop] = {}
            self.add_done_callback(partial(_wake_loop, loop, waiters))
        mine: asyncio.Future[None] = loop.create_future()
        waiters[mine] = None
        timer = loop.call_later(seconds, _wake, (mine,))
        try:
            await mine
        finally:
            timer.cancel()
            waiters.pop(mine, None)
        return self.done()


def _wake_loop(loop: asyncio.AbstractEventLoop, waiters: _Waiters, _: Future[Any]) -> None:
    with suppress(RuntimeError):  # the loop is closed
        loop.call_soon_threadsafe(_wake, waiters)


def _wake(waiters: _Waiters | tuple[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
