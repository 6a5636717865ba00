"""Listener: what `nitro.listen` returns. Its iterations are read by a `LoopReader` or a `ThreadReader`."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator, Generator, Iterable
from types import AsyncGeneratorType, GeneratorType, TracebackType
from typing import Any, Generic, Self, TypeAlias
from urllib.parse import urlsplit

from typing_extensions import TypeVar

from nitro.client.asking import Asking, Headers, checked_headers, checked_id
from nitro.client.loop_reader import LoopReader
from nitro.client.session import Session
from nitro.client.thread_reader import ThreadReader
from nitro.errors import ArgumentTypeError, ConfigurationError
from nitro.messages.heard import Heard
from nitro.messages.message import Gap
from nitro.messages.reading import HasSchema, Reading
from nitro.messages.topics import check_pattern
from nitro.redaction import ENCODE, without_secrets

__all__ = ["Listener", "listen"]

S = TypeVar("S", default=Any)

_Iteration: TypeAlias = Generator[Heard | Gap, None, None] | AsyncGenerator[Heard | Gap, None]


def listen(
    url: str,
    topics: str | Iterable[str] | None = None,
    *,
    headers: Headers | None = None,
    last_event_id: str = "",
    text: bool = False,
    as_: HasSchema[S] | Iterable[HasSchema[S]] | None = None,
) -> Listener[S]:
    """Listen to a stream of `EventSourceResponse`: `async for message in nitro.listen(url)`, or `for` in a thread.

    Yields `Heard(topic, data, id)` for each message, once and in order, and a `Gap` where messages are missing. It
    reconnects by itself, with its last id, and ends with an error when that is hopeless. Of a run it yields the items
    and then the end, whose data is `{"state": "done"}` or another state; behind that the iteration is over.

    Args:
        url: of the endpoint, `http://` or `https://`.
        topics: patterns, as on the server; without them the server decides.
        headers: sent with each request. A function is called before each of them, and may be asynchronous for
            `async for`; if it returns None, it is called again later.
        last_event_id: start behind this message, or at this `nitro.position()`; without it, from now.
        text: leave the data as it was sent instead of parsing it as JSON.
        as_: an event with a schema, or several: yields these events' messages alone, and `data` is what the schema
            makes of it. For one that isn't what the schema says, a `Gap` with the reason `"schema"`. Without
            `topics`, these events are asked for.

    Raises:
        ConfigurationError: the URL can't be one, a header can't be sent, `topics` is empty, or an event of `as_` has
            no schema.
        ArgumentTypeError: `headers` or `last_event_id` is of another type.
        InvalidTopic, TopicTypeError: a topic is no pattern.
        ImportError: httpx or httpx-sse is missing.

    The iteration raises StreamRefused if the server refuses the stream for good, the errors above for what a function
    of `headers` returns, and `for` ConfigurationError where an event loop runs, which it would block.
    """
    return Listener(url, topics, headers=headers, last_event_id=last_event_id, text=text, as_=as_)


class Listener(Generic[S]):
    """A stream that is listened to; made by `listen`, which says what it takes.

    It can be iterated again, and then goes on behind its last message. As a context manager, synchronous or
    asynchronous, it closes its connection at the end; so do `close()`, from any thread, and `aclose()`.
    """

    def __init__(
        self,
        url: str,
        topics: str | Iterable[str] | None = None,
        *,
        headers: Headers | None = None,
        last_event_id: str = "",
        text: bool = False,
        as_: HasSchema[S] | Iterable[HasSchema[S]] | None = None,
    ) -> None:
        try:
            import httpx  # noqa: F401 - both are needed later, and missing now
            import httpx_sse  # noqa: F401
        except ImportError as error:
            raise ImportError(
                f"nitro.listen needs the package {error.name!r}: pip install 'nitro-realtime[client]'", name=error.name
            ) from error
        headers = {} if headers is None else headers
        if not callable(headers):
            checked_headers(headers)
        reading = None if as_ is None else Reading(as_)
        if reading is not None and text:
            raise ConfigurationError("text=True leaves the data as it was sent, and as_ reads it; choose one of them")
        asked = reading.topics if reading is not None and topics is None else topics
        self._session = Session(_checked_topics(asked), checked_id(last_event_id), text=text, reading=reading)
        self._asking = Asking(_checked_url(url), headers, self._session)
        self._is_closed = False
        self._reader: LoopReader | ThreadReader | None = None
        self._iteration: weakref.ref[_Iteration] | None = None

    @property
    def last_event_id(self) -> str:
        """The id of the newest message, from which another listener can go on; empty if there is none."""
        return self._session.last_event_id

    def __iter__(self) -> Generator[Heard[S] | Gap, None, None]:
        if asyncio._get_running_loop() is not None:
            raise ConfigurationError(
                "`for` over a listener would block this event loop for ever: write `async for`, or iterate in a thread "
                "(asyncio.to_thread)"
            )
        self._check_free()
        self._reader = reader = ThreadReader(self._asking)
        messages = reader.messages()
        self._iteration = weakref.ref(messages)
        if self._is_closed:
            messages.close()
        return messages

    def __aiter__(self) -> AsyncGenerator[Heard[S] | Gap, None]:
        self._check_free()
        self._reader = reader = LoopReader(self._asking)
        if self._is_closed:
            reader.stop()
        messages = reader.messages()
        self._iteration = weakref.ref(messages)
        return messages

    def close(self) -> None:
        """Close the connection. An iteration in another thread ends: at once, or when its request is answered."""
        self._is_closed = True
        iteration = self._current()
        if isinstance(self._reader, LoopReader) and iteration is not None:
            raise ConfigurationError("this listener is iterated by `async for`: await aclose(), or use `async with`")
        if isinstance(self._reader, ThreadReader):
            self._reader.stop()
        if isinstance(iteration, GeneratorType) and not iteration.gi_running:
            iteration.close()

    async def aclose(self) -> None:
        """Close the connection. An iteration in another task of this event loop ends."""
        self._is_closed = True
        iteration = self._current()
        if not isinstance(self._reader, LoopReader):
            self.close()
        elif not self._reader.stop() and isinstance(iteration, AsyncGeneratorType) and not iteration.ag_running:
            await iteration.aclose()

    def _current(self) -> _Iteration | None:
        """The iteration that is not over, if somebody still has it."""
        iteration = None if self._iteration is None else self._iteration()
        if isinstance(iteration, GeneratorType):
            return iteration if iteration.gi_frame else None
        return iteration if isinstance(iteration, AsyncGeneratorType) and iteration.ag_frame else None

    def _check_free(self) -> None:
        if self._current() is not None:
            raise ConfigurationError("this listener is iterated already; call nitro.listen for each iteration")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Listener {'closed' if self._is_closed else self._session!r}>"


def _checked_url(url: str) -> str:
    if not isinstance(url, str):
        raise ArgumentTypeError(f"the URL is a string, not {url!r}")
    import httpx

    try:
        parts = urlsplit(url)
        httpx.URL(url).raw_host.decode().encode("idna")  # as whoever looks it up does
    except (ValueError, httpx.InvalidURL) as error:
        why = ENCODE if "@" in url else error  # whose text may have a part of the password
        raise ConfigurationError(f"the URL {without_secrets(url)!a:.200} can't be read: {why}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"a stream's URL begins with http:// or https:// and a host, as https://example.org/events; this is "
            f"{without_secrets(url)}"
        )
    return url


def _checked_topics(topics: str | Iterable[str] | None) -> list[str] | None:
    if topics is None:
        return None
    patterns = [check_pattern(each) for each in ([topics] if isinstance(topics, str) else topics)]
    if not patterns:
        raise ConfigurationError(
            "topics is empty, so nothing would be heard; leave it out to hear what the server allows"
        )
    return patterns
