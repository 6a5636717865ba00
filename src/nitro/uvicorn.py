"""Direct streams under uvicorn: `uvicorn app:app --http nitro.uvicorn:HttpProtocol`.

The server's HTTP protocol, which hands over the connection of a stream once its response stands. The request goes
through routing, dependencies and middleware as ever; when the head and the opening of an `EventSourceResponse` have
reached the transport, that goes to a `DirectStream`, the application's call returns, and everything else of the request
is freed. uvicorn hands connections to its WebSocket protocols in the same way.

A stream is handed over if its head and opening arrive here as the response sent them; headers may be added. Where a
middleware compresses, signs or rewrites the body, it is streamed as under any other server.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any, Final

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol as _H11

from nitro.sse.direct import EXTENSION, Handed

__all__ = ["H11Protocol", "HttpProtocol"]

_TURNS: Final = 50
"""A middleware with a task of its own passes the opening on within some turns of the loop."""
_OF_THE_BODY: Final = frozenset({b"content-encoding", b"content-length", b"trailer", b"transfer-encoding"})
"""Headers that describe the whole body: whoever adds one means to send it."""


class _Request:
    """One request, whose connection can be handed over: the `Handover` in its scope, and its `send`.

    Args:
        connection: its connection.
        cycle: uvicorn's object for the request and its response.
    """

    __slots__ = ("_bodies", "_connection", "_cycle", "_is_clean", "_opening", "_start")

    def __init__(self, connection: _Connection, cycle: Any) -> None:
        self._connection: _Connection | None = connection
        self._cycle = cycle
        self._start: Message | None = None
        self._opening = b""
        self._is_clean = False
        self._bodies = 0

    def send(self, message: Message) -> Awaitable[None]:
        """ASGI's `send`."""
        if self._start is None and self._connection is not None:  # not a stream, or not yet
            return self._cycle.send(message)  # type: ignore[no-any-return]
        return self._send(message)

    async def _send(self, message: Message) -> None:
        connection = self._connection
        if connection is None:
            return  # the end of the body, passed on by a middleware
        is_body = message["type"] == "http.response.body"
        if message["type"] == "http.response.start":
            message = {**message, "headers": list(message.get("headers", ()))}  # any iterable, by ASGI
            self._is_clean = self._is_head(message)
            connection.leave_unframed(self._cycle)
            if not isinstance(self._cycle.transport, _Held):
                self._cycle.transport = _Held(connection.transport)
        elif is_body and not message.get("more_body", False):
            connection.end_unframed(self._cycle, message)
        await self._cycle.send(message)
        if is_body:
            if isinstance(self._cycle.transport, _Held):
                self._cycle.transport = self._cycle.transport.release()
            self._is_clean = self._is_clean and not self._bodies and message.get("body") == self._opening
            self._bodies += 1

    def expect(self, start: Message, opening: Message) -> None:
        """These are the messages that the response is about to send.

        Raises:
            RuntimeError: the request was answered already, by a stream that goes on.
        """
        if self._connection is None:
            raise RuntimeError("a request is answered once, and a stream has answered this one")
        self._start = {**start, "headers": tuple(start["headers"])}
        self._opening = opening["body"]
        self._connection.is_promised = True

    async def arrived(self) -> bool:
        """Whether they arrived here as they were sent, and the connection can be handed over."""
        for _ in range(_TURNS):
            if self._bodies:
                break
            await asyncio.sleep(0)
        connection, cycle = self._connection, self._cycle
        assert connection is not None
        if self._bodies and self._is_clean and connection.can_go(cycle):
            return True
        connection.break_promise()
        return False

    def take(self, stream: asyncio.Protocol) -> Handed:
        """Make `stream` the protocol of the transport. What the application still sends for this request is dropped."""
        assert self._connection is not None
        connection, self._connection = self._connection, None
        return connection.hand_over(self._cycle, stream)

    def forget(self) -> None:
        """The application's call has returned; what a task of it still sends is dropped."""
        if self._connection is not None:  # a stream that failed before it could take it
            self._connection.break_promise()
        self._connection = self._cycle = None  # the scope refers to this object

    def _is_head(self, message: Message) -> bool:
        assert self._start is not None
        headers = message.get("headers", ())
        return (
            message["status"] == self._start["status"]
            and all(header in headers for header in self._start["headers"])
            and not any(name.lower() in _OF_THE_BODY for name, _ in headers)
        )


