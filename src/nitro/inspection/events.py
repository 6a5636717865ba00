"""Events: the streams of the inspector's page. They are no clients, so that they don't show up in what they show.

Each begins in the page's own request, and ends with it, with its server, or when the page may look no more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from nitro.delivery.frame import encode_event
from nitro.delivery.hub import Hub
from nitro.inspection.service import InspectionService, Viewer
from nitro.inspection.traffic import LogReader
from nitro.messages.one_line import on_one_line
from nitro.messages.topics import matches
from nitro.sse.last_bytes import LAST_WRITE_SECONDS
from nitro.sse.readers import readers

__all__ = ["send_refusal", "send_reports", "send_tail"]

MayGoOn = Callable[[], Awaitable[bool]]
"""Whether the page may still see what it sees."""

_ASKS_EVERY_SECONDS: Final = 15.0
"""How long a page goes on whose session has ended."""
_TAIL_SECONDS: Final = 0.2
"""Between two looks at the log."""
_TAIL_MESSAGES: Final = 20
"""Most messages of one look that are sent: nobody reads more."""
_LOOKED_AT: Final = 5_000
_SILENT_SECONDS: Final = 10.0
"""After that a comment is written: so that proxies don't cut the stream, and a page that is gone is noticed."""
_COMMENT: Final = b":\n\n"
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
]


async def send_reports(
    scope: Scope, receive: Receive, send: Send, may_go_on: MayGoOn, service: InspectionService, hello: dict[str, Any]
) -> None:
    """Answer with what all processes report, about once a second, as long as the page may see it."""
    loop, news = asyncio.get_running_loop(), asyncio.Event()
    newest: list[bytes] = []

    def take(report: bytes) -> None:
        newest[:] = [report]
        news.set()

    def tell(report: bytes) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(take, report)

    async def events() -> AsyncIterator[bytes]:
        yield encode_event(to_json({"viewer": viewer.id, "worker": service.worker.id, **hello}), event="hello")
        while True:
            try:
                async with asyncio.timeout(_SILENT_SECONDS):
                    await news.wait()
            except TimeoutError:
                yield _COMMENT
                continue
            news.clear()
            yield encode_event(on_one_line(newest[0]), event="report")

    viewer = Viewer(tell)
    service.add(viewer)
    try:
        await _stream(scope, receive, send, may_go_on, events())
    finally:
        service.remove(viewer)


async def send_tail(
    scope: Scope,
    receive: Receive,
    send: Send,
    may_go_on: MayGoOn,
    hub: Hub,
    pattern: str,
    *,
    shows_payloads: bool,
) -> None:
    """Answer with the messages of a pattern that are emitted from now on; if there are very many, with some."""
    messages = _tail(LogReader(hub), pattern, shows_payloads=shows_payloads)
    await _stream(scope, receive, send, may_go_on, messages)


async def send_refusal(scope: Scope, receive: Receive, send: Send, detail: str) -> None:
    """Answer with why there is no tail: a page reads no other answer in such a stream."""

    async def events() -> AsyncIterator[bytes]:
        yield encode_event(to_json({"detail": detail}), event="refused")

    async def once() -> bool:
        return True

    await _stream(scope, receive, send, once, events())


async def _tail(reader: LogReader, pattern: str, *, shows_payloads: bool) -> AsyncIterator[bytes]:
    yield _COMMENT
    written_at = time.monotonic()
    while True:
        await asyncio.sleep(_TAIL_SECONDS)
        messages, left_out = reader.read(_LOOKED_AT)
        found = [message for message in messages if matches(pattern, message.topic)]
        missed = max(0, len(found) - _TAIL_MESSAGES)
        events: list[bytes] = []
        if missed or left_out:
            events.append(encode_event(to_json({"messages": missed, "unread": left_out}), event="missed"))
        for message in found[-_TAIL_MESSAGES:]:
            shown: dict[str, Any] = {
                "at": time.time(),
                "topic": message.topic,
                "id": message.id,
                "sender": message.sender,
                "bytes": len(message.payload),
            }
            if shows_payloads:
                shown["payload"] = message.json
            events.append(encode_event(on_one_line(to_json(shown)), event="message"))
        if not events and time.monotonic() - written_at > _SILENT_SECONDS:
            events = [_COMMENT]
        if events:
            written_at = time.monotonic()
            yield b"".join(events)


async def _stream(scope: Scope, receive: Receive, send: Send, may_go_on: MayGoOn, events: AsyncIterator[bytes]) -> None:
    async def write() -> None:
        asked_at = time.monotonic()
        async for event in events:
            if time.monotonic() - asked_at > _ASKS_EVERY_SECONDS:
                asked_at = time.monotonic()
                if not await may_go_on():
                    return
            await send({"type": "http.response.body", "body": event, "more_body": True})

    with suppress(OSError):  # what some servers raise once the client is gone
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await readers().wait(scope, receive, write(), None)
        async with asyncio.timeout(LAST_WRITE_SECONDS):
            await send({"type": "http.response.body", "body": b""})
