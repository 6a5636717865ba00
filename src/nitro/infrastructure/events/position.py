"""Where the log stands, for pages that show data and let a stream go on from there."""

from __future__ import annotations

import asyncio
from typing import Final

from nitro.infrastructure.delivery.current import current, current_async
from nitro.infrastructure.delivery.process import get_hub

__all__ = ["position", "position_async"]

_ANSWER_SECONDS: Final = 1.0
"""How long a broker is waited for that is asked where it stands. Then it is how far this process has read."""


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
    return str(broker.head if would_hold_up else current(broker, _ANSWER_SECONDS))


async def position_async() -> str:
    """As `position()`, in coroutines: what any process had emitted, and the broker acknowledged, is not behind it."""
    return str(await current_async(get_hub().broker, _ANSWER_SECONDS))
