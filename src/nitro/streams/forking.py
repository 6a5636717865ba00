"""Forks: streams that inherit from another one up to a place, without a copy, and what that means for the other one.

A source knows its forks by their keys. If it is deleted, or expires, it stays for them, and goes with the last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

from nitro.streams import decisions
from nitro.streams.access import PAGE_BYTES, Access
from nitro.streams.committer import Applied
from nitro.streams.decisions import Creation, Current, Decision
from nitro.streams.errors import InvalidOffset, RecordTooLong, StreamExists, TooMany, called
from nitro.streams.items import is_json, media_type, split
from nitro.streams.offsets import Offset
from nitro.streams.reading import Reading
from nitro.streams.state import Fork, StreamState

__all__ = ["ForkPoint", "Forks"]

_MAX_SOURCES: Final = 100
"""How deep forks of forks go: each source is read by itself."""


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


class Forks:
    """Belongs to one event loop."""

    def __init__(self, access: Access, reading: Reading) -> None:
        self._access = access
        self._reading = reading

    async def create(self, key: str, creation: Creation, point: ForkPoint) -> Applied:
        """A new stream that inherits from another one, or the one that was made in the same way.

        Raises:
            StreamExists: there is another one of this key, or the source is deleted, or of another type.
            StreamNotFound: there is no source.
            InvalidOffset: it has no such place.
            StreamGone: what it has inherited itself is no longer there.
            TooMany: it has as many forks as it may have, or forks are as deep as they may be.
            RecordTooLong: what it begins with is too long for the store.
        """
        source = await self._access.load(point.source)
        if source is not None and source.state.is_deleted:
            raise StreamExists(f"the stream {called(point.source)} was deleted, so nothing new can be forked from it")
        source = decisions.live(source, point.source, time.time())
        if len(await self._reading.sources(point.source, source)) >= _MAX_SOURCES:
            raise TooMany(f"forks of forks go {_MAX_SOURCES} deep, and {called(point.source)} is there")
        offset = Offset(source.stored.tail) if point.offset is None else point.offset
        inherited, boundary = await self._inherited(point, source, offset)
        asked = None if point.offset is None else str(point.offset)
        fork = Fork(point.source, boundary, asked, point.sub_offset)
        items = [*inherited, *creation.items]
        creation = replace(creation, fork=fork, source=source.state, items=items)
        if creation.content_type is not None and media_type(creation.content_type) != media_type(
            source.state.content_type
        ):
            raise StreamExists(
                f"the source is of {source.state.content_type!r}, and the fork {creation.content_type!r}"
            )
        now = time.time()
        await self._access.apply(
            point.source, lambda current: decisions.forked(decisions.live(current, point.source, now), key, now)
        )
        try:
            applied = await self._access.apply(
                key, lambda current: decisions.create(current, creation, key, time.time())
            )
        except (StreamExists, RecordTooLong):
            there = await self._access.current(key)
            if there is None or there.state.fork is None or there.state.fork.source != point.source:
                await self.leave_source(key, creation.state())
            raise
        return applied

    async def leave_source(self, key: str, state: StreamState) -> None:
        """A fork is gone; its source too, if it was only there for it."""
        while state.fork is not None:
            source, gone = state.fork.source, list[StreamState]()

            def decide(current: Current, now: float, key: str = key, gone: list[StreamState] = gone) -> Decision:
                gone[:] = [current.state]
                return decisions.unforked(current, [key], now)

            await self._access.load(source)  # its alarm may have been postponed by others
            applied = await self._access.apply(source, partial(if_there, decide))
            if applied.state is not None or not gone:
                return
            key, state = source, gone[0]

    async def delete(self, key: str, decide: Callable[[Current, float], Decision]) -> None:
        """Do what `decide` says about a stream that is there; if it is deleted by that, it leaves its source."""
        gone: list[StreamState] = []

        def noting(current: Current, now: float) -> Decision:
            gone[:] = [current.state]
            return decide(current, now)

        applied = await self._access.apply(key, partial(if_there, noting))
        if applied.state is None and applied.is_changed:
            await self.leave_source(key, gone[0])

    async def _inherited(self, point: ForkPoint, source: Current, offset: Offset) -> tuple[list[bytes], int]:
        """What a fork begins with, because it leaves its source within a record; and the record before that."""
        tail = source.stored.tail
        if offset > source.tail:
            raise InvalidOffset(f"the stream {called(point.source)} ends at {source.tail}, before {offset}")
        if not offset.skipped and not point.sub_offset:
            return [], offset.version
        items: list[bytes] = []
        wanted = offset.skipped
        as_json = is_json(source.state.content_type)
        before = offset.version
        left = point.sub_offset
        records = await self._reading.records(point.source, source, before, PAGE_BYTES) if before < tail else ()
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


def if_there(decide: Callable[[Current, float], Decision], current: Current | None) -> Decision:
    """What is decided of a stream, if it is there."""
    if current is None:
        return Decision(None, is_changed=False)
    return decide(current, time.time())
