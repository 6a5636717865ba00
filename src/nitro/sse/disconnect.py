"""The disconnect: waits for `http.disconnect` such that no `receive` can block the event loop.

Fed by ASGI's `receive`; notifies the connection, whose own task waits here for most of its life.
"""

from __future__ import annotations

import asyncio
import logging
from functools import cache
from typing import Final

from starlette.types import Receive

__all__ = ["disconnected"]

log: Final = logging.getLogger("nitro.sse")

_MANY_MESSAGES: Final = 1_000
"""A server sends one or two before a client disconnects: its request, and the part of the body that wasn't read."""
_PAUSE_SECONDS: Final = 1.0
"""Between two calls of a `receive` that has returned so many: it never waited, but the next call may."""


async def disconnected(receive: Receive) -> None:
    """Return when the client is gone: when `receive` returns `http.disconnect`.

    A `receive` that always returns at once is a middleware's bug, and awaiting it never yields to the event loop. So
    this yields after each message, and after `_MANY_MESSAGES` it calls `receive` only every `_PAUSE_SECONDS`.
    """
    received = 0
    while (await receive())["type"] != "http.disconnect":
        received += 1
        if received <= _MANY_MESSAGES:
            await asyncio.sleep(0)
            continue
        _warn_once()
        await asyncio.sleep(_PAUSE_SECONDS)


@cache
def _warn_once() -> None:
    log.warning(
        "receive() has answered more than %d times at once, and never that the client is gone: a middleware replays "
        "the request's body again and again. Let its receive() hand the body on once, and then await the server's own. "
        "Until then such a stream asks once in %g s, and notices late that a client has gone",
        _MANY_MESSAGES,
        _PAUSE_SECONDS,
    )
