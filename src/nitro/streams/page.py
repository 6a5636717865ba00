"""Pages: a piece of a stream, as its readers get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nitro.streams.offsets import Offset
from nitro.streams.state import StreamState

__all__ = ["Page", "Part"]


class Part(NamedTuple):
    """The items of one record, or the rest of them.

    Attributes:
        before: the place before the first of them.
        items: at least one.
        version: of the record; the place behind the last of them.
    """

    before: Offset
    items: Sequence[bytes]
    version: int

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
