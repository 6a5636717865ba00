"""`stream`: a stream of an ASGI application as the browser client reads it, in the test's own loop, without a socket.

What comes is judged by the same `Session` as what `nitro.listen` reads, so a test sees what a page would: each message
once, in order, also over a connection that was cut, and a gap where messages are missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import unquote, urlencode, urlsplit

from starlette.types import ASGIApp, Message, Scope

from nitro.client.session import Session
from nitro.errors import ConfigurationError
from nitro.messages.heard import Heard
from nitro.messages.message import Gap
from nitro.messages.topics import check_pattern

__all__ = ["StreamUnderTest", "stream"]

_END_SECONDS: Final = 5.0


class _Connection:
    """One request, and what the application answers."""

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_complete = False
        self.going = asyncio.Event()
        self.going.set()
        self._body = bytearray()
        self._news = asyncio.Event()
        self._gone = asyncio.Event()
        self._was_asked = False
        self._task: asyncio.Task[None] = asyncio.create_task(self._run(app, scope), name="nitro stream under test")

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            self.is_complete = True
            self._news.set()

    async def _receive(self) -> Message:
        if not self._was_asked:
            self._was_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        await self.going.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.get("headers", ())
            self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
        self._news.set()

    @property
    def is_stream(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")

    async def wait(self) -> None:
        """Wait for something new, or for the end."""
        if not self.is_complete:
            await self._news.wait()
            self._news.clear()

    async def end(self) -> None:
        """The end of what is complete; raises what the application raised."""
        await self._task

    def next_event(self) -> tuple[str, str, str] | None:
        """Name, data and id of the next event that has come whole, if one has; comments are left out."""
        while (end := self._body.find(b"\n\n")) >= 0:
            lines = self._body[:end].decode().split("\n")
            del self._body[: end + 2]
            fields: dict[str, list[str]] = {}
            for line in lines:
                name, _, value = line.partition(":")
                fields.setdefault(name, []).append(value.removeprefix(" "))
            if "data" in fields:
                return fields.get("event", [""])[-1], "\n".join(fields["data"]), fields.get("id", [""])[-1]
        return None

    @property
    def body(self) -> bytes:
        """What was not taken as events."""
        return bytes(self._body)

    async def close(self, within_seconds: float = _END_SECONDS) -> None:
        """The client is gone; an application that goes on for longer is cancelled."""
        self.going.set()
        self._gone.set()
        _, left = await asyncio.wait([self._task], timeout=within_seconds)
        for task in left:
            task.cancel()
            await asyncio.wait([task])


class StreamUnderTest:
    """A page's stream; made by `stream`."""

    def __init__(self, app: ASGIApp, path: str, headers: Mapping[str, str], topics: list[str] | None) -> None:
        self._app = app
        self._path = path
        self._headers = headers
        self._session = Session(topics)
        self._connection: _Connection | None = None
        self._heard: list[Heard | Gap] = []

    async def next(self, topic: str | None = None, *, within_seconds: float = 5.0) -> Heard:
        """The next message, or the next one of that topic: with `topic`, `data` and `id`.

        Raises:
            AssertionError: it didn't come in time, or a gap or the stream's end came instead; the text says what came.
            StreamRefused: the server has stopped the stream; a browser would not come back.
            Exception: what the application raised, when all is told that came before.
        """
        found = await self._find(lambda each: not isinstance(each, Gap) and topic in (None, each.topic), within_seconds)
        if not isinstance(found, Heard):
            raise AssertionError(f"{_what(topic)} was awaited, and a gap came: {found.reason}")  # noqa: TRY004
        return found

    async def next_gap(self, *, within_seconds: float = 5.0) -> Gap:
        """The next gap; messages before it are skipped. Raises AssertionError if none comes in time."""
        found = await self._find(lambda each: isinstance(each, Gap), within_seconds)
        assert isinstance(found, Gap)
        return found

    async def cut(self, *, since: str | None = None, within_seconds: float = 5.0) -> None:
        """The connection breaks, and is made again: the stream resumes behind its last message.

        Args:
            since: the id that the page comes back with, instead of its last one; an id that no log has is answered with
                a gap.
            within_seconds: the stream has to stand again by then.

        Raises:
            StreamRefused: the server refuses it now.
            AssertionError: it doesn't stand in time; the text says what came.
        """
        await self._disconnect()
        if since is not None:
            self._session.last_event_id = since
        await self.connect(within_seconds)

    def pause(self) -> None:
        """Read nothing more, as a page does whose network is slow; the server can't send."""
        self._connected().going.clear()

    def go_on(self) -> None:
        """Read again."""
        self._connected().going.set()

    async def connect(self, within_seconds: float) -> None:
        """Ask for the stream, and wait until it stands; `stream` does it."""
        parameters, headers = self._session.begin(self._headers)
        connection = self._connection = _Connection(self._app, _scope(self._path, parameters, headers))
        try:
            async with asyncio.timeout(within_seconds) as limit:
                await self._open(connection)
        except TimeoutError:
            if not limit.expired():
                raise  # the application's own
            self._connection = None
            await connection.close(within_seconds=0.0)
            raise AssertionError(f"no stream within {within_seconds:g} s; {_answered(connection)}") from None

    async def _open(self, connection: _Connection) -> None:
        while not self._session.is_open:
            if self._take():
                continue
            if connection.is_complete or (connection.status and not connection.is_stream):
                while not connection.is_complete:
                    await connection.wait()
                await connection.end()
                await self._disconnect()
                raise self._session.refusal(
                    connection.status, connection.headers.get("retry-after", ""), connection.body
                )
            await connection.wait()

    async def close(self) -> None:
        """The page is closed; `stream` does it."""
        await self._disconnect()

    async def _find(self, is_it: Any, within_seconds: float) -> Heard | Gap:
        skipped: list[Heard | Gap] = []
        try:
            async with asyncio.timeout(within_seconds) as limit:
                while True:
                    while self._heard:
                        each = self._heard.pop(0)
                        if is_it(each) or isinstance(each, Gap):
                            return each
                        skipped.append(each)
                    if self._take():
                        continue
                    connection = self._connected()
                    if connection.is_complete:
                        await connection.end()
                        raise AssertionError(f"the stream has ended; before, {_told(skipped)}")
                    await connection.wait()
        except TimeoutError:
            if not limit.expired():
                raise  # the application's own
            raise AssertionError(f"nothing like it within {within_seconds:g} s; {_told(skipped)}") from None

    def _take(self) -> bool:
        """Hear one event that has come, if one has: what ends the stream is raised when all before it is told."""
        event = self._connected().next_event()
        if event is None:
            return False
        message = self._session.hear(*event)
        if message is not None:
            self._heard.append(message)
        return True

    def _connected(self) -> _Connection:
        if self._connection is None:
            raise AssertionError("there is no stream any more: cut() could not make it again")
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def __repr__(self) -> str:
        return f"<StreamUnderTest of {self._path}: {self._session!r}>"


