"""Frames: the items and the end of a run as server-sent events. Made once for all readers of a record."""

from __future__ import annotations

from typing import NamedTuple

from pydantic_core import from_json, to_json

from nitro.delivery.chain import Batch
from nitro.delivery.frame import encode_event
from nitro.delivery.prepared import Prepared
from nitro.messages.one_line import on_one_line
from nitro.runs.record import record_of
from nitro.streams.page import Page, Part
from nitro.streams.state import StreamState

__all__ = ["Framing"]


class Framing(NamedTuple):
    """How a run is written as server-sent events.

    Attributes:
        text: items that are strings are sent as they are, not as JSON.
        last: the data of the last event, which has no name then; None for an event `end` with the run's state.
    """

    text: bool = False
    last: str | None = None

    def batch(self, page: Page) -> Batch:
        """A page, and the end of the run if it is the last one."""
        events = [self._items(part) for part in page.parts]
        if page.is_closed:
            events.append(self.end(page.state))
        return Batch([Prepared(b"".join(events))], None)

    def _items(self, part: Part) -> bytes:
        return b"".join([self.item(item, str(part.offset(place))) for place, item in enumerate(part.items)])

    def item(self, item: bytes, id: str) -> bytes:
        """One item, and the place behind it as its id."""
        if self.text and item.startswith(b'"'):
            return encode_event(from_json(item).encode(), id=id)
        return b"id: %b\ndata: %b\n\n" % (id.encode(), item)

    def end(self, state: StreamState) -> bytes:
        """The last event."""
        if self.last is not None:
            return encode_event(self.last.encode())
        record = record_of(state)
        told = {"state": record.state} | ({"reason": record.reason} if record.reason is not None else {})
        return encode_event(on_one_line(to_json(told)), event="end")
