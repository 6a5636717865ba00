"""EventSourceResponse: a client's events as server-sent events, the fast way.

Fed by a client's outbox; feeds the server. The response's own task only waits for the other side to go; what
is sent is written by the connection, driven by the client's feed.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from functools import cache, partial
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from nitro.delivery.frame import LONGEST_RETRY, WireFormat, encode_opening, encode_retry, named, unnamed
from nitro.delivery.hub import Hub
from nitro.delivery.outbox import Outbox
from nitro.delivery.position import log_head_async
from nitro.delivery.process import get_hub
from nitro.errors import ArgumentTypeError, ConfigurationError, InvalidField, NotAuthenticated, TooManyClients
from nitro.messages.message import Position
from nitro.settings import get_settings
from nitro.sse import wire_formats
from nitro.sse.connection import Connection
from nitro.sse.drain import drain_on_signals, drain_with_listener
from nitro.sse.greeting import greeting_of, refusal_of, too_fast
from nitro.sse.problem import Problem
from nitro.sse.unconfirmed import bounded
from nitro.sse.wire_formats import envelope, stream_event

__all__ = ["EventSourceResponse", "Subscriber"]

log: Final = logging.getLogger("nitro.sse")

_PATIENCE_SECONDS: Final = 2.0
"""How long a stream waits for a log that was never reached. Then it opens, and is told of a gap when it is."""
_HEADERS: Final = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
"""Who compresses may hold back what is no full block yet: `no-transform` forbids it, the other asks nginx to flush."""
_FORMATS: Final = {
    (False, False): unnamed,
    (True, False): named,
    (False, True): wire_formats.text,
    (True, True): wire_formats.text_named,
}
"""The wire format by `named` and `text`."""
_ADDED_BY_LIBRARIES: Final = frozenset({"lasteventid", "last-event-id", "evs_last_event_id"})
_STREAMED_ALREADY: Final = (
    "this client is streamed already, to another request, and two would end each other's stream; make it and its "
    "response anew for each request, in the endpoint: return EventSourceResponse(Client(topics=[…]))"
)
_STAY_AWAY: Final = "stop"
"""The id that a browser is left with which shall not come back. It is no position, so no log has it."""


class Subscriber(Protocol):
    """What the response needs of a client."""

    address: str | None
    streamed: Outbox | None  # what a response streams to its browser now

    def resume(self, last_event_id: str) -> None:
        """Begin behind the message with that id, instead of where it would: when it connects, or now if it has."""

    def reserve_slot(self) -> None:
        """Be counted from now on, before it connects; raises TooManyClients."""

    def release_slot(self) -> None:
        """It won't connect."""

    def connect(self) -> Any:
        """Let it hear; raises TooManyClients or NotAuthenticated."""

    def close_outbox(self, outbox: Outbox) -> None:
        """Disconnect, unless the client listens by another outbox by now."""

    def open_outbox(self) -> Outbox:
        """The connected client's outbox, in the running loop."""