@asynccontextmanager
async def stream(
    app: ASGIApp,
    path: str,
    *,
    topics: str | Iterable[str] | None = None,
    headers: Mapping[str, str] | None = None,
    within_seconds: float = 5.0,
) -> AsyncGenerator[StreamUnderTest, None]:
    """A stream of `app` in a test: `async with stream(app, "/events") as page: await page.next("todo.created")`.

    The stream is connected when the block begins: what is emitted from then on is heard. The application runs in the
    test's own event loop; its lifespan is the test's business.

    Args:
        app: FastAPI, Starlette, or any other ASGI application with an endpoint that returns an `EventSourceResponse`.
        path: of the endpoint, with its query, percent-encoded as in a URL.
        topics: patterns that the page asks for.
        headers: of the request, such as a cookie, or `Authorization`: those of another user are another page.
        within_seconds: the stream has to stand by then.

    Raises:
        StreamRefused: it answers with anything but a stream; with `status` and the reason.
        AssertionError: it doesn't stand in time; the text says what came.
        ConfigurationError: `path` is none.
        InvalidTopic, TopicTypeError: a topic is no pattern.
    """
    if not path.startswith("/"):
        raise ConfigurationError(f"the path of a stream begins with a slash, as /events does, and not {path!r}")
    asked = [topics] if isinstance(topics, str) else topics
    patterns = None if asked is None else [check_pattern(each) for each in asked]
    page = StreamUnderTest(app, path, headers or {}, patterns)
    try:
        await page.connect(within_seconds)
        yield page
    finally:
        await page.close()


def _scope(path: str, parameters: list[tuple[str, str]], headers: Mapping[str, str]) -> Scope:
    parts = urlsplit(path)
    query = "&".join(filter(None, [parts.query, urlencode(parameters)]))
    fields = {"host": "test", **{name.lower(): value for name, value in headers.items()}}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in fields.items()],
        "client": ("127.0.0.1", 50_000),
        "server": None,
        "state": {},
    }


def _answered(connection: _Connection) -> str:
    if not connection.status:
        return "the endpoint has answered nothing"
    kind = connection.headers.get("content-type", "no content type")
    answer = f"the endpoint has answered {connection.status}, {kind}"
    if not connection.is_stream:
        return f"{answer}, and its body has no end"
    return f"{answer}, and no greeting; it has to return EventSourceResponse"


def _what(topic: str | None) -> str:
    return "a message" if topic is None else f"a message of {topic!r}"


def _told(skipped: list[Heard | Gap]) -> str:
    if not skipped:
        return "nothing else came either"
    return "there came " + ", ".join(f"{each.topic!r}" for each in skipped if isinstance(each, Heard))
