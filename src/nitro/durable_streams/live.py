"""Live reading: waits for what is appended, by long-poll or server-sent events, as long as the client stays.

Fed by pages of `Streams.follow`; feeds the server. A reader ends when its stream is closed, its client is gone, its
time is over or its server stops.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final, TypeVar

from starlette.types import Receive, Scope, Send

from nitro.chance import CHANCE
from nitro.delivery.server_watch import ServerWatch
from nitro.durable_streams.answers import COMMON
from nitro.durable_streams.cursor import Cursor
from nitro.durable_streams.events import COMMENT, control, data, is_text
from nitro.errors import NitroError
from nitro.sse import drain
from nitro.sse.disconnect import disconnected
from nitro.streams.page import Page

__all__ = ["EVENT_BYTES", "PAUSE_SECONDS", "Readers", "long_poll", "readers", "stream_events"]

T = TypeVar("T")

log: Final = logging.getLogger("nitro.streams")

EVENT_BYTES: Final = 64 * 1024
"""How much one event holds, at least one record: a client that reads slowly holds some copies of it here."""
PAUSE_SECONDS: Final = 15.0
"""A stream of events is silent for so long at most."""
_LAST_WRITE_SECONDS: Final = 2.0
"""How long the end of a response may take a client that reads slowly."""


class Readers:
    """Those who wait in one event loop, so that they end with their server."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: set[asyncio.Future[None]] = set()
        self._servers = ServerWatch(loop, copy_context(), self._waiting, self._end)
        self._is_ending = False

    async def wait(self, scope: Scope, receive: Receive, work: Coroutine[Any, Any, T], seconds: float) -> T | None:
        """What `work` returns; None if the client is gone, `seconds` are over or the server stops before."""
        ending: asyncio.Future[None] = self._loop.create_future()
        self._waiting.add(ending)
        drain.drain_with_listener(self._servers, scope.get("server"))
        drain.drain_on_signals(self._servers)
        if self._is_ending:
            ending.set_result(None)
        working = self._loop.create_task(work, name="nitro durable stream")
        watching = self._loop.create_task(disconnected(receive), name="nitro durable stream's client")
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


async def long_poll(scope: Scope, receive: Receive, pages: AsyncIterator[Page], seconds: float) -> Page:
    """The next page that has something, or the last one that was read within `seconds`."""
    page = await anext(pages)
    if page.parts or page.is_closed:
        return page
    return await readers().wait(scope, receive, _something(pages, page), seconds) or page


async def _something(pages: AsyncIterator[Page], last: Page) -> Page:
    async for page in pages:
        if page.parts or page.is_closed:
            return page
    return last


async def stream_events(
    scope: Scope, receive: Receive, send: Send, pages: AsyncIterator[Page], cursor: Cursor, seconds: float
) -> None:
    """Answer with a stream of events. What is refused is raised before anything is sent."""
    page = await anext(pages)
    headers = {
        **COMMON,
        "content-type": "text/event-stream",
        "cache-control": "no-cache, no-store, no-transform",
        "x-accel-buffering": "no",
    }
    if not is_text(page.state.content_type):
        headers["stream-sse-data-encoding"] = "base64"
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    seconds *= CHANCE.uniform(0.9, 1.1)  # so that not all come back at the same time
    with suppress(OSError):  # what some servers raise once the client is gone, and a client that takes no end
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        try:
            await readers().wait(scope, receive, _send_pages(send, pages, page, cursor), seconds)
        except NitroError as error:  # the client comes back, and is told by the status then
            log.debug("a live reader of %s ends: %s", scope["path"], error)
        async with asyncio.timeout(_LAST_WRITE_SECONDS):
            await send({"type": "http.response.body", "body": b""})


async def _send_pages(send: Send, pages: AsyncIterator[Page], page: Page, cursor: Cursor) -> None:
    await _send(send, data(page) + control(page, cursor))
    async for page in pages:
        is_news = page.parts or page.is_closed
        await _send(send, data(page) + control(page, cursor) if is_news else COMMENT)


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
