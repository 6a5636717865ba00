"""The head of the log, including what other processes published, once this process has read up to it.

Used where a stream begins: one without an id, or a page that says where its stream begins. If the log doesn't answer in
time, it is how far this process has read.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, wait
from typing import Final

from nitro.brokers.base import Broker
from nitro.delivery.process import get_hub
from nitro.messages.message import Position

__all__ = ["log_head_async", "position", "position_async", "written_position"]

_ANSWER_SECONDS: Final = 1.0
"""How long to wait for the broker's answer; after that, the position is how far this process has read."""


def position() -> str:
    """The head of the log: everything emitted from here on comes after it.

    Take it before you read the data that a page shows, put it into the page, and let the stream start there
    (`new EventSource("/events?last_event_id=" + position)`): then nothing falls between the page and its stream.

    With a broker that other processes share, the broker is asked. That doesn't block an event loop, except for the
    first time in a process: in coroutines this returns how far the process has read, which may lag some milliseconds
    behind, so that a page hears again what its data has already. There, `await position_async()` asks the broker.
    """
    broker = get_hub().broker
    would_hold_up = broker.is_open and asyncio._get_running_loop() is not None
    return str(broker.head if would_hold_up else _log_head(broker, _ANSWER_SECONDS))


async def position_async() -> str:
    """As `position()`, for coroutines: whatever any process emitted and the broker acknowledged is not after it."""
    return str(await log_head_async(get_hub().broker, _ANSWER_SECONDS))


async def written_position() -> str | None:
    """A position that has everything before it that this process has written and emitted so far; None if the log
    doesn't say so in time.
    """
    broker = get_hub().broker
    pending = broker.acknowledgement()
    if pending is not None:
        await asyncio.wait([asyncio.wrap_future(pending)], timeout=_ANSWER_SECONDS)
        if not pending.done() or pending.exception() is not None:
            return None
    if not broker.is_shared:
        return str(broker.head)
    asked = broker.ask_head(asyncio.get_running_loop())
    head = asked.result() if await asked.wait(_ANSWER_SECONDS) else None
    return None if head is None else str(head)


def _log_head(broker: Broker, seconds: float) -> Position:
    """The head of the log. Blocks this thread, for twice `seconds` at most."""
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
    """As `_log_head`, in an event loop, which isn't blocked."""
    if not broker.is_shared:
        return broker.head
    asked = broker.ask_head(asyncio.get_running_loop())
    head = asked.result() if await asked.wait(seconds) else None
    reading = broker.until_read(head) if head else None
    if reading:
        await reading.wait(seconds)
    return _place(broker, head, reading)


def _place(broker: Broker, head: Position | None, reading: Future[None] | None) -> Position:
    """`head` if this process hasn't read that far in time; else the position that it has read, whose entry it knows."""
    return head if head and reading and not reading.done() else broker.head
