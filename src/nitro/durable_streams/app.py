"""DurableStreams: an ASGI application that speaks the Durable Streams Protocol 1.0.

Fed by a server, or by an application that mounts it; feeds `Streams`. Subscriptions, sections 6 and 7 of the protocol,
are left out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from nitro.durable_streams import answers, live
from nitro.durable_streams.answers import answer, place
from nitro.durable_streams.authorization import Action, Authorization, Authorize
from nitro.durable_streams.cursor import Cursor
from nitro.durable_streams.paths import InvalidRequest, stream_of, url_of
from nitro.durable_streams.request import Reading, append_of, body_of, creation_of, fork_of, is_closing, reading_of
from nitro.errors import BrokerUnavailable, ConfigurationError, NitroError
from nitro.sse.problem import AWAY
from nitro.streams.errors import StreamGone
from nitro.streams.forking import ForkPoint
from nitro.streams.items import is_json, json_items
from nitro.streams.process import get_streams
from nitro.streams.streams import Streams

__all__ = ["DurableStreams"]

log: Final = logging.getLogger("nitro.streams")

_PREFIX: Final = "s/"
"""Of the keys of these streams, so that they are apart from others in the store."""
_SHORT_BODY_BYTES: Final = 64 * 1024
"""A longer one is parsed in a thread, since that takes some milliseconds."""
_PREFLIGHT: Final = {
    "allow": "GET, HEAD, PUT, POST, DELETE, OPTIONS",
    "access-control-allow-methods": "GET, HEAD, PUT, POST, DELETE, OPTIONS",
    "access-control-allow-headers": (
        "Authorization, Content-Type, If-None-Match, Stream-Seq, Stream-TTL, Stream-Expires-At, Stream-Closed, "
        "Stream-Forked-From, Stream-Fork-Offset, Stream-Fork-Sub-Offset, Producer-Id, Producer-Epoch, Producer-Seq"
    ),
    "access-control-max-age": "600",
    "cache-control": "no-store",
}


class DurableStreams:
    """Args:
        authorize: asked before anything else of each request: the request, the path of the stream within the mount, and
            what the request wants: `create`, `append`, `close`, `read` or `delete`. A fork also wants to `read` its
            source, and a POST that appends and closes wants both. Only True permits it; anything else is answered with
            403. It may raise Starlette's `HTTPException`, or an error of Nitro's. A coroutine function, or a function,
            which is called in a thread.
        max_body_bytes: the longest body of a request; a longer one is answered with 413.
        long_poll_seconds: how long a long-poll waits before it is answered without data.
        sse_seconds: about how long a stream of server-sent events lasts; the client reconnects then.
        cache_control: of answers that a cache may keep. The default lets it ask each time whether its copy is still
            right; for streams that everybody may read, `public, max-age=60, stale-while-revalidate=300` lets proxies
            answer by themselves.

    Raises:
        ConfigurationError: `authorize` is no function.
    """

    def __init__(
        self,
        *,
        authorize: Authorize,
        max_body_bytes: int = 10 * 1024 * 1024,
        long_poll_seconds: float = 20.0,
        sse_seconds: float = 60.0,
        cache_control: str = "private, no-cache",
    ) -> None:
        self._authorization = Authorization(authorize)
        self._max_body_bytes = max_body_bytes
        self._long_poll_seconds = long_poll_seconds
        self._sse_seconds = sse_seconds
        self._cache_control = cache_control
        self._methods: dict[str, Callable[[Request, str], Awaitable[Response]]] = {
            "PUT": self._create,
            "POST": self._append,
            "DELETE": self._delete,
            "HEAD": self._head,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
        else:
            response: Response | None
            try:
                response = await self._respond(Request(scope, receive, send), send)
            except BrokerUnavailable:
                response = answers.refusal(AWAY)
            except ConfigurationError:
                log.exception("durable streams can't be kept")
                response = answers.refusal(NitroError("this failed in the server, whose log says why"))
            except NitroError as error:
                response = answers.refusal(error)
            except HTTPException as error:
                response = answers.refused(error)
            except ClientDisconnect:  # nobody hears it, but middleware expects an answer
                response = answers.refusal(InvalidRequest("the body did not come to its end"))
            if response is not None:
                await response(scope, receive, send)

    async def _respond(self, request: Request, send: Send) -> Response | None:
        if request.method == "OPTIONS":
            return answer(204, _PREFLIGHT)
        if request.method == "GET":
            return await self._read(request, stream_of(request.scope), send)
        method = self._methods.get(request.method)
        if method is None:
            return answer(405, {"allow": _PREFLIGHT["allow"], "cache-control": "no-store"})
        return await method(request, stream_of(request.scope))

    async def _check(self, request: Request, path: str, action: Action) -> None:
        await self._authorization.check(request, path, action)

    async def _create(self, request: Request, path: str) -> Response:
        await self._check(request, path, "create")
        creation, source = creation_of(request.headers), fork_of(request.headers, request.scope)
        if source is not None:
            await self._check(request, source.path, "read")
        body = await body_of(request, self._max_body_bytes)
        fork = None if source is None else ForkPoint(_PREFIX + source.path, source.offset, source.sub_offset)
        streams = get_streams()
        content_type = creation.content_type
        if body and content_type is None and fork is not None:
            content_type = await _content_type(streams, fork.source)
        creation = replace(creation, items=await _items(body, content_type))
        applied = await streams.create(_PREFIX + path, creation, fork)
        assert applied.state is not None
        headers = {"content-type": applied.state.content_type, "cache-control": "no-store"}
        headers |= place(applied.offset, is_closed=applied.state.is_closed)
        if applied.is_changed:
            headers["location"] = url_of(request)
        return answer(201 if applied.is_changed else 200, headers)

    async def _append(self, request: Request, path: str) -> Response:
        closes = is_closing(request.headers)
        await self._check(request, path, "close" if closes else "append")
        wanted = append_of(request.headers)
        body = await body_of(request, self._max_body_bytes)
        if body and closes:
            await self._check(request, path, "append")
        if not body and not closes:
            raise InvalidRequest("the body is empty, and nothing is to be closed: there is nothing to do")
        if body and wanted.content_type is None:
            raise InvalidRequest("Content-Type is missing: it has to be that of the stream")
        items = await _items(body, wanted.content_type)
        if body and not items:
            raise InvalidRequest("the body is an empty array: there is nothing to append")
        applied = await get_streams().append(_PREFIX + path, replace(wanted, items=items))
        state = applied.state
        assert state is not None
        headers = {"cache-control": "no-store", **place(applied.offset, is_closed=state.is_closed)}
        if wanted.batch is not None:
            producer = state.producers[wanted.batch.producer]
            headers |= {"producer-epoch": str(producer.epoch), "producer-seq": str(producer.seq)}
        is_new_batch = wanted.batch is not None and applied.is_changed and items
        return answer(200 if is_new_batch else 204, headers)

    async def _delete(self, request: Request, path: str) -> Response:
        await self._check(request, path, "delete")
        await get_streams().delete(_PREFIX + path)
        return answer(204, {"cache-control": "no-store"})

    async def _head(self, request: Request, path: str) -> Response:
        await self._check(request, path, "read")
        return answers.head(await get_streams().find(_PREFIX + path, asks_store=True))

    async def _read(self, request: Request, path: str, send: Send) -> Response | None:
        await self._check(request, path, "read")
        reading = reading_of(request.scope)
        key = _PREFIX + path
        if reading.live is not None:
            return await self._read_live(request, key, reading, send)
        page = await get_streams().reading.page(key, reading.offset)
        headers = {"content-type": page.state.content_type}
        headers |= place(page.next, is_closed=page.is_closed, is_up_to_date=page.is_up_to_date)
        if reading.offset is None:
            return answer(200, {**headers, "cache-control": "no-store"}, answers.body_of_page(page))
        etag = answers.etag(page, reading.offset)
        headers |= {"etag": etag, "cache-control": self._cache_control}
        if answers.is_known(etag, request.headers.getlist("if-none-match")):
            return answer(304, headers)
        return answer(200, headers, answers.body_of_page(page))

    async def _read_live(self, request: Request, key: str, reading: Reading, send: Send) -> Response | None:
        cursor = Cursor(reading.cursor)
        scope, receive = request.scope, request.receive
        follow = get_streams().reading.follow
        if reading.live == "sse":
            following = follow(key, reading.offset, max_bytes=live.EVENT_BYTES, pause_seconds=live.PAUSE_SECONDS)
            async with aclosing(following) as pages:
                await live.stream_events(scope, receive, send, pages, cursor, self._sse_seconds)
            return None
        async with aclosing(follow(key, reading.offset, pause_seconds=self._long_poll_seconds)) as pages:
            page = await live.long_poll(scope, receive, pages, self._long_poll_seconds)
        headers = place(page.next, is_closed=page.is_closed, is_up_to_date=page.is_up_to_date)
        if not page.is_closed:
            headers["stream-cursor"] = cursor.now()
        if not page.parts:
            return answer(204, {**headers, "cache-control": "no-store"})
        headers["content-type"] = page.state.content_type
        if reading.offset is None:
            headers["cache-control"] = "no-store"
        else:
            headers |= {"etag": answers.etag(page, page.parts[0].before), "cache-control": self._cache_control}
        return answer(200, headers, answers.body_of_page(page))

    def __repr__(self) -> str:
        return f"<DurableStreams, {self._authorization!r}>"


async def _items(body: bytes, content_type: str | None) -> list[bytes]:
    """What a body adds: JSON messages, or the body."""
    if not body:
        return []
    if content_type is None or not is_json(content_type):
        return [body]
    return json_items(body) if len(body) <= _SHORT_BODY_BYTES else await asyncio.to_thread(json_items, body)


async def _content_type(streams: Streams, key: str) -> str | None:
    """That of a fork's source, for a body that comes without one."""
    try:
        return (await streams.find(key)).state.content_type
    except StreamGone:  # the fork is refused for that
        return None


async def _live(receive: Receive, send: Send) -> None:
    """The lifespan of an application of its own: it has nothing to start, and nothing to stop."""
    while True:
        event = (await receive())["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{event}.complete"})
        if event == "shutdown":
            return
