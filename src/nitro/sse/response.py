"""EventSourceResponse: streams a client's events as server-sent events.

Fed by a client's outbox; feeds the server. The response's own task only waits until the client disconnects; the
connection, driven by the client's feed, writes the stream.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Mapping
from functools import cache
from time import monotonic
from typing import Any, ClassVar, Final, Protocol
from urllib.parse import parse_qsl

from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from nitro.delivery.frame import WireFormat, encode_opening, encode_retry, named, unnamed
from nitro.delivery.hub import Hub
from nitro.delivery.outbox import Outbox
from nitro.delivery.position import log_head_async
from nitro.delivery.process import get_hub
from nitro.errors import (
    ArgumentTypeError,
    ConfigurationError,
    InvalidField,
    NitroWarning,
    NotAuthenticated,
    TooManyClients,
)
from nitro.messages.message import Position, check_event_id
from nitro.settings import get_settings
from nitro.sse import wire_formats
from nitro.sse.connection import Connection, says_gone
from nitro.sse.direct import DirectStream, handover_of, leave
from nitro.sse.drain import drain_on_signals, drain_with_listener, is_under_gunicorn
from nitro.sse.establishing import establishing
from nitro.sse.greeting import greeting_of, refusal_of, too_fast
from nitro.sse.last_bytes import STAY_AWAY, last_bytes_of
from nitro.sse.problem import Problem
from nitro.sse.unconfirmed import bounded
from nitro.sse.wire_formats import envelope, stream_event

__all__ = ["EventSourceResponse", "Subscriber"]

log: Final = logging.getLogger("nitro.sse")

_PATIENCE_SECONDS: Final = 2.0
"""How long a stream waits for a log that was never reached. Then it opens, and gets a gap once the log is reached."""
_HEADERS: Final = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
"""A compressing proxy may hold back an incomplete block: `no-transform` forbids compression, the other asks nginx to
flush."""
_CLOSE: Final = (b"connection", b"close")
"""Of a connection that is handed over: it ends with its stream, and nobody is to send another request on it."""
_FORMATS: Final = {
    (False, False): unnamed,
    (True, False): named,
    (False, True): wire_formats.text,
    (True, True): wire_formats.text_named,
}
"""The wire format by `named` and `text`."""
_ADDED_BY_LIBRARIES: Final = frozenset({"lasteventid", "last-event-id", "evs_last_event_id"})
_COLLECTORS: Final = (("testclient", 50_000), ("127.0.0.1", 123))
"""What they say who the client is; nobody else's client has such a port."""
_NEVER_ENDS: Final = (
    "this stream has no end, and TestClient and httpx.ASGITransport wait for it before they return anything; use "
    "`async with nitro.testing.stream(app, path) as page`, see https://nitro-realtime.github.io/nitro/how-to/testing/"
)
_STREAMED_ALREADY: Final = (
    "this client is streamed already, to another request, and two would end each other's stream; make it and its "
    "response anew for each request, in the endpoint: return EventSourceResponse(Client(topics=[…]))"
)


class Subscriber(Protocol):
    """What the response requires of a client."""

    address: str | None
    streamed: Outbox | None  # the outbox that a response is streaming now

    def resume(self, last_event_id: str) -> None:
        """Start after the message with that id: when it connects, or now if it is connected."""

    def reserve_slot(self) -> None:
        """Count against the limits before it connects; raises TooManyClients."""

    def release_slot(self) -> None:
        """Undo `reserve_slot`, as it won't connect."""

    def connect(self) -> Any:
        """Begin to receive events; raises TooManyClients or NotAuthenticated."""

    def close_outbox(self, outbox: Outbox) -> None:
        """Disconnect, unless the client uses another outbox by now."""

    def open_outbox(self) -> Outbox:
        """The outbox of the connected client, to be read in the running loop."""


