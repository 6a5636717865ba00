"""The connection: a sink that writes what waits for one client to its socket, as ASGI shows it.

Fed by an outbox; feeds the server's `send`. Each connection has a writer, one task that is parked most of its life.
There are two ways to run a write, and this file is both:

inline: the feed's flush steps the coroutine of `send` once, under the identity and in the context of the writer. Most
    sends are through after that step, at half the cost of waking a task. One that suspends (backpressure, a
    middleware with a stream in between) is handed to the writer, which goes on with it: the same task and the same
    context from its first step to its last, as locks, cancel scopes and time limits in middleware want it.
by task: the writer is woken for each write.

Either way a write goes on until nothing waits any more, so what came meanwhile leaves as one.
"""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from functools import partial
from typing import Any

from starlette.types import Message, Receive, Send

from nitro.infrastructure.delivery.outbox import Outbox

__all__ = ["Connection"]

Suspended = tuple[Coroutine[Any, Any, None], Any]
"""A coroutine that was stepped by hand, and what it waits for."""


class Connection:
    """Made in the connection's own task, after the head of the response was sent."""

    __slots__ = (
        "_context",
        "_ending",
        "_failure",
        "_handed",
        "_idle",
        "_inline",
        "_is_ended",
        "_is_writing",
        "_loop",
        "_named",
        "_outbox",
        "_parked",
        "_send",
        "_writer",
    )

    def __init__(self, outbox: Outbox, send: Send, *, named: bool, inline: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._outbox = outbox
        # Called, a coroutine function does nothing yet; of any other callable nobody knows.
        self._send: Send = send if inspect.iscoroutinefunction(send) else partial(_awaiting, send)
        self._named = named
        self._inline = inline
        self._is_writing = False
        self._is_ended = outbox.is_ended
        self._handed: Suspended | None = None
        self._parked: asyncio.Future[None] | None = None
        self._idle: asyncio.Future[None] | None = None  # of who waits for the write under way
        self._ending: asyncio.Timeout | None = None
        self._failure: Exception | None = None
        self._writer = self._loop.create_task(self._work(), name="nitro writer", context=self._context)
        before, outbox.sink = outbox.sink, self
        before.ended()

    def ready(self) -> bool:
        """Write what waits; a write that is handed to the writer takes along what comes meanwhile."""
        if self._is_ended:
            return False
        if not self._inline:
            self._wake_writer(None)
            return False
        while (body := self._outbox.take_body(named=self._named)) is not None:
            sending: Any = self._send({"type": "http.response.body", "body": body, "more_body": True})
            asyncio._enter_task(self._loop, self._writer)
            try:
                waited = self._context.run(sending.send, None)
            except StopIteration:
                if self._outbox.is_replaying:
                    return True  # a page a turn
                continue
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as failure:  # noqa: BLE001 - raised again by the connection's own task
                self._fail(failure)
                return True
            finally:
                asyncio._leave_task(self._loop, self._writer)
            self._wake_writer((sending, waited))
            return False
        return True

    def ended(self) -> None:
        """Let `until_gone` return."""
        self._is_ended = True
        if self._ending is not None and not self._ending.expired():
            self._ending.reschedule(self._loop.time())

    async def until_gone(self, receive: Receive) -> bool:
        """Write what waits, and wait until the client is gone (True) or the stream is ended from here (False).

        Raises:
            Exception: whatever `send` raised, except for `OSError`, which says that the client is gone.
        """
        gone = False
        self._outbox.rest()
        self._loop.call_soon(self._outbox.lane.tell, self._outbox)
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
            if self._is_writing:
                self._idle = self._loop.create_future()
                await self._idle
            await self._send({"type": "http.response.body", "body": last_bytes, "more_body": False})

    def abandon(self) -> None:
        """Stop writing, wherever a write stands."""
        self._is_ended = True
        self._writer.cancel()

    def _wake_writer(self, suspended: Suspended | None) -> None:
        self._is_writing = True
        self._handed = suspended
        self._outbox.lane.writes.begin(self._outbox)
        if self._parked is not None and not self._parked.done():
            self._parked.set_result(None)

    async def _work(self) -> None:
        try:
            while True:
                cancelled: asyncio.CancelledError | None = None
                if not self._is_writing:
                    self._parked = self._loop.create_future()
                    try:
                        await self._parked
                    except asyncio.CancelledError as error:
                        if self._handed is None:
                            raise
                        cancelled = error  # it came when a write had begun already, and is the write's own
                    self._parked = None
                await self._write(cancelled)
                self._is_writing = False
                self._outbox.rest()
                if self._idle is not None and not self._idle.done():
                    self._idle.set_result(None)
        except (Exception, asyncio.CancelledError) as failure:  # raised again by the connection's own task
            if isinstance(failure, asyncio.CancelledError) and self._is_ended:
                raise
            self._fail(failure)

    async def _write(self, cancelled: asyncio.CancelledError | None) -> None:
        if self._handed is not None:
            (sending, waited), self._handed = self._handed, None
            await _resume(sending, waited, cancelled)
        while (body := self._outbox.take_body(named=self._named)) is not None:
            self._outbox.lane.writes.begin(self._outbox)
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
            if self._outbox.is_replaying:
                break  # a page a turn

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure if isinstance(failure, Exception) else RuntimeError(f"send was cut short: {failure!r}")
        self.ended()
        if self._idle is not None and not self._idle.done():
            self._idle.set_exception(self._failure)

    def __repr__(self) -> str:
        state = "ended" if self._is_ended else "writing" if self._is_writing else "idle"
        return f"<Connection {state} of {self._outbox!r}>"


@types.coroutine
def _resume(
    sending: Coroutine[Any, Any, None], waited: Any, cancelled: asyncio.CancelledError | None
) -> Generator[Any, Any, None]:
    """Go on with a coroutine that was stepped by hand and now waits for `waited`."""
    try:
        if cancelled is not None:
            waited = sending.throw(cancelled)
        while True:
            try:
                got = yield waited
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - the coroutine decides about it
                waited = sending.throw(error)
            else:
                waited = sending.send(got)
    except StopIteration:
        return
    finally:
        sending.close()


async def _awaiting(send: Send, message: Message) -> None:
    await send(message)
