"""LoopReader: reads a stream in an event loop."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from nitro.client.asking import CONNECT_SECONDS, MOST_OF_A_PROBLEM, Asking
from nitro.errors import StreamRefused
from nitro.messages.heard import Heard
from nitro.messages.message import Gap

if TYPE_CHECKING:
    import httpx

__all__ = ["LoopReader"]


class LoopReader:
    """One iteration by `async for`. `stop` ends it while another task waits in it."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._is_stopped = False
        self._waiting: asyncio.Timeout | None = None

    def stop(self) -> bool:
        """End the iteration; returns whether it was waiting for the server."""
        self._is_stopped = True
        if self._waiting is None:
            return False
        if not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())
        return True

    @property
    def _is_over(self) -> bool:
        return self._is_stopped or self._asking.session.is_over

    async def messages(self) -> AsyncGenerator[Heard | Gap, None]:
        """What the user hears, over all connections."""
        import httpx

        async with httpx.AsyncClient(follow_redirects=True, timeout=CONNECT_SECONDS) as http:
            while not self._is_over:
                error: Exception | None = None
                headers = self._asking.headers()
                if inspect.isawaitable(headers):
                    headers = await headers
                try:
                    if headers is not None and not self._is_over:
                        async with aclosing(self._connection(http, headers)) as messages:
                            async for message in messages:
                                yield message
                except (StreamRefused, httpx.RequestError, TimeoutError) as failure:
                    error = failure
                if not self._is_over:
                    await self._sleep(self._asking.wait_seconds(error))

    async def _connection(
        self, http: httpx.AsyncClient, headers: Mapping[str, str]
    ) -> AsyncGenerator[Heard | Gap, None]:
        session = self._asking.session
        request = self._asking.request(http, headers)
        async with self._limit(session.silence_seconds):
            response = await http.send(request, stream=True)
        async with aclosing(response):
            if not self._asking.is_stream(response):
                raise await self._refusal(response)
            async with aclosing(self._asking.events(response, self._chunks(response)).aiter_sse()) as events:
                while not self._is_over:
                    event = await anext(events, None)
                    if event is None:
                        return
                    message = session.hear(event.event, event.data, event.id) if event.data else None
                    if message is not None:
                        yield message

    async def _chunks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Raises TimeoutError if nothing came for too long."""
        chunks = response.aiter_bytes()
        while True:
            async with self._limit(self._asking.session.silence_seconds):
                chunk = await anext(chunks, None)
            if chunk is None or self._is_over:
                return
            yield chunk

    async def _refusal(self, response: httpx.Response) -> StreamRefused:
        body = b""
        if self._asking.has_problem(response):
            async with self._limit(self._asking.session.silence_seconds):
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MOST_OF_A_PROBLEM:
                        break
        return self._asking.refusal(response, body)

    @asynccontextmanager
    async def _limit(self, seconds: float) -> AsyncGenerator[None, None]:
        """Raise TimeoutError if what is inside takes longer, or when it is stopped."""
        try:
            async with asyncio.timeout(seconds) as self._waiting:
                yield
        finally:
            self._waiting = None

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with self._limit(seconds):
                await asyncio.get_running_loop().create_future()
