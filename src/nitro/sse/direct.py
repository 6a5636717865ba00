"""The direct stream: a sink that writes one client's queued messages to its socket itself, without the server's HTTP
protocol, a task, or the frames of the application's call.

Fed by an outbox; feeds a transport that a server handed over once it had written the head and the opening of the
response (`Handover`; `nitro.uvicorn` does). From then on it is the transport's protocol, and what is left of the
request is freed. It writes what `Connection` would write.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import MutableSet
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Final, Protocol

from starlette.background import BackgroundTask
from starlette.types import Message, Scope

from nitro.delivery.frame import WireFormat
from nitro.delivery.outbox import Outbox
from nitro.delivery.process import get_hub
from nitro.delivery.sink import Sink
from nitro.sse.last_bytes import LAST_WRITE_SECONDS, LastBytes

__all__ = ["EXTENSION", "DirectStream", "Handed", "Handover", "ServerState", "handover_of", "leave"]

log: Final = logging.getLogger("nitro.sse")

EXTENSION: Final = "nitro.direct"
"""The ASGI extension under which a server offers a `Handover`."""
_MOST_BYTES: Final = 64 * 1024
"""A client has nothing to say after its request. That much is read and dropped; then it is cut off."""
_COMMENT: Final = b":\n\n"
_PROBES_SECONDS: Final = (0.05, 0.25, 1.0)
"""Pauses between the comments to a client that has closed its sending half. If it has closed both, one of them fails;
after the last, a heartbeat does."""


class ServerState(Protocol):
    """What a server counts, shared by all its connections.

    Attributes:
        connections: those that are open. A server that stops calls `shutdown()` of each, and waits until they are gone.
        tasks: those that run, for which it waits, too.
        total_requests: how many requests are completed.
    """

    connections: MutableSet[Any]
    tasks: MutableSet[Any]
    total_requests: int


@dataclass(frozen=True, slots=True)
class Handed:
    """A connection that its server has let go of.

    Attributes:
        transport: what is written to.
        server: what its server counts.
        is_chunked: whether the head says that the body comes in chunks; else it ends with the connection.
        is_paused: whether the transport has paused writing.
        is_half_closed: whether the client has closed its sending half already.
        is_stopping: whether the server is stopping, and has called `shutdown()` of its connections already.
    """

    transport: asyncio.Transport
    server: ServerState
    is_chunked: bool
    is_paused: bool
    is_half_closed: bool
    is_stopping: bool


class Handover(Protocol):
    """A server's offer, in the scope of one request, to hand its connection over."""

    def expect(self, start: Message, opening: Message) -> None:
        """These are the messages that the response is about to send."""

    async def arrived(self) -> bool:
        """Whether they arrived at the server as they were sent, and the connection can be handed over."""

    def take(self, stream: asyncio.Protocol) -> Handed:
        """Make `stream` the protocol of the transport. What the application still sends for this request is dropped."""


def handover_of(scope: Scope) -> Handover | None:
    """The offer of the server; None from one that makes none."""
    extensions = scope.get("extensions")
    return extensions.get(EXTENSION) if extensions else None


class Streamed(Protocol):
    """What it needs of the client that it streams."""

    streamed: Outbox | None

    def close_outbox(self, outbox: Outbox) -> None:
        """Disconnect, unless the client uses another outbox by now."""


def leave(client: Streamed, outbox: Outbox, sink: Sink | None) -> None:
    """`sink` streams `outbox` no more: disconnect the client, unless another sink reads it."""
    if client.streamed is outbox:
        client.streamed = None
    if outbox.sink is None or outbox.sink is sink:
        client.close_outbox(outbox)