class EventSourceResponse(Response):
    """A streaming response for FastAPI, Starlette and any other ASGI application.

    It connects the client when the response starts and disconnects it when the stream ends, whoever ends it. With
    `envelope=1`, as the browser client asks, the data of each event begins with a line that holds its topic, and the
    opening says for whom the stream is. With `probe=1` beside it this opening is all that is sent: nobody is connected,
    no limit of clients counts it, and `background` doesn't run, since there was no stream. It is refused as the stream
    would be, but for those limits. It counts as a connect of its user and address, as the answer to a HEAD does.

    Who comes back gets what it missed; where that can't be had it gets an `event: gap` first. Where it stands says the
    first of these that is there and not empty:

    1. the header `Last-Event-ID`;
    2. a query parameter under a name by which libraries that can't set the header add the newest id to the URL
       themselves: `lastEventId` (event-source-polyfill, reconnecting-eventsource), `evs_last_event_id`
       (eventsource-polyfill), `lastEventID` and `Last-Event-ID` (Mercure's), in whatever case;
    3. the query parameter `last_event_id`: what a page put into its URL, and at a reconnect perhaps older than those;
    4. `since`;
    5. the `last_event_id` of the client.

    Of a parameter that is there several times the last one counts, since libraries add theirs at the end.

    Args:
        client: whose events are sent, each as one server-sent event with JSON as its data.
        named: put the topic into `event:`, for `addEventListener`; without it, `onmessage` hears everything. The topics
            `gap`, `error`, `open` and `message` are named `.gap`, `.error`, `.open` and `.message`, since pages hear
            their own news under those names: a gap, and what the browser says of the connection.
        text: send a result that is a string as it is, not as JSON: HTML fragments, for htmx and Turbo.
        since: where the stream starts for a browser that sends no id: a `nitro.position()` from before the data was
            read that the page shows.
        retry_milliseconds: how long the browser waits before it reconnects; None takes
            `NITRO_RETRY_MILLISECONDS`.
        status_code, headers, background: as in Starlette's `Response`.

    After `NITRO_MAX_STREAM_SECONDS`, if they are set, the stream ends; a browser comes back, the endpoint asks for its
    rights anew, and it resumes. The application's own `stream()` of a client is not ended so.

    A client over a limit is answered with 429 and `Retry-After` instead, one whose rights have expired with 401. A
    response that answers a request, or whose client another one streams, can't answer a second one meanwhile: it raises
    ConfigurationError, which the server logs and answers with 500, and the first stream goes on.

    Raises:
        ArgumentTypeError: `client` is none: its class, a list of topics, a generator.
        InvalidField: `retry_milliseconds` is not a whole number from 0 to 2**31 - 1, or a header holds CR, LF or NUL.
    """

    media_type = "text/event-stream"

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
        settings = get_settings()
        self.client = client
        self._wire_format = _FORMATS[named, text]
        self.since = since
        self.retry_milliseconds: int = settings.retry_milliseconds if retry_milliseconds is None else retry_milliseconds
        encode_retry(self.retry_milliseconds)  # a wrong value is the caller's error, here and not in the stream
        self._inline = settings.inline_send
        self._heartbeat_seconds = settings.heartbeat_seconds
        self.status_code = status_code
        self.background = background
        if headers is None:  # thousands of streams share the bytes
            self.raw_headers: list[tuple[bytes, bytes]] = list(_default_headers(self.media_type, self.charset))
        else:
            self.init_headers({**_HEADERS, **{name.lower(): value for name, value in headers.items()}})
            for name, value in self.raw_headers:  # servers differ in what they let through
                if any(char in name + value for char in b"\r\n\0"):
                    raise InvalidField(f"a header can't hold CR, LF or NUL: {name!r}: {value!r}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.get("client")
        self.client.address = self.client.address or (peer[0] if peer else "") or ""
        last_event_id = _last_event_id(scope) or self.since
        if scope["method"] == "HEAD" or last_event_id == _STAY_AWAY:
            await self._answer_nothing(scope, receive, send)
            return
        query = scope.get("query_string", b"").split(b"&")
        wire_format = envelope if b"envelope=1" in query else self._wire_format
        if wire_format is envelope and b"probe=1" in query:
            await self._answer_probe(scope, receive, send)
            return
        hub = get_hub()
        if hub.broker.is_shared:
            drain_on_signals()  # one may come while it waits
        self._check_streamed()
        try:
            if hub.broker.is_shared:
                await self._wait_for_log(hub, begins=not last_event_id)
            if last_event_id:
                self.client.resume(last_event_id)
            self.client.connect()
        except (TooManyClients, NotAuthenticated) as refusal:
            self.client.release_slot()  # its rights may have ended while it waited
            await Problem(refusal)(scope, receive, send)
            return
        outbox = self.client.open_outbox()
        self.client.streamed = outbox
        if hub.settings.max_stream_seconds is not None:
            hub.limit_age(outbox, hub.settings.max_stream_seconds)
        drain_with_listener(hub.servers_of(outbox), scope.get("server"))
        connection: Connection | None = None
        try:
            async with asyncio.timeout(outbox.limits.send_timeout_seconds):
                await send(self._start())
                await send(self._opening(outbox.starts_at, wire_format, scope))
            send = bounded(scope, outbox, send, hub.settings.max_unconfirmed_bytes)
            connection = Connection(
                outbox, send, partial(self._last_bytes, wire_format), wire_format, inline=self._inline
            )
            await connection.until_gone(receive)
        except TimeoutError:
            if connection is not None:
                raise
            log.warning("a client takes not even the head of its stream, and is ended: %r", outbox)
            return
        finally:
            if self.client.streamed is outbox:
                self.client.streamed = None
            if connection is not None:
                connection.abandon()
            if outbox.sink is None or outbox.sink is connection:  # else somebody else reads it by now
                self.client.close_outbox(outbox)
        if self.background is not None:
            await self.background()

    async def _wait_for_log(self, hub: Hub, *, begins: bool) -> None:
        """Until it was reached; and one that begins there is behind what anybody was told to be in it."""
        self.client.reserve_slot()
        try:
            await hub.until_open(_PATIENCE_SECONDS)
            if begins:
                await log_head_async(hub.broker, _PATIENCE_SECONDS)
            self._check_streamed()  # by another response meanwhile
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

    def _last_bytes(self, wire_format: WireFormat, outbox: Outbox) -> bytes:
        if outbox.ends_for_good:
            last = b"id: %b\n\n" % _STAY_AWAY.encode()
            return stream_event(stop=True) + last if wire_format is envelope else last
        # Spread over one to two times the wait, so that not all who are ended at once come back at once.
        retry = min(round(self.retry_milliseconds * random.uniform(1, 2)), LONGEST_RETRY)  # noqa: S311 - no secret
        return encode_retry(retry) + stream_event(retry=retry) if wire_format is envelope else encode_retry(retry)


@cache
def _default_headers(media_type: str | None, charset: str) -> tuple[tuple[bytes, bytes], ...]:
    response = Response.__new__(Response)  # its constructor would add the length of a body
    response.media_type, response.charset = media_type, charset
    response.init_headers(_HEADERS)
    return tuple(response.raw_headers)


def _last_event_id(scope: Scope) -> str:
    """What the client says that it has. Nothing here is an error: what is wrong becomes a gap."""
    found = [value for name, value in scope.get("headers", ()) if name == b"last-event-id"]
    if any(found):
        return b",".join(found).decode("latin-1")
    query: bytes = scope.get("query_string", b"")
    if not query or (b"%" not in query and b"event" not in query.lower()):
        return ""
    newest = started = ""
    for name, value in parse_qsl(query.decode("latin-1")):  # leaves out what is empty
        if name.lower() in _ADDED_BY_LIBRARIES:
            newest = value
        elif name == "last_event_id":
            started = value
    return newest or started
