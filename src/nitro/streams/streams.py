"""Streams: what can be done with streams that have an end, over any store.

Fed by runs and by the Durable Streams Protocol; feeds the committer and the store, and reads from them. One for each
event loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from nitro.brokers.tasks import in_time
from nitro.errors import BrokerUnavailable, NitroError, PayloadTooLarge
from nitro.streams import decisions
from nitro.streams.base import Change, Record, Store
from nitro.streams.committer import Applied, Committer
from nitro.streams.decisions import Append, Creation, Current, Decision
from nitro.streams.errors import InvalidOffset, StreamExists, StreamNotFound
from nitro.streams.items import is_json, media_type, split
from nitro.streams.offsets import Offset
from nitro.streams.state import Fork, StreamState, from_bytes
from nitro.streams.tail import Tail

__all__ = ["ForkPoint", "Page", "Part", "Streams"]

T = TypeVar("T")

log: Final = logging.getLogger("nitro.streams")

PAGE_BYTES: Final = 1024 * 1024
"""How much one page of a stream holds, at least one record."""
_WAIT_SECONDS: Final = 20.0
"""How long a reader sleeps before it looks whether its stream is still there."""
_SWEEP_SECONDS: Final = 1.0
"""Interval at which the store is asked whose alarm is due."""
_SEIZED_SECONDS: Final = 5.0
"""How long the others leave an alarm to who has seized it."""
_SWEPT_AT_ONCE: Final = 200
_RETRY_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
_CHAIN: Final = 100
"""Sources of sources that a fork may have."""


class ForkPoint(NamedTuple):
    """Where a fork is to leave its source.

    Attributes:
        source: its key.
        offset: a place in it; None for its end.
        sub_offset: how many messages (JSON) or bytes behind that place still belong to the fork.
    """

    source: str
    offset: Offset | None = None
    sub_offset: int = 0


class Part(NamedTuple):
    """The items of one record, or the rest of them.

    Attributes:
        before: the place before the first of them.
        items: at least one.
        version: of the record; the place behind the last of them.
        made: what readers who get the whole record have made of it, to share it; None if it isn't shared.
    """

    before: Offset
    items: Sequence[bytes]
    version: int
    made: dict[Any, Any] | None = None

    def offset(self, place: int) -> Offset:
        """The place behind item number `place` of the part, from 0."""
        if place + 1 == len(self.items):
            return Offset(self.version)
        return Offset(self.before.version, self.before.skipped + place + 1)


class Page(NamedTuple):
    """A piece of a stream.

    Attributes:
        parts: what there is, in order.
        next: the place behind it.
        is_up_to_date: whether it reached the end of what there was.
        is_closed: whether that is the end for good.
        state: of the stream when it was read.
    """

    parts: Sequence[Part]
    next: Offset
    is_up_to_date: bool
    is_closed: bool
    state: StreamState

    @property
    def items(self) -> list[bytes]:
        """All items, in order."""
        return [item for part in self.parts for item in part.items]


class Streams:
    """Streams in a store. Everything is used from the event loop in which it was made.

    Every method may raise `BrokerUnavailable` if the store can't be reached.

    Attributes:
        keeper: the task that sweeps, and closes all this when its loop ends.
        reached_at: since when the store has been reached whenever it was asked for what is due, by the monotonic clock.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._committer = Committer(store, self._committed)
        self._tails: dict[str, Tail] = {}
        self._listener: asyncio.Task[None] | None = None
        self._opening: asyncio.Future[None] | None = None
        self._chains: dict[tuple[str, str], list[tuple[str, int]]] = {}
        self._sweepers: dict[str, Callable[[str], Awaitable[None]]] = {}
        self._ends: list[Callable[[], Awaitable[None]]] = []
        self._is_behind = False
        self.reached_at = time.monotonic()
        self.keeper: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, once for all who ask."""
        if self._opening is None or (self._opening.done() and self._opening.exception() is not None):
            self._opening = asyncio.ensure_future(in_time(self.store.open()))
        await self._reached(asyncio.shield(self._opening))

    async def close(self) -> None:
        """End what `on_close` asked for, the reading of news and the store."""
        for end in self._ends:
            await end()
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        for tail in self._tails.values():
            tail.doubt()
        await self.store.close()

    async def create(self, key: str, creation: Creation, fork: ForkPoint | None = None) -> tuple[Applied, bool]:
        """Make a stream, or find the one that was made in the same way; and whether it is new.

        Raises:
            StreamExists: there is another one of this key.
            StreamNotFound: there is no source to fork from.
            InvalidOffset: the source has no such place.
            PayloadTooLarge: the items are too long for the store.
        """
        await self.open()
        self._check_size(creation.items)
        if fork is not None:
            return await self._fork(key, creation, fork)
        found = await self._current(key)
        if found is not None and decisions.is_expired(found, time.time()):
            await self.sweep(key)
        applied = await self._apply(key, lambda current: decisions.create(current, creation, key, time.time()))
        return applied, applied.is_changed

    async def append(self, key: str, request: Append) -> Applied:
        """Append to a stream, close it, or both in one step.

        Raises:
            StreamNotFound, StreamGone: it is not there.
            StreamClosed, ContentTypeMismatch, StaleEpoch, SequenceGap, InvalidOffset, SequenceRegression, TooMany:
                see there.
            PayloadTooLarge: the items are too long for the store.
        """
        await self.open()
        self._check_size(request.items)

        def decide(current: Current | None) -> Decision:
            now = time.time()
            return decisions.append(decisions.live(current, key, now), request, now)

        return await self._apply(key, decide)

    async def change(self, key: str, decide: Callable[[Current], Decision]) -> Applied:
        """Decide about a stream by what there is of it.

        Raises:
            StreamNotFound, StreamGone: it is not there.
        """
        await self.open()
        return await self._apply(key, lambda current: decide(decisions.live(current, key, time.time())))

    async def delete(self, key: str) -> None:
        """Delete a stream with all that it has; if it has forks, as soon as they are gone.

        Raises:
            StreamNotFound, StreamGone: it is not there.
        """
        await self.open()
        gone: list[StreamState] = []

        def decide(current: Current | None) -> Decision:
            now = time.time()
            found = decisions.live(current, key, now)
            gone[:] = [found.state]
            return decisions.delete(found, now)

        applied = await self._apply(key, decide)
        if applied.state is None:
            await self._leave_source(key, gone[0])

    async def find(self, key: str) -> Current:
        """What there is of a stream now.

        Raises:
            StreamNotFound, StreamGone: it is not there.
        """
        await self.open()
        return decisions.live(await self._current(key), key, time.time())

    async def page(self, key: str, offset: Offset | None, max_bytes: int = PAGE_BYTES) -> Page:
        """What follows a place; None for the end. The stream lives longer by that, if it has a time to live.

        Raises:
            StreamNotFound, StreamGone: it is not there.
            InvalidOffset: it has no such place.
        """
        current = await self.find(key)
        await self._touch(key, current)
        return await self._page(key, current, Offset(current.stored.tail) if offset is None else offset, max_bytes)

    def page_at_hand(self, tail: Tail, offset: Offset) -> Page | None:
        """What follows a place in a stream that is read, if that is known here; None if the store has to be asked."""
        current = tail.current
        if current is None or tail.is_doubtful:
            return None
        end, state = current.stored.tail, current.state
        if offset == (end, 0):
            return Page((), offset, True, state.is_closed, state)
        kept = tail.behind(offset.version)
        if kept is None:
            return None
        as_json = is_json(state.content_type)
        parts: list[Part] = []
        skipped = offset.skipped
        for newest in kept:
            items = split(newest.record.body, as_json=as_json)
            made = None if skipped else newest.made
            if skipped < len(items):
                version = newest.record.version
                parts.append(Part(Offset(newest.before, skipped), items[skipped:] if skipped else items, version, made))
            skipped = 0
        return Page(parts, Offset(end), True, state.is_closed, state)

    async def page_of(self, tail: Tail, offset: Offset, max_bytes: int = PAGE_BYTES) -> Page:
        """What follows a place in a stream that is read.

        Raises:
            StreamNotFound, StreamGone: it is not there, or no longer.
            InvalidOffset: it has no such place.
        """
        await self.open()
        return await self._page(tail.key, await self.newest(tail), offset, max_bytes)

    async def follow(
        self,
        key: str,
        offset: Offset | None,
        *,
        max_bytes: int = PAGE_BYTES,
        pause_seconds: float | None = None,
    ) -> AsyncGenerator[Page, None]:
        """What follows a place, and what is appended from now on, until the stream is closed; None for the end.

        The first page comes at once, if need be without items. So does one without items when the stream is closed by
        a commit without any, and whenever nothing came for `pause_seconds`.

        Raises:
            StreamNotFound, StreamGone: it is not there, or no longer.
            InvalidOffset: it has no such place.
        """
        await self.open()
        is_first = True
        with self.reading(key) as tail:
            while True:
                current = await self.newest(tail)
                await self._touch(key, current)
                place = Offset(current.stored.tail) if offset is None else offset
                page = await self._page(key, current, place, max_bytes)
                if page.parts or page.is_closed or is_first:
                    yield page
                    if page.is_closed:
                        return
                is_first, offset = False, page.next
                if page.is_up_to_date:
                    seconds = min(_WAIT_SECONDS, pause_seconds or _WAIT_SECONDS)
                    ttl = current.state.ttl_seconds
                    if ttl is not None:
                        seconds = min(seconds, max(0.2, ttl / 3))
                    if not await tail.changed(current.stored.version, seconds) and pause_seconds is not None:
                        yield page._replace(parts=())

    async def postpone(self, key: str, alarm_at: float, to: float) -> bool:
        """Change when somebody has to look at a stream; False if that isn't `alarm_at`, or it is not there."""
        await self.open()
        is_done = await self._reached(in_time(self.store.postpone(key, alarm_at, to)))
        if is_done:
            self._committer.postponed(key, to)
            if key in self._tails:
                self._tails[key].postponed(to)
        return is_done

    async def keys(self, prefix: str, limit: int) -> Sequence[str]:
        """Keys that begin with `prefix`, in their order."""
        await self.open()
        return await self._reached(in_time(self.store.keys(prefix, limit)))

    def sweep_by(self, prefix: str, sweep: Callable[[str], Awaitable[None]]) -> None:
        """Let `sweep` be called with the keys that begin with `prefix`, up to its "/", when their alarm is due."""
        self._sweepers[prefix] = sweep

    def on_close(self, end: Callable[[], Awaitable[None]]) -> None:
        """Let `end` be awaited before the store is closed."""
        self._ends.append(end)

    async def sweep_for_ever(self) -> None:
        """Look after the streams whose alarm is due, of all processes, until cancelled."""
        is_failing = False
        while True:
            await asyncio.sleep(0.0 if self._is_behind else _SWEEP_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311
            try:
                self._is_behind = await self._sweep_due()
                is_failing = False
            except NitroError as error:
                if not is_failing:
                    log.warning("streams that have expired can't be looked after for now: %s", error)
                is_failing, self._is_behind = True, False
                self.reached_at = time.monotonic() + _SWEEP_SECONDS

    async def _sweep_due(self) -> bool:
        """Sweep what is due now; whether there may be more."""
        await self.open()
        keys = await self._reached(in_time(self.store.due(time.time(), _SWEPT_AT_ONCE)))
        await asyncio.gather(*map(self._sweep_one, keys))
        return len(keys) == _SWEPT_AT_ONCE

    async def _sweep_one(self, key: str) -> None:
        prefix, slash, _ = key.partition("/")
        try:
            await self._sweepers.get(prefix + slash, self.sweep)(key)
        except NitroError:
            raise
        except Exception:
            log.exception("the stream %r can't be looked after", key)

    async def sweep(self, key: str) -> None:
        """Delete a stream if it has expired, or was deleted and is no longer needed by forks."""
        gone, missing = list[StreamState](), list[str]()
        current = await self.stored(key)
        if current is None:
            return
        if current.state.is_deleted:
            for fork in current.state.forks:
                found = await self.stored(fork)
                if found is None or found.state.fork is None or found.state.fork.source != key:
                    missing.append(fork)
        elif not await self.seize(key, current):
            return

        def decide(current: Current, now: float) -> Decision:
            gone[:] = [current.state]
            if current.state.is_deleted:
                return decisions.unforked(current, missing, now)
            return decisions.delete(current, now)

        applied = await self._apply(key, partial(_if_there, decide))
        if applied.state is None and applied.is_changed:
            await self._leave_source(key, gone[0])

    async def seize(self, key: str, current: Current) -> bool:
        """Be the only one who does what an alarm that is due asks for; False if it was postponed, or isn't due.

        A commit doesn't notice that an alarm was postponed, since that is none.
        """
        now, alarm_at = time.time(), current.stored.alarm_at
        if alarm_at is None or alarm_at > now:
            return False
        return await self.postpone(key, alarm_at, now + _SEIZED_SECONDS)

    async def stored(self, key: str) -> Current | None:
        """What the store has of a stream now, also if it is deleted or has expired."""
        await self.open()
        return await self._load(key)

    # What is below reads and commits.

    async def _apply(self, key: str, decide: Callable[[Current | None], Decision]) -> Applied:
        return await self._reached(self._committer.apply(key, decide))

    async def _current(self, key: str) -> Current | None:
        """What there is, also of what is deleted or expired."""
        tail = self._tails.get(key)
        current = None if tail is None or tail.is_doubtful else tail.current
        if current is None or decisions.is_expired(current, time.time()):
            return await self._load(key)
        return current

    async def _load(self, key: str) -> Current | None:
        stored = await self._reached(in_time(self.store.load(key)))
        current = None if stored is None else Current(stored, from_bytes(stored.state))
        self._committer.learn(key, current)
        return current

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
            found = await self._load(tail.key)
        except BaseException:
            tail.is_doubtful = True
            raise
        finally:
            tail.loading = None
        if found is None and tail.current is not before:
            tail.doubt()  # it was made meanwhile
        else:
            tail.learn(found)

    async def _touch(self, key: str, current: Current) -> None:
        """Let a stream with a time to live begin it anew."""
        ttl, alarm_at = current.state.ttl_seconds, current.stored.alarm_at
        if ttl is None or alarm_at is None or current.state.run is not None:
            return
        to = time.time() + ttl
        if to - alarm_at < min(1.0, ttl / 20):
            return
        await self.postpone(key, alarm_at, to)

    async def _page(self, key: str, current: Current, offset: Offset, max_bytes: int) -> Page:
        tail, state = current.stored.tail, current.state
        if offset.version > tail or (offset.version == tail and offset.skipped):
            raise InvalidOffset(f"the stream ends at {Offset(tail)}, before {offset}")
        as_json = is_json(state.content_type)
        parts: list[Part] = []
        if offset.version < tail:
            before, skipped = offset
            for record in await self._records(key, current, offset.version, max_bytes):
                items: Sequence[bytes] = split(record.body, as_json=as_json)
                if skipped:
                    items = items[skipped:]
                if items:
                    parts.append(Part(Offset(before, skipped), items, record.version))
                before, skipped = record.version, 0
            if before == offset.version:  # deleted meanwhile
                raise StreamNotFound(f"there is no stream {key!r}")
            offset = Offset(before)
        is_up_to_date = offset.version == tail
        return Page(parts, offset, is_up_to_date, is_up_to_date and state.is_closed, state)

    async def _records(self, key: str, current: Current, after: int, max_bytes: int) -> Sequence[Record]:
        watched = self._tails.get(key)
        kept = watched.behind(after) if watched is not None else None
        if kept is not None:
            return [each.record for each in kept if each.record.version <= current.stored.tail]
        found: list[Record] = []
        for owner, until in await self._chain(key, current):
            while after < until and max_bytes > 0:
                more = await self._reached(in_time(self.store.read(owner, after, until, max_bytes)))
                if not more:
                    break
                found += more
                after = more[-1].version
                max_bytes -= sum(len(record.body) for record in more)
        return found

    async def _chain(self, key: str, current: Current) -> list[tuple[str, int]]:
        """The keys that hold the records of a stream, and up to which version each, the oldest first."""
        fork = current.state.fork
        if fork is None:
            return [(key, current.stored.tail)]
        known = self._chains.get((key, current.state.id))
        if known is None:
            known = []
            while fork is not None and len(known) < _CHAIN:
                known.append((fork.source, fork.version))
                source = await self._current(fork.source)
                fork = source.state.fork if source is not None else None
            known.reverse()
            if len(self._chains) > 1_000:
                self._chains.clear()
            self._chains[key, current.state.id] = known
        return [*known, (key, current.stored.tail)]

    async def _fork(self, key: str, creation: Creation, point: ForkPoint) -> tuple[Applied, bool]:
        found = await self._current(key)
        if found is not None and decisions.is_expired(found, time.time()):
            await self.sweep(key)
        source = await self._current(point.source)
        if source is not None and source.state.is_deleted:
            raise StreamExists(f"the stream {point.source!r} was deleted, so nothing new can be forked from it")
        source = decisions.live(source, point.source, time.time())
        offset = Offset(source.stored.tail) if point.offset is None else point.offset
        inherited, boundary = await self._inherited(point, source, offset)
        asked = None if point.offset is None else str(point.offset)
        fork = Fork(point.source, boundary, asked or str(offset), point.sub_offset)
        if asked is None:
            fork = fork._replace(offset=None)
        items = [*inherited, *creation.items]
        creation = replace(creation, fork=fork, source=source.state, items=items)
        if creation.content_type is not None and media_type(creation.content_type) != media_type(
            source.state.content_type
        ):
            raise StreamExists(
                f"the source is of {source.state.content_type!r}, and the fork {creation.content_type!r}"
            )
        self._check_size(items)
        if found is None:
            now = time.time()
            await self._apply(
                point.source, lambda current: decisions.forked(decisions.live(current, point.source, now), key)
            )
        try:
            applied = await self._apply(key, lambda current: decisions.create(current, creation, key, time.time()))
        except StreamExists:
            if found is None:
                await self._leave_source(key, creation.state())
            raise
        return applied, applied.is_changed

    async def _inherited(self, point: ForkPoint, source: Current, offset: Offset) -> tuple[list[bytes], int]:
        """What a fork begins with, because it leaves its source within a record; and the record before that."""
        tail = source.stored.tail
        if offset.version > tail or (offset.version == tail and offset.skipped):
            raise InvalidOffset(f"the stream {point.source!r} ends at {Offset(tail)}, before {offset}")
        if not offset.skipped and not point.sub_offset:
            return [], offset.version
        items: list[bytes] = []
        wanted = offset.skipped
        as_json = is_json(source.state.content_type)
        before = offset.version
        left = point.sub_offset
        records = await self._records(point.source, source, before, PAGE_BYTES) if before < tail else ()
        if records:
            following = split(records[0].body, as_json=as_json)
            items = list(following[:wanted])
            rest = following[wanted:]
            if as_json:
                items += rest[:left]
                left -= len(rest[:left])
            elif rest and left:
                items.append(rest[0][:left])
                left -= len(items[-1])
        if left:
            raise InvalidOffset(f"Stream-Fork-Sub-Offset {point.sub_offset} is behind what follows that place")
        return items, before

    async def _leave_source(self, key: str, state: StreamState) -> None:
        """A fork is gone; its source too, if it was only there for it."""
        while state.fork is not None:
            source, gone = state.fork.source, list[StreamState]()

            def decide(current: Current, now: float, key: str = key, gone: list[StreamState] = gone) -> Decision:
                gone[:] = [current.state]
                return decisions.unforked(current, [key], now)

            applied = await self._apply(source, partial(_if_there, decide))
            if applied.state is not None or not gone:
                return
            key, state = source, gone[0]

    def _check_size(self, items: Sequence[bytes]) -> None:
        longest = self.store.max_body_bytes
        size = sum(map(len, items))
        if longest is not None and size > longest:
            raise PayloadTooLarge(f"{size:,} bytes in one append; {self.store.name} takes {longest:,}")

    # What is below hears news.

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

    def _committed(self, change: Change, state: StreamState | None) -> None:
        tail = self._tails.get(change.key)
        if tail is not None:
            tail.hear(change, state)

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                news = await self.store.news()
                failures = 0
            except Exception as error:  # noqa: BLE001 - a driver's; the store connects again
                if failures == 0:
                    log.warning("news of streams from %s failed, and is tried again: %r", self.store.name, error)
                await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)])
                failures += 1
                news = None
            if news is None:
                self._committer.forget()
                for tail in tuple(self._tails.values()):
                    tail.doubt()
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

    async def _reached(self, answer: Awaitable[T]) -> T:
        """What the store answers; `BrokerUnavailable` if it fails."""
        try:
            return await answer
        except (NitroError, asyncio.CancelledError):
            raise
        except Exception as error:
            why = "it did not answer in time" if isinstance(error, TimeoutError) else f"{error!r:.200}"
            raise BrokerUnavailable(f"the store of streams, {self.store.name}, can't be reached: {why}") from error

    def __repr__(self) -> str:
        return f"<Streams in {self.store.name}, {len(self._tails)} followed>"


def _if_there(decide: Callable[[Current, float], Decision], current: Current | None) -> Decision:
    """What is decided of a stream, if it is there."""
    if current is None:
        return Decision(None, is_changed=False)
    return decide(current, time.time())
