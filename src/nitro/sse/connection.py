"""The connection: a sink that writes what waits for one client to its socket, as ASGI shows it.

Fed by an outbox; feeds the server's `send`. Each connection has a writer, one task that is parked most of its life.
There are two ways to run a write, and this file is both:

inline: the feed's flush steps the coroutine of `send` once, under the identity and in the context of the writer. Most
    sends are through after that step, at half the cost of waking a task. One that suspends (backpressure, a
    middleware with a stream in between) is handed to the writer, which goes on with it: the same task and the same
    context from its first step to its last, as locks, cancel scopes and time limits in middleware want it.
by task: the writer is woken for each write.

The writer also writes the last bytes of a stream that is ended from here, while the connection's own task goes on
waiting for the server's word that the client is gone, which follows.

Either way a write goes on until nothing waits any more, so what came meanwhile leaves as one.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from functools import partial
from typing import Any, Final

from starlette.types import Message, Receive, Send

from nitro.delivery.frame import WireFormat
from nitro.delivery.outbox import Outbox
from nitro.sse.disconnect import disconnected

__all__ = ["Connection"]

log: Final = logging.getLogger("nitro.sse")

_LAST_WRITE_SECONDS: Final = 1.0
"""How long a client that reads too slowly may hold up the end of its stream."""
_GRACE_SECONDS: Final = 0.2
"""How long a server has to say, once the response is complete, that the client is gone. All do so at once; a middleware
may not, and then `receive` is cancelled."""

Suspended = tuple[Coroutine[Any, Any, None], Any]
"""A coroutine that was stepped by hand, and what it waits for."""


class Connection:
    """Made in the connection's own task, after the head of the response was sent."""

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
        last_bytes: Callable[[Outbox], bytes],
        wire_format: WireFormat,
        *,
        inline: bool,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._outbox = outbox
        # Called, a coroutine function does nothing yet; of any other callable nobody knows.
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
        """Write what waits; a write that is handed to the writer takes along what comes meanwhile."""
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

    def ended(self) -> None:
        """Write the last bytes, and let `until_gone` return."""
        self._is_ended = True
        self._unpark()
        self._return_in(_LAST_WRITE_SECONDS)

    async def until_gone(self, receive: Receive) -> None:
        """Write what waits, and wait until the client is gone, or the stream is ended from here and closed.

        Raises:
            Exception: whatever `send` raised, except for `OSError`, which says that the client is gone.
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
                log.warning("a client took nothing of its last bytes for %s s: %r", _LAST_WRITE_SECONDS, self)
        finally:
            self._ending = None
        if self._failure is not None and not _says_gone(self._failure):
            raise self._failure

    def abandon(self) -> None:
        """Stop writing, wherever a write stands."""
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
        """Let `until_gone` wait for the server's word that the client is gone no longer than this."""
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
                        cancelled = error  # it came when a write had begun already, and is the write's own
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


def _says_gone(failure: Exception) -> bool:
    """Whether the client went: as an OSError, or as uvloop says it to a server that was not told."""
    return isinstance(failure, OSError) or (isinstance(failure, RuntimeError) and "handler is closed" in str(failure))


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
