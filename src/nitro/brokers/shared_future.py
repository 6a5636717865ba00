"""A future for all who wait for the same. Each event loop is woken once, however many wait in it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["SharedFuture"]

T = TypeVar("T")
_Waiters = dict["asyncio.Future[None]", None]


class SharedFuture(Future[T]):
    """Completed in any thread. Threads wait as for any future; who waits can't cancel it for the others."""

    def __init__(self) -> None:
        super().__init__()
        self.set_running_or_notify_cancel()
        self.in_loops: dict[asyncio.AbstractEventLoop, _Waiters] = {}  # those in which somebody waits
        self.add_done_callback(_wake_loops)

    async def wait(self, seconds: float) -> bool:
        """Wait in the running loop, for at most `seconds`; returns whether it is done."""
        if self.done():
            return True
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[None] = loop.create_future()
        waiters = self.in_loops.setdefault(loop, {})
        waiters[mine] = None
        timer = loop.call_later(seconds, _wake, (mine,))
        try:
            if not self.done():  # completed meanwhile, by a thread that did not see this loop yet
                await mine
        finally:
            timer.cancel()
            del waiters[mine]
            if not waiters:
                self.in_loops.pop(loop, None)
        return self.done()


def _wake_loops(future: Future[Any]) -> None:
    assert isinstance(future, SharedFuture)
    for loop, waiters in tuple(future.in_loops.items()):
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_wake, waiters)


def _wake(waiters: _Waiters | tuple[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