class EventSourceResponse(Response):
    """A streaming response for FastAPI, Starlette and any other ASGI application.

    It connects the client when the response starts and disconnects it when the stream ends for any reason. With the
    query parameter `envelope=1`, which the browser client sends, the data of each event begins with a line that holds
    its topic, and the opening names the stream's audience. With `probe=1` as well, only this opening is sent: no client
    connects, no limit on clients counts it, and `background` doesn't run. Except for those limits, a probe is refused
    as its stream would be. It counts in the connect rates of its user and address, as a HEAD request does.

    A client that reconnects gets the events that it missed, or an `event: gap` first if they can't be replayed. It
    resumes after the first of these that is present and not empty:

    1. the header `Last-Event-ID`;
    2. a query parameter that libraries which can't set the header add to the URL with the newest id: `lastEventId`
       (event-source-polyfill, reconnecting-eventsource), `evs_last_event_id` (eventsource-polyfill), `lastEventID` and
       `Last-Event-ID` (Mercure), in any case;
    3. the query parameter `last_event_id`, which a page puts into its URL; at a reconnect it may be older than 2;
    4. `since`;
    5. the `last_event_id` of the client.

    If a parameter is repeated, the last one counts, since libraries append theirs.

    Args:
        client: its events are sent, each as one server-sent event with JSON as its data.
        named: put the topic into `event:`, for `addEventListener`; without it, `onmessage` gets all events. The topics
            `gap`, `error`, `open` and `message` become `.gap`, `.error`, `.open` and `.message`, since a page gets
            gaps and the browser's own connection events under the plain names.
        text: send a result that is a string as it is, not as JSON: HTML fragments, for htmx and Turbo. The HTML of a
            live query is always sent so.
        since: where the stream starts for a browser that sends no id: a `nitro.position()` taken before the page's
            data was read.
        retry_milliseconds: how long the browser waits before it reconnects; None takes
            `NITRO_RETRY_MILLISECONDS`.
        status_code, headers, background: as in Starlette's `Response`.

    If `NITRO_MAX_STREAM_SECONDS` is set, the stream ends after that time; the browser reconnects, the endpoint checks
    its rights again, and it resumes. It does not limit a client's `stream()` that the application reads itself.

    A client over a limit is answered with 429 and `Retry-After` instead, one whose rights have expired with 401. If the
    response, or another one with the same client, is still streaming, a second request raises ConfigurationError,
    which the server logs and answers with 500; the first stream continues.

    Raises:
        ArgumentTypeError: `client` is not a client, but its class, a list of topics or a generator, for example; or
            `since` is no string, as a `nitro.position_async()` that was not awaited.
        ConfigurationError: `client` is that of a live query whose HTML this response can't send.
        InvalidField: `retry_milliseconds` is not a whole number from 0 to 2**31 - 1, or a header holds CR, LF, NUL or
            what ISO 8859-1 hasn't.
    """

    media_type = "text/event-stream"
    is_endless: ClassVar[bool] = True
    """Whether only the client, the server or a limit ends it."""
    markups: ClassVar[frozenset[str | None]] = frozenset({None, "htmx", "turbo"})
    """The markup of live queries whose rows it can send; None is JSON."""

    def __init__(
        self,
        client: Subscriber,
        *,
        named: bool = False,
        text: bool = False,
        since: str | None = None,
        retry_milliseconds: int | None = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        if isinstance(client, type) or not hasattr(client, "open_outbox"):
            raise ArgumentTypeError(
                f"{type(self).__name__} takes a Client, such as Client(topics=['todo.*']), and not {client!a:.80}"
            )
        markup = getattr(client, "markup", None)
        if markup not in self.markups:
            wanted = "DatastarResponse" if markup == "datastar" else "EventSourceResponse"
            raise ConfigurationError(f"rows with markup={markup!r} go into another response: {wanted}(client)")
        check_event_id(since, "since")
        settings = get_settings()
        self.client = client
        self._wire_format = _FORMATS[named, text or markup is not None]
        self.since = since
        self.retry_milliseconds: int = settings.retry_milliseconds if retry_milliseconds is None else retry_milliseconds
        encode_retry(self.retry_milliseconds)  # a wrong value raises here, not in the stream
        self._inline = settings.inline_send
        self._heartbeat_seconds = settings.heartbeat_seconds
        self.status_code = status_code
        self.background = background
        if headers is None:  # shared by thousands of streams
            self.raw_headers: list[tuple[bytes, bytes]] = list(_default_headers(self.media_type, self.charset))
        else:
            for name, value in headers.items():
                if not (isinstance(name, str) and isinstance(value, str)):
                    raise ArgumentTypeError(f"a header is two strings, not {name!r}: {value!r}")
                if any(char in "\r\n\0" or char > "\xff" for char in name + value):  # not all servers reject them
                    raise InvalidField(
                        f"a header can't hold CR, LF or NUL, nor what ISO 8859-1 hasn't: {name!a}: {value!a}"
                    )
            self.init_headers({**_HEADERS, **{name.lower(): value for name, value in headers.items()}})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = monotonic()
        peer = scope.get("client")
        self.client.address = self.client.address or (peer[0] if peer else "") or ""
        last_event_id = _last_event_id(scope) or self.since
        if scope["method"] == "HEAD" or last_event_id == STAY_AWAY:
            await self._answer_nothing(scope, receive, send)
            return
        query = scope.get("query_string", b"").split(b"&")
        wire_format = envelope if b"envelope=1" in query else self._wire_format
        if wire_format is envelope and b"probe=1" in query:
            await self._answer_probe(scope, receive, send)
            return
        hub = get_hub()
        handover = handover_of(scope)
        needs_signals = handover is None or is_under_gunicorn()  # else uvicorn asks the connection itself to end
        if hub.broker.is_shared and needs_signals:
            drain_on_signals()  # before the wait, in which a signal may arrive
        with establishing() as span:
            try:
                outbox = await self._connect(hub, last_event_id)
            except (TooManyClients, NotAuthenticated) as refusal:
                span.fails(refusal)
                await Problem(refusal)(scope, receive, send)
                return
            span.begins(outbox)
            if self.is_endless:
                _warn_of_a_collector(peer)
            servers = hub.servers_of(outbox)
            drain_with_listener(servers, scope.get("server"))
            if needs_signals:
                drain_on_signals(servers)
            last_bytes = last_bytes_of(wire_format, self.retry_milliseconds)
            connection: Connection | None = None
            is_handed_over = False
            try:
                async with asyncio.timeout(outbox.limits.send_timeout_seconds):
                    start, opening = self._start(), self._opening(outbox.starts_at, wire_format, scope)
                    if handover is not None:
                        start["headers"] = [*start["headers"], _CLOSE]
                        handover.expect(start, opening)
                    await send(start)
                    await send(opening)
                    outbox.scheduler.counts.establish_seconds.observe(monotonic() - began)
                    span.end()
                    if handover is not None and await handover.arrived():
                        is_handed_over = True
                        DirectStream(handover, outbox, wire_format, last_bytes, self.client, self.background)
                        return
                if not needs_signals:  # but it is not handed over
                    drain_on_signals(servers)
                send = bounded(scope, outbox, send, hub.settings.max_unconfirmed_bytes)
                connection = Connection(outbox, send, last_bytes, wire_format, inline=self._inline)
                await connection.until_gone(receive)
            except TimeoutError as error:
                if connection is not None:
                    raise
                span.fails(error)
                late = "a client takes not even the head of its stream for its send_timeout_seconds, and is ended: %r"
                log.warning(late, outbox)
            except (OSError, RuntimeError) as error:
                if connection is not None or not says_gone(error):
                    raise
                span.fails(error)
            finally:
                if connection is not None:
                    connection.abandon()
                if not is_handed_over:
                    leave(self.client, outbox, connection)
            if self.background is not None:
                await self.background()

    async def _connect(self, hub: Hub, last_event_id: str | None) -> Outbox:
        """Connect the client, and return its outbox; raises TooManyClients or NotAuthenticated."""
        self._check_streamed()
        try:
            if hub.broker.is_shared:
                await self._wait_for_log(hub, begins=not last_event_id)
            if last_event_id:
                self.client.resume(last_event_id)
            self.client.connect()
        except (TooManyClients, NotAuthenticated):
            self.client.release_slot()  # its rights may have expired during the wait
            raise
        outbox = self.client.open_outbox()
        self.client.streamed = outbox
        if hub.settings.max_stream_seconds is not None:
            hub.limit_age(outbox, hub.settings.max_stream_seconds)
        return outbox

    async def _wait_for_log(self, hub: Hub, *, begins: bool) -> None:
        """Wait until the log was reached. A stream that `begins` waits for its head too: it starts after every
        acknowledged event.
        """
        self.client.reserve_slot()
        try:
            await hub.until_open(_PATIENCE_SECONDS)
            if begins:
                await log_head_async(hub.broker, _PATIENCE_SECONDS)
            self._check_streamed()  # another response may have started meanwhile
        except BaseException:
            self.client.release_slot()
            raise

    def _check_streamed(self) -> None:
        if self.client.streamed is not None and not self.client.streamed.is_ended:
            raise ConfigurationError(_STREAMED_ALREADY)

    def _start(self) -> Message:
        return {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}

    async def _answer_nothing(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = too_fast(self.client)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        no_content: Message = {"type": "http.response.start", "status": 204, "headers": []}
        await send(self._start() if scope["method"] == "HEAD" else no_content)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _answer_probe(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = refusal_of(self.client)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        opening = self._opening(None, envelope, scope)
        await send(self._start())
        await send({**opening, "more_body": False})

    def _opening(self, at: Position | None, wire_format: WireFormat, scope: Scope) -> Message:
        retry = self.retry_milliseconds
        if wire_format is envelope:
            news = {"retry": retry, "heartbeat": self._heartbeat_seconds, **greeting_of(self.client, scope)}
            opening = encode_opening(None, retry) + stream_event(at, **news)
        else:
            opening = encode_opening(at, retry)
        return {"type": "http.response.body", "body": opening, "more_body": True}


def _warn_of_a_collector(peer: Any) -> None:
    """Starlette's TestClient and httpx.ASGITransport return a response when it has ended, which a stream never has."""
    if peer is not None and tuple(peer) in _COLLECTORS:
        warnings.warn(_NEVER_ENDS, NitroWarning, stacklevel=2)


@cache
def _default_headers(media_type: str | None, charset: str) -> tuple[tuple[bytes, bytes], ...]:
    response = Response.__new__(Response)  # its constructor would add `content-length`
    response.media_type, response.charset = media_type, charset
    response.init_headers(_HEADERS)
    return tuple(response.raw_headers)


def _last_event_id(scope: Scope) -> str:
    """The last event id that the request sends. Nothing here is an error: an invalid id becomes a gap."""
    found = [value for name, value in scope.get("headers", ()) if name == b"last-event-id"]
    if any(found):
        return b",".join(found).decode("latin-1")
    query: bytes = scope.get("query_string", b"")
    if not query or (b"%" not in query and b"event" not in query.lower()):
        return ""
    newest = started = ""
    for name, value in parse_qsl(query.decode("latin-1")):  # leaves out empty values
        if name.lower() in _ADDED_BY_LIBRARIES:
            newest = value
        elif name == "last_event_id":
            started = value
    return newest or started
