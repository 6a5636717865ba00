"""`Run`: a handle of one run, to write it, to await it and to read it, in an event loop or in a thread without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from types import TracebackType
from typing import Any, Final, Protocol, Self

from nitro.errors import ArgumentTypeError, ConfigurationError
from nitro.events.payload import decode
from nitro.runs.errors import RunCancelled, RunFailed, RunLost
from nitro.runs.outcomes import end_with
from nitro.runs.producer import Producer
from nitro.runs.record import Ended, RunInfo
from nitro.streams.offsets import BEGINNING, Offset
from nitro.streams.page import Page

__all__ = ["Run", "Stored"]

_ENDS: Final = {"failed": RunFailed, "cancelled": RunCancelled, "lost": RunLost}


class Runs(Protocol):
    """What a run needs of the runs of its event loop."""

    async def info(self, id: str) -> RunInfo:
        """How a run stands."""

    def pages(self, id: str, offset: Offset) -> AsyncIterator[tuple[Page, RunInfo]]:
        """What a run holds behind a place, and will hold."""

    async def take(self, run: Run) -> Producer:
        """Become its producer."""


class Run:
    """One run. In an event loop, its methods are awaited; elsewhere they return when they are done.

    The first `send`, `end` or `fail` takes the run up: from then on this handle is its producer, and another one, in
    whatever process, raises `RunTaken`. As a context manager, `async with run:` or, without an event loop, `with run:`,
    it takes the run up, and ends it: done, unless the block has ended it otherwise; failed if the block raises; and
    left to others if the block is stopped, by a cancellation or an exit of the program.

    Attributes:
        id: of the run, for its URL.
        user_id: whose it is; None for nobody's, or if it isn't known here.
        data: what was passed to `start(data=)`, once it was taken up.
    """

    def __init__(self, runs: Callable[[], Runs], id: str, loop: asyncio.AbstractEventLoop) -> None:
        self.id = id
        self.user_id: str | None = None
        self.data: Any = None
        self._runs = runs
        self._loop = loop
        self._producer: Producer | None = None
        self._taking: asyncio.Future[Producer] | None = None

    def send(self, item: Any) -> Stored:
        """Add an item: anything that JSON can hold, a model or a dataclass.

        It returns before the item is stored, and waits while too much isn't yet; `end` returns when all is stored.

        Raises:
            InvalidPayload, PayloadTooLarge: the item can't be sent; the run goes on.
            RunEnded: the run has ended, or was cancelled.
            RunTaken: somebody else writes it by now.
            RunFailed: it would be longer than it may be; it has failed by that.
        """

        async def send() -> None:
            await (await self._taken()).send(item)

        return self._do(send)

    def end(self) -> Stored:
        """End the run well, once all items are stored. Raises as `send`."""
        return self._finish("done", None)

    def fail(self, reason: str) -> Stored:
        """End the run as failed; readers are told the reason. Raises as `send`, and `ArgumentTypeError`."""
        if not isinstance(reason, str):
            raise ArgumentTypeError(f"the reason that readers are told is a string, and not {reason!a:.80}")
        return self._finish("failed", reason)

    async def info(self) -> RunInfo:
        """How it stands now. Raises `RunNotFound` once it has expired."""
        return await self._runs().info(self.id)

    async def result(self) -> list[Any]:
        """Wait for its end: all items.

        Raises:
            RunFailed, RunCancelled, RunLost: it ended so.
            RunNotFound: there is no such run, or no longer.
        """
        return [item async for item in self.items()]

    async def items(self) -> AsyncIterator[Any]:
        """Its items from the beginning, and those to come, until it ends.

        Raises:
            RunFailed, RunCancelled, RunLost: it ended so, behind its last item.
            RunNotFound: there is no such run, or no longer.
        """
        last: RunInfo | None = None
        async for page, info in self._runs().pages(self.id, BEGINNING):
            last = info
            for item in page.items:
                yield decode(item)
        if last is not None and last.state in _ENDS:
            raise _ENDS[last.state](last.reason or f"the run is {last.state}")

    def _finish(self, state: Ended, reason: str | None) -> Stored:
        async def finish() -> None:
            await (await self._taken()).end(state, reason)

        return self._do(finish)

    async def _taken(self) -> Producer:
        """The producer; takes the run up, once."""
        if self._producer is not None:
            return self._producer
        if self._taking is None or (self._taking.done() and self._taking.exception() is not None):
            self._taking = asyncio.ensure_future(self._runs().take(self))
        self._producer = await asyncio.shield(self._taking)
        return self._producer

    def _do(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> Stored:
        running = asyncio._get_running_loop()
        if running is self._loop:
            return Stored(call())
        if running is not None:
            raise ConfigurationError(
                f"the run {self.id} was opened in another event loop; open it in this one: nitro.runs.open({self.id!r})"
            )
        asyncio.run_coroutine_threadsafe(call(), self._loop).result()
        return Stored(None)

    async def __aenter__(self) -> Self:
        (await self._taken()).is_in_block = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        producer = await self._taken()
        try:
            if error is None:
                await producer.finish()
            elif not producer.is_over:
                await end_with(producer, error)
        finally:
            producer.is_in_block = False

    def __enter__(self) -> Self:
        if asyncio._get_running_loop() is self._loop:
            raise ConfigurationError(
                f"in an event loop, write `async with` in place of `with`, and await what it sends: "
                f"async with nitro.runs.open({self.id!r}) as run: await run.send(…)"
            )
        self._do(self.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._do(lambda: self.__aexit__(kind, error, traceback))

    def __repr__(self) -> str:
        return f"<Run {self.id}, {self._producer or 'not written here'}>"


class Stored:
    """What `send`, `end` and `fail` return: to be awaited in an event loop, and done already elsewhere."""

    __slots__ = ("_awaitable",)

    def __init__(self, awaitable: Coroutine[Any, Any, None] | None) -> None:
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, None, None]:
        if self._awaitable is not None:
            yield from self._awaitable.__await__()
