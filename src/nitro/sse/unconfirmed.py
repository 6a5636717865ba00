"""Unconfirmed: bytes that a server accepted for one client without ever applying backpressure.

Fed by the connection, in front of the server's `send`; ends the outbox when they exceed a limit. Over HTTP/1.1 every
server waits for a full socket. Over HTTP/2 and 3 a client's flow control window may be closed while the socket is
writable, and some servers then buffer without limit: one client that stops reading would hold all events in memory.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from functools import cache
from typing import Final

from starlette.types import Message, Scope, Send

from nitro.delivery.outbox import Outbox
from nitro.delivery.process import get_hub

__all__ = ["Unconfirmed", "bounded"]

log: Final = logging.getLogger("nitro.sse")

_TURNS: Final = 50
"""A send that is still suspended after so many turns of the loop waits for the client. hypercorn also suspends, but for
two or three turns, until its own task has seen that the window is closed; then it accepts more."""
_SERVERS_THAT_WAIT: Final = ("granian",)
"""The packages of servers that apply backpressure over HTTP/2, as tests show. With a client that always reads they
never have to, so only their name tells them from other servers."""


def bounded(scope: Scope, outbox: Outbox, send: Send, max_bytes: int) -> Send:
    """`send`, bounded if the request came over a version of HTTP in which the server may not apply backpressure."""
    if scope.get("http_version", "1.1").startswith("1") or any(map(sys.modules.__contains__, _SERVERS_THAT_WAIT)):
        return send
    return Unconfirmed(outbox, send, max_bytes).send


class Unconfirmed:
    """Counts the unconfirmed bytes of one stream.

    Args:
        outbox: is ended, with the reason `"unconfirmed"`, after the write that exceeds the limit. A browser that still
            reads reconnects and resumes; one that doesn't costs no more memory.
        send: the server's `send`.
        max_bytes: the limit.
    """

    __slots__ = ("_bytes", "_handle", "_is_over", "_loop", "_max_bytes", "_outbox", "_send")

    def __init__(self, outbox: Outbox, send: Send, max_bytes: int) -> None:
        self._outbox = outbox
        self._send = send
        self._max_bytes = max_bytes
        self._bytes = 0
        self._is_over = False
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.Handle | None = None

    async def send(self, message: Message) -> None:
        """Pass `message` to the server and count its bytes."""
        self._bytes += len(message["body"])
        if 2 * self._bytes < self._max_bytes or self._is_over:
            await self._send(message)
            return
        self._count_turn(0)
        try:
            await self._send(message)
        finally:
            if self._handle is not None:
                self._handle.cancel()
                self._handle = None
        if self._bytes > self._max_bytes:
            self._is_over = True
            self._loop.call_soon(self._end)

    def _count_turn(self, turns: int) -> None:
        if turns < _TURNS:
            self._handle = self._loop.call_soon(self._count_turn, turns + 1)
        else:
            self._bytes, self._handle = 0, None

    def _end(self) -> None:
        _warn_once(self._max_bytes)
        get_hub().end(self._outbox, "unconfirmed")

    def __repr__(self) -> str:
        return f"<Unconfirmed: {self._bytes} of {self._max_bytes} bytes>"


@cache
def _warn_once(max_bytes: int) -> None:
    log.warning(
        "the server took more than %d bytes for a client and never made its stream wait: over HTTP/2 it doesn't push "
        "back (hypercorn and uvicorn's zttp don't), and keeps what the client doesn't read. So the stream is ended; a "
        "browser that reads comes back and resumes. Where that is too often, raise NITRO_MAX_UNCONFIRMED_BYTES, or "
        "serve HTTP/2 by granian or by a proxy that speaks HTTP/1.1 to this server",
        max_bytes,
    )
