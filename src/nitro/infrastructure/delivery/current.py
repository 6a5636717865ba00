"""Where the log stands now, whoever has published it, once this process has read so far.

Asked by those who begin: a stream without an id, a page that says where its stream begins. Where the log gives no
answer in time, it is how far this process has read.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, wait

from nitro.domain.message import Position
from nitro.infrastructure.brokers.base import Broker

__all__ = ["current", "current_async"]


def current(broker: Broker, seconds: float) -> Position:
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


async def current_async(broker: Broker, seconds: float) -> Position:
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
