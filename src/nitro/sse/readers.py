"""Readers: requests that wait for news without being clients, so that they end with their server and their page.

Fed by ASGI's `receive`, by signals and by closed listeners; what they wait for is their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any, Final, TypeVar

from starlette.types import Receive, Scope

from nitro.delivery.server_watch import ServerWatch
from nitro.sse import drain
from nitro.sse.disconnect import disconnected

__all__ = ["Readers", "readers"]

T = TypeVar("T")


class Readers:
    """Those who wait in one event loop, so that they end with their server."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: set[asyncio.Future[None]] = set()
        self._servers = ServerWatch(loop, copy_context(), self._waiting, self._end)
        self._is_ending = False

    async def wait(
        self, scope: Scope, receive: Receive, work: Coroutine[Any, Any, T], seconds: float | None
    ) -> T | None:
        """What `work` returns; None if the client is gone, `seconds` are over or the server stops before.

        A `seconds` of None is no limit.
        """
        ending: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(ending)
        drain.drain_with_listener(self._servers, scope.get("server"))
        drain.drain_on_signals(self._servers)
        if self._is_ending:
            ending.set_result(None)
        working = self._loop.create_task(work, name="nitro reader")
        watching = self._loop.create_task(disconnected(receive), name="nitro reader's client")
        try:
            await asyncio.wait((working, watching, ending), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            self._waiting.discard(ending)
            for task in (working, watching):
                task.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)

    def end_soon(self) -> None:
        """End all who wait, and those who come. Safe in a signal handler."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._is_ending = True
        self._servers.stop()
        for ending in self._waiting:
            if not ending.done():
                ending.set_result(None)

    def __repr__(self) -> str:
        return f"<Readers, {len(self._waiting)} waiting>"


_readers: Final[dict[asyncio.AbstractEventLoop, Readers]] = {}


def readers() -> Readers:
    """Those of the running event loop."""
    loop = asyncio.get_running_loop()
    found = _readers.get(loop)
    if found is None:
        for closed in [each for each in _readers if each.is_closed()]:
            del _readers[closed]
        found = _readers[loop] = Readers(loop)
    return found


def _end_all() -> None:
    for each in tuple(_readers.values()):
        each.end_soon()


drain.also_end(_end_all)
