"""Live reading: waits for what is appended, by long-poll or server-sent events, as long as the client stays.

Fed by pages of `Streams.follow`; feeds the server. A reader ends when its stream is closed, its client is gone, its
time is over or its server stops.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

from starlette.types import Receive, Scope, Send

from nitro.chance import CHANCE
from nitro.durable_streams.answers import COMMON
from nitro.durable_streams.cursor import Cursor
from nitro.durable_streams.events import COMMENT, control, data, is_text
from nitro.errors import NitroError
from nitro.sse.readers import readers
from nitro.streams.page import Page

__all__ = ["EVENT_BYTES", "PAUSE_SECONDS", "long_poll", "stream_events"]

log: Final = logging.getLogger("nitro.streams")

EVENT_BYTES: Final = 64 * 1024
"""How much one event holds, at least one record: a client that reads slowly holds some copies of it here."""
PAUSE_SECONDS: Final = 15.0
"""A stream of events is silent for so long at most."""
_LAST_WRITE_SECONDS: Final = 2.0
"""How long the end of a response may take a client that reads slowly."""


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
