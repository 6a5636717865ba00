"""The connection: a sink that writes what waits for one client to its socket, as ASGI shows it.

Fed by an outbox; feeds the server's `send`. There are two ways to run a write, and this file is both:

inline: the feed's flush steps the coroutine of `send` once, under the identity of the connection's own task
    and in a context of its own. Most sends are through after that step, at half the cost of waking a task.
    One that suspends (backpressure, a middleware with a stream in between) goes on in a task.
by task: each write gets a task. For servers and middleware that want every step in one real task.

Either way a write goes on until nothing waits any more, so what came meanwhile leaves as one.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import copy_context
from functools import partial
from typing import Any

from starlette.types import Receive, Send

from nitro.infrastructure.delivery.outbox import Outbox

__all__ = ["Connection"]


class Connection:
    """Made in the connection's own task, after the head of the response was sent."""

    __slots__ = (
        "_context",
        "_ending",
        "_failure",
        "_inline",
        "_is_ended",
        "_loop",
        "_named",
        "_outbox",
        "_send",
        "_task",
        "_writing",
    )

    def __init__(self, outbox: Outbox, send: Send, *, named: bool, inline: bool) -> None:
        task = asyncio.current_task()
        assert task is not None  # a response is always run by a task
        self._task: asyncio.Task[Any] = task
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._outbox = outbox
        self._send = send
        self._named = named
        self._inline = inline
        self._writing: asyncio.Task[None] | None = None
        self._ending: asyncio.Timeout | None = None
        self._failure: Exception | None = None
        self._is_ended = outbox.is_ended
        before, outbox.sink = outbox.sink, self
        before.ended()

    def start(self) -> None:
        """Write what waits already, as soon as the connection's task waits for something itself."""
        self._loop.call_soon(self.ready)

    def ready(self) -> bool:
        """Write what waits, unless a write is under way that will take it along."""
        if self._writing is not None or self._is_ended:
            return False
        if not self._inline:
            self._go_on(self._write)
            return False
        message = self._outbox.take_body(named=self._named)
        if message is None:
            return True
        sending = self._send(message)
        if type(sending) is not types.CoroutineType:
            sending = _awaiting(sending)
        asyncio._enter_task(self._loop, self._task)
        try:
            waited = self._context.run(sending.send, None)
        except StopIteration:
            return True
        except Exception as failure:  # noqa: BLE001 - raised again by the connection's own task
            self._fail(failure)
            return True
        finally:
            asyncio._leave_task(self._loop, self._task)
        self._go_on(partial(self._go_on_with, sending, waited))
        return False

    def ended(self) -> None:
        """Let `until_gone` return."""
        self._is_ended = True
        if self._ending is not None and not self._ending.expired():
            self._ending.reschedule(self._loop.time())

    async def until_gone(self, receive: Receive) -> bool:
        """Wait until the client is gone (True), or until the stream is ended from here (False).

        Raises:
            Exception: whatever `send` raised, except for `OSError`, which says that the client is gone.
        """
        gone = False
        try:
            async with asyncio.timeout(None) as self._ending:
                if self._is_ended:
                    self.ended()
                while not gone:
                    gone = (await receive())["type"] == "http.disconnect"
        except TimeoutError:
            if not self._is_ended:
                raise
        finally:
            self._ending = None
        if isinstance(self._failure, OSError):
            return True
        if self._failure is not None:
            raise self._failure
        return gone

    async def close(self, last_bytes: bytes, within_seconds: float) -> None:
        """End the response, once the write under way is through.

        Raises:
            TimeoutError: the client takes nothing; the response is not complete.
        """
        async with asyncio.timeout(within_seconds):
            if self._writing is not None:
                await self._writing
            await self._send({"type": "http.response.body", "body": last_bytes, "more_body": False})

    def abandon(self) -> None:
        """Stop writing, wherever a write stands."""
        self._is_ended = True
        if self._writing is not None:
            self._writing.cancel()

    async def _go_on_with(self, sending: Coroutine[Any, Any, None], waited: Any) -> None:
        await _resume(sending, waited)
        await self._write()

    async def _write(self) -> None:
        while (message := self._outbox.take_body(named=self._named)) is not None:
            await self._send(message)

    def _go_on(self, write: Callable[[], Awaitable[None]]) -> None:
        self._writing = self._loop.create_task(self._observe(write), name="nitro write", context=self._context)

    async def _observe(self, write: Callable[[], Awaitable[None]]) -> None:
        try:
            await write()
        except Exception as failure:  # noqa: BLE001 - raised again by the connection's own task
            self._fail(failure)
        finally:
            self._writing = None

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        self.ended()

    def __repr__(self) -> str:
        state = "ended" if self._is_ended else "writing" if self._writing else "idle"
        return f"<Connection {state} of {self._outbox!r}>"


@types.coroutine
def _resume(coro: Coroutine[Any, Any, None], waited: Any) -> Generator[Any, Any, None]:
    """Go on with a coroutine that was stepped by hand and now waits for `waited`."""
    try:
        while True:
            try:
                got = yield waited
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - the coroutine decides about it
                waited = coro.throw(error)
            else:
                waited = coro.send(got)
    except StopIteration:
        return
    finally:
        coro.close()


async def _awaiting(awaitable: Awaitable[None]) -> None:
    await awaitable