class _Held:
    """A transport that keeps what is written, so that the head and the opening leave in one write."""

    __slots__ = ("_bytes", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._bytes = b""

    def write(self, data: bytes) -> None:
        """Keep `data`."""
        self._bytes += data

    def release(self) -> asyncio.Transport:
        """Write what was kept; returns the transport, which is used from here on."""
        if self._bytes and not self._transport.is_closing():
            self._transport.write(self._bytes)
        return self._transport

    def close(self) -> None:
        """uvicorn closes the connection if the application fails."""
        self.release().close()

    def is_closing(self) -> bool:
        """As of the transport."""
        return self._transport.is_closing()


class _Gone:
    """Instead of a transport that was handed over: what fails in the application afterwards is logged, and no more."""

    __slots__ = ()

    def write(self, data: bytes) -> None:
        """Drop `data`."""

    def close(self) -> None:
        """The stream goes on."""

    def is_closing(self) -> bool:
        """True: nothing can be written."""
        return True


class _Connection(asyncio.Protocol):
    """Mixed into a protocol of uvicorn: offers to hand the connection over, with each request.

    Attributes:
        is_promised: whether a stream is about to take the connection over, if its opening arrives.
        is_half_closed: whether the client has closed its sending half meanwhile.
    """

    app: Any  # these are uvicorn's
    connections: Any
    cycle: Any
    flow: Any
    headers: Any
    scope: Any
    server_state: Any
    transport: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._application = self.app
        self.app = self._run
        self.is_promised: bool = False
        self.is_half_closed: bool = False

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> Any:
        request = _Request(self, send.__self__)  # type: ignore[attr-defined]
        scope["extensions"] = {**scope.get("extensions", {}), EXTENSION: request}
        try:
            return await self._application(scope, receive, request.send)
        finally:
            request.forget()

    def shutdown(self) -> None:
        """The server stops."""
        self.server_state.is_stopping = True  # also for connections that are accepted only now
        super().shutdown()  # type: ignore[misc]

    def eof_received(self) -> Any:
        """The client has closed its sending half, or all: uvicorn then closes the connection, a stream goes on."""
        if self.is_promised and self.transport.get_extra_info("sslcontext") is None:
            self.is_half_closed = True
            return True
        return super().eof_received()

    def break_promise(self) -> None:
        """No stream takes the connection over: it is uvicorn's, as before."""
        self.is_promised = False
        if self.is_half_closed:
            self.transport.close()  # as uvicorn would have done at once

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        super().connection_lost(exc)
        self.app = self._application  # instead of a reference to itself

    @property
    def has_more(self) -> bool:
        """Whether the client has sent another request already, or the connection is closing."""
        raise NotImplementedError

    def can_go(self, cycle: Any) -> bool:
        """Whether the connection has nothing to do but this response, which isn't complete."""
        return not (cycle.more_body or cycle.disconnected or cycle.response_complete or self.has_more)

    def leave_unframed(self, cycle: Any) -> None:
        """Called before the head of a stream: its body has no chunks over HTTP/1.0, and ends with the connection."""

    def end_unframed(self, cycle: Any, message: Message) -> None:
        """Called before the last part of such a body, if it wasn't handed over."""

    def hand_over(self, cycle: Any, stream: asyncio.Protocol) -> Handed:
        """Let `stream` have the transport, and forget the request."""
        transport, self.transport = self.transport, None
        cycle.transport = _Gone()
        cycle.response_complete = True
        cycle.message_event.set()
        self.flow.resume_reading()
        self.connections.discard(self)
        self.connections.add(stream)
        transport.set_protocol(stream)
        is_chunked = cycle.scope["http_version"] != "1.0"
        self.cycle = self.scope = self.headers = None
        self.app = self._application
        return Handed(
            transport=transport,
            server=self.server_state,
            is_chunked=is_chunked,
            is_paused=self.flow.write_paused,
            is_half_closed=self.is_half_closed,
            is_stopping=getattr(self.server_state, "is_stopping", False),
        )


class H11Protocol(_Connection, _H11):
    """`HttpProtocol` over h11."""

    @property
    def has_more(self) -> bool:
        """Whether the client has sent another request already, or the connection is closing."""
        return self.transport.is_closing() or bool(self.conn.trailing_data[0])


HttpProtocol: Any = H11Protocol
"""The protocol class for uvicorn's option `--http`: over httptools, or over h11 where httptools is not installed."""

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _HttpTools
except ImportError:
    pass
else:

    class HttpToolsProtocol(_Connection, _HttpTools):
        """`HttpProtocol` over httptools."""

        parser: Any

        @property
        def has_more(self) -> bool:
            """Whether the client has sent another request already, or the connection is closing."""
            return self.transport.is_closing() or bool(self.pipeline) or self.scope is not self.cycle.scope

        def leave_unframed(self, cycle: Any) -> None:
            """uvicorn's own response over HTTP/1.0 has chunks, which that version doesn't know."""
            if cycle.scope["http_version"] == "1.0":
                cycle.chunked_encoding, cycle.expected_content_length = False, sys.maxsize

        def end_unframed(self, cycle: Any, message: Message) -> None:
            """Called before the last part of such a body, if it wasn't handed over."""
            if cycle.chunked_encoding is False:
                cycle.expected_content_length = len(message.get("body", b""))

        def hand_over(self, cycle: Any, stream: asyncio.Protocol) -> Handed:
            """Let `stream` have the transport, and forget the request."""
            self.parser = None  # it refers to this object
            return super().hand_over(cycle, stream)

    HttpProtocol = HttpToolsProtocol