class DirectStream(asyncio.Protocol):
    """Created in the request's own task. It begins to write in the loop's next turn.

    Args:
        handover: the connection.
        outbox: its messages are written.
        wire_format: how they are encoded.
        last_bytes: what is written before the stream is closed.
        client: is disconnected when the connection is lost.
        background: runs after that.
    """

    __slots__ = (
        "_background",
        "_client",
        "_descriptor",
        "_is_chunked",
        "_is_ended",
        "_is_paused",
        "_last_bytes",
        "_outbox",
        "_received",
        "_server",
        "_transport",
        "_wire_format",
    )

    def __init__(
        self,
        handover: Handover,
        outbox: Outbox,
        wire_format: WireFormat,
        last_bytes: LastBytes,
        client: Streamed,
        background: BackgroundTask | None = None,
    ) -> None:
        self._outbox = outbox
        self._wire_format = wire_format
        self._last_bytes = last_bytes
        self._client = client
        self._background = None if background is None else (background, copy_context())
        self._received = 0
        self._is_ended = False
        handed = handover.take(self)
        self._transport = handed.transport
        self._descriptor = _descriptor(handed.transport)
        self._server = handed.server
        self._is_chunked = handed.is_chunked
        self._is_paused = handed.is_paused
        if self._descriptor is not None:  # it pauses as soon as it holds something, until it holds nothing
            handed.transport.set_write_buffer_limits(0)
        if outbox.is_ended:
            self._end()
            return
        outbox.scheduler.counts.direct += 1
        outbox.attach(self)
        if self._is_paused:
            outbox.begin_write()
        else:
            outbox.free()
        if handed.is_half_closed:
            self.eof_received()
        if handed.is_stopping:
            self.shutdown()

    def ready(self) -> bool:
        """Write the queued messages, until the socket takes no more."""
        outbox = self._outbox
        while (body := outbox.take_body(self._wire_format)) is not None:
            if self._is_chunked:
                last, chunk = _framed
                self._write(chunk if last is body else _chunk(body))
            else:
                self._write(body)
            if self._is_paused:
                outbox.begin_write()
                return False
            if not outbox.may_have_more:  # the usual case
                return True
        return True

    def ended(self) -> None:
        """Write the last bytes and close the connection."""
        self._outbox.scheduler.counts.direct -= 1
        self._end()

    def shutdown(self) -> None:
        """The server stops: end the stream when its queued messages are written."""
        get_hub().finish(self._outbox)

    def pause_writing(self) -> None:
        """The socket takes no more now, and the transport holds what it didn't take."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """The socket has taken what the transport held."""
        self._is_paused = False
        if not self._is_ended:
            self._outbox.free()

    def data_received(self, data: bytes) -> None:
        """Drop what the client sends after its request."""
        self._received += len(data)
        if self._received > _MOST_BYTES:
            log.warning("a client sends more than %d bytes to its stream, and is cut off: %r", _MOST_BYTES, self)
            self._transport.abort()

    def eof_received(self) -> bool:
        """The client has closed the connection, or only its sending half: then it goes on reading."""
        if self._is_ended or self._transport.get_extra_info("sslcontext") is not None:
            return False
        comment = _chunk(_COMMENT) if self._is_chunked else _COMMENT
        self._write(comment)  # whoever has closed both halves answers with a reset: on this host at once
        self._probe(comment, 0)
        return not self._transport.is_closing()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is closed, by whichever side."""
        self._is_ended = True
        self._server.connections.discard(self)
        self._server.total_requests += 1
        leave(self._client, self._outbox, self)
        if self._background is not None:
            background, context = self._background
            task = asyncio.get_running_loop().create_task(_logged(background), name="nitro background", context=context)
            self._server.tasks.add(task)
            task.add_done_callback(self._server.tasks.discard)

    def _end(self) -> None:
        if self._is_ended:
            return
        self._is_ended = True
        transport = self._transport
        if transport.is_closing():  # by the client or the server; what it holds may never be read
            asyncio.get_running_loop().call_later(LAST_WRITE_SECONDS, transport.abort)
            return
        last_bytes = self._last_bytes(self._outbox)
        self._write(_chunk(last_bytes) + b"0\r\n\r\n" if self._is_chunked else last_bytes)
        waits = self._descriptor is None or self._is_paused  # for the client: also TLS does, at its end
        transport.close()
        if waits:
            asyncio.get_running_loop().call_later(LAST_WRITE_SECONDS, transport.abort)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if transport.is_closing():  # its descriptor may be another connection's by now
            return
        if self._descriptor is None or self._is_paused:
            transport.write(data)
            return
        try:
            written = os.write(self._descriptor, data)
        except BlockingIOError:
            written = 0
        except OSError:  # the client is gone
            transport.abort()
            return
        if written < len(data):
            transport.write(memoryview(data)[written:])

    def _probe(self, comment: bytes, times: int) -> None:
        """Write a comment, and another one after a pause, until writing fails or it was tried often enough."""
        if self._is_ended or self._transport.is_closing():
            return
        self._write(comment)
        if times < len(_PROBES_SECONDS):
            asyncio.get_running_loop().call_later(_PROBES_SECONDS[times], self._probe, comment, times + 1)

    def __repr__(self) -> str:
        state = "ended" if self._is_ended else "paused" if self._is_paused else "open"
        return f"<DirectStream {state} of {self._outbox!r}>"


_framed: tuple[bytes, bytes] = (b"", b"")


def _chunk(body: bytes) -> bytes:
    """`body` as a chunk of HTTP/1.1, made once for clients that get the same bytes one after the other."""
    global _framed
    chunk = b"%x\r\n%b\r\n" % (len(body), body)
    _framed = body, chunk
    return chunk


def _descriptor(transport: asyncio.Transport) -> int | None:
    """The socket's descriptor; None if bytes can't be written to it as they are."""
    if sys.platform == "win32" or transport.get_extra_info("sslcontext") is not None:
        return None
    connection = transport.get_extra_info("socket")
    return None if connection is None else int(connection.fileno())


async def _logged(background: BackgroundTask) -> None:
    try:
        await background()
    except Exception:
        log.exception("the background task of a stream failed")
