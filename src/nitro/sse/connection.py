"""The connection: a sink that writes one client's queued messages to its socket, through ASGI's `send`.

Fed by an outbox; feeds the server's `send`. Each connection has a writer, a task that is parked most of its life.
A write runs in one of two ways:

inline: the feed's flush steps the coroutine of `send` once, as the writer's task and in its context. Most sends
    complete in that step, at half the cost of waking a task. One that suspends (backpressure, a middleware with a
    stream in between) is handed to the writer, which resumes it: the same task and the same context from its first
    step to its last, as locks, cancel scopes and timeouts in middleware require.
by task: the writer is woken for each write.

The writer also writes the last bytes of a stream that this process ends, while the connection's own task waits for
the `http.disconnect` that follows.

Either way a write goes on until the outbox is empty: messages that are queued during a write leave together.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import types
from collections.abc import Coroutine, Generator
from contextvars import copy_context
from functools import partial
from typing import Any, Final

from starlette.types import Message, Receive, Send

from nitro.delivery.frame import WireFormat
from nitro.delivery.outbox import Outbox
from nitro.sse.disconnect import disconnected
from nitro.sse.last_bytes import LAST_WRITE_SECONDS, LastBytes

__all__ = ["Connection", "says_gone"]

log: Final = logging.getLogger("nitro.sse")

_GRACE_SECONDS: Final = 0.2
"""How long `receive` may take to return `http.disconnect` after the response is complete; then it is cancelled. Servers
return it at once; a middleware may not."""

Suspended = tuple[Coroutine[Any, Any, None], Any]
"""A coroutine that was stepped by hand, and what it yielded."""


class Connection:
    """Created in the connection's own task, after the head of the response was sent."""

    __slots__ = (
        "_context",
        "_ending",
        "_failure",
        "_handed",
        "_inline",
        "_is_closed",
        "_is_ended",
        "_is_writing",
        "_last_bytes",
        "_loop",
        "_outbox",
        "_parked",
        "_send",
        "_wire_format",
        "_writer",
    )

    def __init__(
        self,
        outbox: Outbox,
        send: Send,
        last_bytes: LastBytes,
        wire_format: WireFormat,
        *,
        inline: bool,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._outbox = outbox
        # Calling a coroutine function runs nothing yet; another callable may run code at once.
        self._send: Send = send if inspect.iscoroutinefunction(send) else partial(_awaiting, send)
        self._last_bytes = last_bytes
        self._wire_format = wire_format
        self._inline = inline
        self._is_writing = False
        self._is_ended = outbox.is_ended
        self._is_closed = False
        self._handed: Suspended | None = None
        self._parked: asyncio.Future[None] | None = None
        self._ending: asyncio.Timeout | None = None
        self._failure: Exception | None = None
        self._writer = self._loop.create_task(self._work(), name="nitro writer", context=self._context)
        outbox.attach(self)

    def ready(self) -> bool:
        """Write the queued messages. A write that is handed to the writer also sends what is queued meanwhile."""
        if self._is_ended:
            return False
        if not self._inline:
            self._wake_writer(None)
            return False
        while (body := self._outbox.take_body(self._wire_format)) is not None:
            sending: Any = self._send({"type": "http.response.body", "body": body, "more_body": True})
            asyncio._enter_task(self._loop, self._writer)
            try:
                waited = self._context.run(sending.send, None)
            except StopIteration:
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

    @property
    def is_inline(self) -> bool:
        """Whether it calls the server's `send` in the loop's own turn, and not in a task."""
        return self._inline

    def ended(self) -> None:
        """Write the last bytes and let `until_gone` return."""
        self._is_ended = True
        self._unpark()
        self._return_in(LAST_WRITE_SECONDS)

    async def until_gone(self, receive: Receive) -> None:
        """Write queued messages until the client disconnects, or until this process has ended and closed the stream.

        Raises:
            Exception: any exception of `send`, except for those that mean that the client is gone, such as `OSError`.
        """
        self._outbox.free()
        try:
            async with asyncio.timeout(None) as self._ending:
                if self._is_ended:
                    self.ended()
                await disconnected(receive)
        except TimeoutError:
            if not self._is_ended:
                raise
            if not self._is_closed and self._failure is None:
                log.warning("a client took nothing of its last bytes for %s s: %r", LAST_WRITE_SECONDS, self)
        finally:
            self._ending = None
        if self._failure is not None and not says_gone(self._failure):
            raise self._failure

    def abandon(self) -> None:
        """Stop writing, even in the middle of a write."""
        self._is_ended = True
        self._writer.cancel()

    def _wake_writer(self, suspended: Suspended | None) -> None:
        self._is_writing = True
        self._handed = suspended
        self._outbox.begin_write()
        self._unpark()

    def _unpark(self) -> None:
        if self._parked is not None and not self._parked.done():
            self._parked.set_result(None)

    def _return_in(self, seconds: float) -> None:
        """Let `until_gone` wait at most `seconds` longer for `http.disconnect`."""
        if self._ending is not None and not self._ending.expired():
            self._ending.reschedule(self._loop.time() + seconds)

    async def _work(self) -> None:
        try:
            while self._is_writing or not self._is_ended:
                cancelled: asyncio.CancelledError | None = None
                if not self._is_writing:
                    self._parked = self._loop.create_future()
                    try:
                        await self._parked
                    except asyncio.CancelledError as error:
                        if self._handed is None:
                            raise
                        cancelled = error  # a write had already begun, and the cancellation is for it
                    self._parked = None
                if self._is_writing:
                    await self._write(cancelled)
                    self._is_writing = False
                    if self._outbox.sink is self:
                        self._outbox.free()
            last_bytes = self._last_bytes(self._outbox)
            await self._send({"type": "http.response.body", "body": last_bytes, "more_body": False})
            self._is_closed = True
            self._return_in(_GRACE_SECONDS)
        except (Exception, asyncio.CancelledError) as failure:  # raised again by the connection's own task
            if isinstance(failure, asyncio.CancelledError) and self._is_ended:
                raise
            self._fail(failure)

    async def _write(self, cancelled: asyncio.CancelledError | None) -> None:
        if self._handed is not None:
            (sending, waited), self._handed = self._handed, None
            await _resume(sending, waited, cancelled)
        while self._outbox.sink is self and (body := self._outbox.take_body(self._wire_format)) is not None:
            self._outbox.begin_write()
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure if isinstance(failure, Exception) else RuntimeError(f"send was cut short: {failure!r}")
        self._is_ended = True
        self._return_in(0)

    def __repr__(self) -> str:
        state = "ended" if self._is_ended else "writing" if self._is_writing else "idle"
        return f"<Connection {state} of {self._outbox!r}>"


def says_gone(failure: Exception) -> bool:
    """Whether `failure` means that the client is gone: an OSError, or uvloop's RuntimeError for a closed handler."""
    return isinstance(failure, OSError) or (isinstance(failure, RuntimeError) and "handler is closed" in str(failure))


@types.coroutine
def _resume(
    sending: Coroutine[Any, Any, None], waited: Any, cancelled: asyncio.CancelledError | None
) -> Generator[Any, Any, None]:
    """Resume a coroutine that was stepped by hand and yielded `waited`."""
    try:
        if cancelled is not None:
            waited = sending.throw(cancelled)
        while True:
            try:
                got = yield waited
            except GeneratorExit:
                raise
            except BaseException as error:  # noqa: BLE001 - passed on to the coroutine
                waited = sending.throw(error)
            else:
                waited = sending.send(got)
    except StopIteration:
        return
    finally:
        sending.close()


async def _awaiting(send: Send, message: Message) -> None:
    await send(message)
