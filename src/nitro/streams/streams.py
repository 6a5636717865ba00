"""Streams: what can be done with streams that have an end, over any store.

Fed by runs and by the Durable Streams Protocol. One for each event loop: it puts together what decides, commits, reads
and sweeps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from nitro.streams import decisions
from nitro.streams.access import Access
from nitro.streams.base import Store
from nitro.streams.committer import Applied
from nitro.streams.decisions import Append, Creation, Current, Decision
from nitro.streams.forking import ForkPoint, Forks
from nitro.streams.reading import Reading
from nitro.streams.sweeper import Sweeper

__all__ = ["END_SECONDS", "Streams"]

END_SECONDS: Final = 2.0
"""How long the end of a process waits for what is still to be stored."""


class Streams:
    """Streams in a store. Everything is used from the event loop in which it was made.

    Every coroutine may raise `BrokerUnavailable` if the store can't be reached.

    Attributes:
        access: what is stored, as it is.
        reading: pages of streams, and what is appended to them.
        sweeper: looks after what has expired.
        keeper: the task that sweeps, and closes all this when its loop ends.
    """

    def __init__(self, store: Store) -> None:
        self.access: Access = Access(store)
        self.reading: Reading = Reading(self.access)
        self._forks = Forks(self.access, self.reading)
        self.sweeper: Sweeper = Sweeper(self.access, self._forks)
        self.keeper: asyncio.Task[None] | None = None
        self._ends: list[Callable[[], Awaitable[None]]] = []

    async def close(self) -> None:
        """End what `on_close` asked for, for some seconds at most, and then the access to the store."""
        with suppress(TimeoutError):  # a store that is away may not hold up the end of a process
            async with asyncio.timeout(END_SECONDS):
                for end in self._ends:
                    await end()
        await self.access.close()

    def on_close(self, end: Callable[[], Awaitable[None]]) -> None:
        """Let `end` be awaited before the store is closed."""
        self._ends.append(end)

    async def create(self, key: str, creation: Creation, fork: ForkPoint | None = None) -> Applied:
        """Make a stream, or find the one that was made in the same way; what is returned says whether it is new.

        Raises:
            StreamExists: there is another one of this key.
            StreamNotFound: there is no source to fork from.
            InvalidOffset: the source has no such place.
            RecordTooLong: the items, or what is kept of the stream, are too long for the store.
        """
        found = await self.access.current(key)
        if found is not None and decisions.is_expired(found, time.time()):
            await self.sweeper.sweep(key)
        if fork is not None:
            return await self._forks.create(key, creation, fork)
        return await self.access.apply(key, lambda current: decisions.create(current, creation, key, time.time()))

    async def append(self, key: str, request: Append) -> Applied:
        """Append to a stream, close it, or both in one step.

        Raises:
            StreamNotFound, StreamGone: it is not there.
            StreamClosed, ContentTypeMismatch, StaleEpoch, SequenceGap, InvalidOffset, SequenceRegression, StreamFull:
                see there.
            RecordTooLong: the items, or what is kept of the stream, are too long for the store.
        """

        def decide(current: Current | None) -> Decision:
            now = time.time()
            return decisions.append(decisions.live(current, key, now), request, now)

        return await self.access.apply(key, decide)

    async def change(self, key: str, decide: Callable[[Current], Decision]) -> Applied:
        """Decide about a stream by what there is of it.

        Raises:
            StreamNotFound, StreamGone: it is not there.
        """
        return await self.access.apply(key, lambda current: decide(decisions.live(current, key, time.time())))

    async def delete(self, key: str) -> None:
        """Delete a stream with all that it has; if it has forks, as soon as they are gone.

        Raises:
            StreamNotFound, StreamGone: it is not there.
        """
        await self.find(key)
        await self._forks.delete(key, lambda current, now: decisions.delete(decisions.live(current, key, now), now))

    async def find(self, key: str, *, asks_store: bool = False) -> Current:
        """What there is of a stream now.

        Args:
            key: of the stream.
            asks_store: whether the store is asked in any case. What is known of a stream that is followed here may be
                some milliseconds old, if another process changes it.

        Raises:
            StreamNotFound, StreamGone: it is not there.
        """
        current = await (self.access.load(key) if asks_store else self.access.current(key))
        return decisions.live(current, key, time.time())

    def __repr__(self) -> str:
        return f"<Streams of {self.access!r}>"
