"""The disconnect: a server's word that a client is gone, listened for so that no `receive` can take the loop.

Fed by ASGI's `receive`; tells the connection, whose own task waits here for most of its life.
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
"""A server brings one or two before a client goes: its request, and what of its body the application left unread."""
_PAUSE_SECONDS: Final = 1.0
"""Between two looks at a `receive` that has brought so many: it never waits, but may be right the next time."""


async def disconnected(receive: Receive) -> None:
    """Return when the client is gone: when `receive` says `http.disconnect`.

    A `receive` that answers at once, again and again, is a middleware's mistake, and awaiting it never gives the loop
    back; so that is done here after each answer, and after very many it is asked once in a while.
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
