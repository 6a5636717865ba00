"""The access to a store from one event loop: everything that is asked of the store passes here.

It connects, gives up what takes too long, and turns a driver's errors into `BrokerUnavailable`. It keeps what is known
of the streams that are read here, and hears the store's news of them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from nitro.brokers.batch_size import BatchSize
from nitro.brokers.tasks import in_time, retry_seconds
from nitro.errors import BrokerUnavailable, NitroError
from nitro.redaction import cause_of, text_of
from nitro.streams import decisions
from nitro.streams.base import Change, Record, Store
from nitro.streams.committer import Applied, Committer
from nitro.streams.decisions import Current, Decision
from nitro.streams.state import StreamState, from_bytes
from nitro.streams.tail import Tail

__all__ = ["PAGE_BYTES", "Access"]

T = TypeVar("T")

log: Final = logging.getLogger("nitro.streams")

PAGE_BYTES: Final = 1024 * 1024
"""How much one page of a stream holds, at least one record; less over a slow line."""
_LEAST_PAGE_BYTES: Final = 16 * 1024
_SEIZED_SECONDS: Final = 0.001
"""By how much an alarm differs after it was seized."""


class Access:
    """Belongs to one event loop. Every coroutine may raise `BrokerUnavailable`.

    Attributes:
        store: what is accessed.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._committer = Committer(store, self._committed, self._doubt)
        self._page_size = BatchSize(PAGE_BYTES, _LEAST_PAGE_BYTES)
        self._tails: dict[str, Tail] = {}
        self._listener: asyncio.Task[None] | None = None
        self._opening: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Connect, once for all who ask."""
        opening = self._opening
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception() is not None)):
            opening = self._opening = asyncio.ensure_future(in_time(self.store.open()))
        if not opening.done():
            await self.reached(asyncio.shield(opening))

    async def close(self) -> None:
        """End the reading of news, and close the store; who follows a stream reads it again, and fails."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        for tail in self._tails.values():
            tail.doubt()
        await self._committer.close()
        await self.store.close()

    async def apply(self, key: str, decide: Callable[[Current | None], Decision]) -> Applied:
        """Change a stream; see `Committer.apply`."""
        await self.open()
        return await self.reached(self._committer.apply(key, decide))

    async def current(self, key: str) -> Current | None:
        """What there is, also of what is deleted or expired."""
        await self.open()
        tail = self._tails.get(key)
        current = None if tail is None or tail.is_doubtful else tail.current
        if current is None or decisions.is_expired(current, time.time()):
            return await self.load(key)
        return current

    async def load(self, key: str) -> Current | None:
        """What the store has of a stream now, also if it is deleted or has expired."""
        await self.open()
        stored = await self.reached(in_time(self.store.load(key)))
        current = None if stored is None else Current(stored, from_bytes(stored.state))
        self._committer.learn(key, current)
        return current

    @property
    def page_bytes(self) -> int:
        """How much the store can be asked for at once."""
        return self._page_size.limit

    async def read(self, key: str, after: int, until: int, max_bytes: int) -> Sequence[Record]:
        """Records of one key; see `Store.read`."""
        await self.open()
        reading = self.store.read(key, after, until, max_bytes)
        return await self.reached(
            self._page_size.in_time(reading, lambda page: bool(page) and page[-1].version < until)
        )

    async def postpone(self, key: str, alarm_at: float, to: float) -> bool:
        """Change when somebody has to look at a stream; False if that isn't `alarm_at`, or it is not there."""
        await self.open()
        is_done = await self.reached(in_time(self.store.postpone(key, alarm_at, to)))
        if is_done:
            self._committer.postponed(key, to)
            if key in self._tails:
                self._tails[key].postponed(to)
        return is_done

    async def seize(self, key: str, current: Current) -> bool:
        """Be the one who does now what an alarm that is due asks for; False if it was postponed, or isn't due.

        A commit does not notice that an alarm was postponed, since that is none. It stays due: what has expired is
        not alive for a moment because somebody is about to delete it, and if that one dies, another one does it.
        """
        alarm_at = current.stored.alarm_at
        if alarm_at is None or alarm_at + _SEIZED_SECONDS > time.time():
            return False
        return await self.postpone(key, alarm_at, alarm_at + _SEIZED_SECONDS)

    async def due(self, now: float, limit: int) -> Sequence[str]:
        """Keys whose alarm is due; see `Store.due`."""
        await self.open()
        return await self.reached(in_time(self.store.due(now, limit)))

    async def keys(self, prefix: str, limit: int) -> Sequence[str]:
        """Keys that begin with `prefix`, in their order."""
        await self.open()
        return await self.reached(in_time(self.store.keys(prefix, limit)))

    @contextmanager
    def reading(self, key: str) -> Iterator[Tail]:
        """The tail of a stream, which is kept up to date as long as somebody reads it."""
        tail = self._tails.get(key)
        if tail is None:
            tail = self._tails[key] = Tail(key)
            self.store.watch(key)
            if self._listener is None:
                self._listener = asyncio.get_running_loop().create_task(self._listen(), name="nitro streams news")
        tail.readers += 1
        try:
            yield tail
        finally:
            tail.readers -= 1
            if not tail.readers and self._tails.get(key) is tail:
                del self._tails[key]
                self.store.unwatch(key)

    def tail(self, key: str) -> Tail | None:
        """The tail of a stream, if somebody reads it here."""
        return self._tails.get(key)

    async def newest(self, tail: Tail) -> Current:
        """What there is of a stream that is followed; it is read again only in doubt."""
        current = tail.current
        is_expired = current is not None and decisions.is_expired(current, time.time())
        if tail.loading is None and (tail.is_doubtful or is_expired):
            tail.loading = asyncio.ensure_future(self._refresh(tail))
        if tail.loading is not None:
            await asyncio.shield(tail.loading)
        return decisions.live(tail.current, tail.key, time.time())

    async def _refresh(self, tail: Tail) -> None:
        before, tail.is_doubtful = tail.current, False  # what is told meanwhile may raise new doubts
        try:
            found = await self.load(tail.key)
        except BaseException:
            tail.is_doubtful = True
            raise
        finally:
            tail.loading = None
        if found is None and tail.current is not before:
            tail.doubt()  # it was made meanwhile
        else:
            tail.learn(found)

    def _committed(self, change: Change, state: StreamState | None) -> None:
        tail = self._tails.get(change.key)
        if tail is not None:
            tail.hear(change, state)

    def _doubt(self, keys: Iterable[str]) -> None:
        for key in keys:
            tail = self._tails.get(key)
            if tail is not None:
                tail.doubt()

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                news = await self.store.news()
                failures = 0
            except Exception as error:  # noqa: BLE001 - a driver's; the store connects again
                if failures == 0:
                    why = text_of(error)
                    log.warning("news of streams from %s failed, and is tried again: %s", self.store.name, why)
                await asyncio.sleep(retry_seconds(failures))
                failures += 1
                news = None
            if news is None:
                self._committer.forget()
                self._doubt(tuple(self._tails))
                continue
            for change in news:
                self._hear(change)

    def _hear(self, change: Change) -> None:
        tail = self._tails.get(change.key)
        known = tail.current if tail is not None else None
        if known is not None and change.stored is not None and change.stored.version <= known.stored.version:
            return  # a commit of this process
        state = from_bytes(change.stored.state) if change.stored is not None else None
        if change.is_complete:
            current = None if change.stored is None or state is None else Current(change.stored, state)
            self._committer.learn(change.key, current)
        if tail is not None:
            tail.hear(change, state)

    async def reached(self, answer: Awaitable[T]) -> T:
        """What the store answers; `BrokerUnavailable` if it fails."""
        try:
            return await answer
        except (NitroError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - a driver's
            is_late = isinstance(error, TimeoutError) and not str(error)
            why = "it did not answer in time" if is_late else text_of(error)
            text = f"the store of streams, {self.store.name}, can't be reached: {why}"
            raise BrokerUnavailable(text) from cause_of(error)

    def __repr__(self) -> str:
        return f"<Access to {self.store.name}, {len(self._tails)} streams are read>"
