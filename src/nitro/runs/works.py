"""The works: the tasks of one event loop that write runs, and how they are handed on when their process ends.

Fed by the service, which starts them; told by signals of the server, or by the end of the event loop.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final
from weakref import WeakSet

from nitro.runs.producer import Producer
from nitro.sse.drain import also_end, drain_on_signals, keep_server_for
from nitro.streams.streams import END_SECONDS

__all__ = ["Works"]


class Works:
    """Belongs to one event loop.

    Attributes:
        are_ending: whether the process ends, so that runs are for others to take up.
    """

    def __init__(self) -> None:
        self.are_ending: bool = False
        self._loop = asyncio.get_running_loop()
        self._producers: dict[asyncio.Task[None], Producer] = {}
        _all.add(self)
        drain_on_signals()

    def add(self, work: asyncio.Task[None], producer: Producer) -> None:
        """A work has begun."""
        self._producers[work] = producer
        work.add_done_callback(self._producers.pop)
        drain_on_signals()  # a server may have installed its handlers since
        if self.are_ending:
            self.end()

    def end_soon(self) -> None:
        """The server is about to stop. Returns at once, from any thread and in a signal handler."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.end)

    def end(self) -> None:
        """Hand the runs on, while the server waits."""
        self.are_ending = True
        if self._producers:
            keep_server_for(self._loop.create_task(self._hand_on_in_time(), name="nitro runs are handed on"))

    async def hand_on(self) -> None:
        """Others go on with the runs if they can; else the runs are lost now."""
        self.are_ending = True
        works = dict(self._producers)
        for work in works:
            if not work.cancelling():  # at its end, the event loop cancels all tasks
                work.cancel()
        releases = [producer.release() for producer in works.values()]
        await asyncio.gather(*releases, *works, return_exceptions=True)

    async def _hand_on_in_time(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self.hand_on()

    def __repr__(self) -> str:
        return f"<Works: {len(self._producers)}{', ending' if self.are_ending else ''}>"


_all: Final[WeakSet[Works]] = WeakSet()


def _end_all() -> None:
    for works in tuple(_all):
        works.end_soon()


also_end(_end_all)
