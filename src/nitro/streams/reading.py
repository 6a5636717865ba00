"""Reading: what a stream holds behind a place, a page at a time, and what is appended to it.

Fed by the access with what is stored and what is new; feeds readers. The records of a fork are those of its source up
to where it left it, and then its own.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Final

from nitro.streams import decisions
from nitro.streams.access import PAGE_BYTES, Access
from nitro.streams.base import Record
from nitro.streams.decisions import Current
from nitro.streams.errors import InvalidOffset, StreamGone, StreamNotFound, called
from nitro.streams.items import is_json, split
from nitro.streams.offsets import Offset
from nitro.streams.page import Page, Part
from nitro.streams.state import StreamState
from nitro.streams.tail import Tail

__all__ = ["Reading"]

_WAIT_SECONDS: Final = 20.0
"""How long a reader sleeps before it looks whether its stream is still there."""


class Reading:
    """Belongs to one event loop."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._chains: dict[tuple[str, str], list[tuple[str, int]]] = {}

    async def page(self, key: str, offset: Offset | None) -> Page:
        """What follows a place; None for the end. The stream lives longer by that, if it has a time to live.

        The store is asked, so that whoever has appended through another process reads it.

        Raises:
            StreamNotFound, StreamGone: it is not there.
            InvalidOffset: it has no such place.
        """
        current = decisions.live(await self._access.load(key), key, time.time())
        await self._touch(key, current)
        return await self._page(key, current, current.tail if offset is None else offset, PAGE_BYTES)

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
        parts = _parts([(version, body) for _, version, body in kept], offset, state)
        return Page(parts, Offset(end), True, state.is_closed, state)

    async def page_of(self, tail: Tail, offset: Offset, max_bytes: int) -> Page:
        """What follows a place in a stream that is read.

        Raises:
            StreamNotFound, StreamGone: it is not there, or no longer.
            InvalidOffset: it has no such place.
        """
        return await self._page(tail.key, await self._access.newest(tail), offset, max_bytes)

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
        is_first, followed = True, ""
        await self._access.open()  # a store is opened before it is told what to watch
        with self._access.reading(key) as tail:
            while True:
                current = await self._access.newest(tail)
                await self._touch(key, current)
                place = current.tail if offset is None else offset
                page = await self._page(key, current, place, max_bytes)
                if followed not in ("", page.state.id):
                    raise StreamNotFound(f"the stream {called(key)} was deleted; there is another one of its name")
                followed = page.state.id
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

    async def _touch(self, key: str, current: Current) -> None:
        """Let a stream with a time to live begin it anew.

        Raises:
            StreamNotFound, StreamGone: it is no longer there.
        """
        ttl = current.state.ttl_seconds
        if ttl is None or current.state.run is not None:
            return
        while (alarm_at := current.stored.alarm_at) is not None:
            to = time.time() + ttl
            if to - alarm_at < min(1.0, ttl / 20) or await self._access.postpone(key, alarm_at, to):
                return
            current = await self._reload(key)  # another process has postponed it

    async def _page(self, key: str, current: Current, offset: Offset, max_bytes: int) -> Page:
        if offset > current.tail:
            current = await self._reread(key, offset)
        tail, state = current.stored.tail, current.state
        parts: list[Part] = []
        if offset.version < tail:
            records = await self.records(key, current, offset.version, max_bytes)
            if not records:  # deleted meanwhile
                raise StreamNotFound(f"there is no stream {called(key)}")
            parts, offset = _parts(records, offset, state), Offset(records[-1].version)
        is_up_to_date = offset.version == tail
        return Page(parts, offset, is_up_to_date, is_up_to_date and state.is_closed, state)

    async def _reread(self, key: str, offset: Offset) -> Current:
        """What there is of a stream whose end is not known here: another process may know it better."""
        current = await self._reload(key)
        if offset > current.tail:
            raise InvalidOffset(f"the stream ends at {current.tail}, before {offset}")
        return current

    async def _reload(self, key: str) -> Current:
        """What there is of a stream, also if it is followed here."""
        found = await self._access.load(key)
        tail = self._access.tail(key)
        if tail is not None and found is not None:
            tail.learn(found)
        return decisions.live(found, key, time.time())

    async def records(self, key: str, current: Current, after: int, max_bytes: int) -> Sequence[Record]:
        """The records behind a version, those of the sources included."""
        watched = self._access.tail(key)
        kept = watched.behind(after) if watched is not None else None
        if kept is not None and kept[-1][1] >= current.stored.tail:  # the store may have more than was heard of
            return [Record(version, body) for _, version, body in kept if version <= current.stored.tail]
        found: list[Record] = []
        max_bytes = min(max_bytes, self._access.page_bytes)
        for owner, until in [*await self.sources(key, current), (key, current.stored.tail)]:
            while after < until and max_bytes > 0:
                more = await self._access.read(owner, after, until, max_bytes)
                if not more:
                    if owner != key:
                        self._chains.pop((key, current.state.id), None)
                        await self.sources(key, current)  # they may be gone since they were looked for
                    break
                found += more
                after = more[-1].version
                max_bytes -= sum(len(record.body) for record in more)
        return found

    async def sources(self, key: str, current: Current) -> list[tuple[str, int]]:
        """The keys that hold what a fork has inherited, and up to which version each, the oldest first.

        Raises:
            StreamGone: one of them is missing.
        """
        fork = current.state.fork
        if fork is None:
            return []
        known = self._chains.get((key, current.state.id))
        if known is None:
            known, until = [], fork.version
            while fork is not None:
                until = min(until, fork.version)  # it may leave its source within what that has inherited
                known.append((fork.source, until))
                source = await self._access.load(fork.source)
                if source is None:
                    raise StreamGone(
                        f"the stream {called(key)} inherits from {called(fork.source)}, which is no longer there"
                    )
                fork = source.state.fork
            known.reverse()
            if len(self._chains) > 1_000:
                self._chains.clear()
            self._chains[key, current.state.id] = known
        return known


def _parts(records: Iterable[tuple[int, bytes]], offset: Offset, state: StreamState) -> list[Part]:
    """What these records hold behind a place in the first of them."""
    parts: list[Part] = []
    as_json, (before, skipped) = is_json(state.content_type), offset
    for version, body in records:
        items = split(body, as_json=as_json)
        if skipped < len(items):
            parts.append(Part(Offset(before, skipped), items[skipped:] if skipped else items, version))
        before, skipped = version, 0
    return parts
