"""ThreadReader: reads a stream in a thread, which waits in the socket."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Generator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING

from nitro.client.asking import CONNECT_SECONDS, MOST_OF_A_PROBLEM, Asking
from nitro.client.watchdog import Watchdog
from nitro.errors import ArgumentTypeError, StreamRefused
from nitro.messages.heard import Heard
from nitro.messages.message import Gap

if TYPE_CHECKING:
    import httpx

__all__ = ["ThreadReader"]


class ThreadReader:
    """One iteration by `for`. `stop` ends it from another thread."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._stopped = threading.Event()
        self._watchdog: Watchdog | None = None

    def stop(self) -> None:
        """End the iteration: at once if it waits for news, else when its request is answered."""
        self._stopped.set()
        if (watchdog := self._watchdog) is not None:
            watchdog.cut()

    @property
    def _is_over(self) -> bool:
        return self._stopped.is_set() or self._asking.session.is_over

    def messages(self) -> Generator[Heard | Gap, None, None]:
        """What the user hears, over all connections."""
        import httpx

        with httpx.Client(follow_redirects=True, timeout=CONNECT_SECONDS) as http:
            while not self._is_over:
                error: Exception | None = None
                headers = self._headers()
                try:
                    if headers is not None and not self._is_over:
                        yield from self._connection(http, headers)
                except (StreamRefused, httpx.RequestError, TimeoutError) as failure:
                    error = failure
                if not self._is_over:
                    self._stopped.wait(self._asking.wait_seconds(error))

    def _connection(self, http: httpx.Client, headers: Mapping[str, str]) -> Generator[Heard | Gap, None, None]:
        session = self._asking.session
        response = http.send(self._asking.request(http, headers), stream=True)
        with closing(response):
            if not self._asking.is_stream(response):
                raise self._refusal(response)
            connection = response.extensions["network_stream"].get_extra_info("socket")
            with Watchdog(connection) as self._watchdog:
                events = self._asking.events(response, self._chunks(response, self._watchdog)).iter_sse()
                while not self._is_over:
                    event = next(events, None)
                    if event is None:
                        return
                    message = session.hear(event.event, event.data, event.id) if event.data else None
                    if message is not None:
                        yield message

    def _chunks(self, response: httpx.Response, watchdog: Watchdog) -> Generator[bytes, None, None]:
        """The body as it comes. Raises TimeoutError if nothing came for too long."""
        import httpx

        chunks = response.iter_bytes()
        while True:
            try:
                with watchdog.limit(self._asking.session.silence_seconds):
                    chunk = next(chunks, None)
            except httpx.RequestError:
                if not watchdog.was_silent:
                    raise
                chunk = None
            if watchdog.was_silent:
                raise TimeoutError
            if chunk is None or self._is_over:
                return
            yield chunk

    def _refusal(self, response: httpx.Response) -> StreamRefused:
        body = b""
        if self._asking.has_problem(response):
            for piece in response.iter_bytes():
                body += piece
                if len(body) > MOST_OF_A_PROBLEM:
                    break
        return self._asking.refusal(response, body)

    def _headers(self) -> Mapping[str, str] | None:
        headers = self._asking.headers()
        if not inspect.isawaitable(headers):
            return headers
        if inspect.iscoroutine(headers):
            headers.close()
        raise ArgumentTypeError("headers is an asynchronous function: iterate by `async for`, or pass another one")
