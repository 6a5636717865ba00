"""Where the log stands now, whoever has published it, once this process has read so far.

Asked by those who begin: a stream without an id, a page that says where its stream begins. Where the log gives no
answer in time, it is how far this process has read.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, wait
from typing import Final

from nitro.brokers.base import Broker
from nitro.delivery.process import get_hub
from nitro.messages.message import Position

__all__ = ["log_head_async", "position", "position_async"]

_ANSWER_SECONDS: Final = 1.0
"""How long to wait for a broker that is asked where it stands. After that it is how far this process has read."""


def position() -> str:
    """Where the log stands now: everything emitted from here on comes behind it.

    Take it before you read the data that a page shows, put it into the page, and let the stream start there
    (`new EventSource("/events?last_event_id=" + position)`): then nothing falls between the page and its stream.

    With a broker that other processes share, the broker is asked. An event loop is not held up for that, but for the
    first time in a process: in coroutines this is how far the process has read, which may be some milliseconds behind,
    so that a page hears again what its data has already. `await position_async()` asks there, too.
    """
    broker = get_hub().broker
    would_hold_up = broker.is_open and asyncio._get_running_loop() is not None
    return str(broker.head if would_hold_up else _log_head(broker, _ANSWER_SECONDS))


async def position_async() -> str:
    """As `position()`, in coroutines: what any process had emitted, and the broker acknowledged, is not behind it."""
    return str(await log_head_async(get_hub().broker, _ANSWER_SECONDS))


def _log_head(broker: Broker, seconds: float) -> Position:
    """Hold up this thread for that, and for twice so many seconds at most."""
    if not broker.is_shared:
        return broker.head
    asked = broker.ask_head()
    wait([asked], seconds)
    head = asked.result() if asked.done() else None
    reading = broker.until_read(head) if head else None
    if reading:
        wait([reading], seconds)
    return _place(broker, head, reading)


async def log_head_async(broker: Broker, seconds: float) -> Position:
    """The same in an event loop, which is not held up."""
    if not broker.is_shared:
        return broker.head
    asked = asyncio.wrap_future(broker.ask_head())
    await asyncio.wait([asked], timeout=seconds)
    head = asked.result() if asked.done() else None
    reading = broker.until_read(head) if head else None
    if reading:
        await asyncio.wait([asyncio.wrap_future(reading)], timeout=seconds)
    return _place(broker, head, reading)


def _place(broker: Broker, head: Position | None, reading: Future[None] | None) -> Position:
    """Where this process is, if it has read so far: it knows the entry there."""
    return head if head and reading and not reading.done() else broker.head
