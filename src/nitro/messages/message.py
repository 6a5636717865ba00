"""Message, Gap and Position: what is delivered from an emit to a client, and its place in the log.

Made by a broker; immutable from there on.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

from pydantic_core import from_json

from nitro.errors import ArgumentTypeError

__all__ = ["TRACE_BYTES", "UNKNOWN_STAMP", "Gap", "GapReason", "Message", "Position", "check_event_id"]

GapReason: TypeAlias = Literal["expired", "epoch", "overflow", "invalid", "rights", "schema"]
"""Why a client gets a gap; see `Gap`."""

TRACE_BYTES: Final = 25
"""Length of a trace context: 16 bytes of the trace's id, 8 of the span's, and one of flags."""
_POSITION: Final = re.compile(r"([0-9a-z]{1,32})-(0|[1-9][0-9]{0,18})(?:\.([0-9a-f]{6}))?", re.ASCII)
UNKNOWN_STAMP: Final = "000000"
"""Stamp of a position whose entry is unknown. As long as any other, so that the ids of one log can be compared."""


def check_event_id(value: object, name: str) -> None:
    """Check that the argument `name` can be an id to resume from: any text, since browsers send it, or None.

    Raises:
        ArgumentTypeError: it is neither, such as a `nitro.position_async()` that was not awaited.
    """
    if value is not None and not isinstance(value, str):
        raise ArgumentTypeError(f"{name} is a string or None, not {type(value).__name__}")


class Position(NamedTuple):
    """A place in a broker's log, written `<epoch>-<sequence>` or `<epoch>-<sequence>.<stamp>` in ASCII.

    Attributes:
        epoch: identifies one incarnation of the log; it changes when the log is new or may have lost messages.
        sequence: increases by one with each message; 0 is before the first.
        stamp: six hex digits that identify the entry, to detect that a log restored from a backup has another one at
            this sequence; empty in a log that ends with its process.
    """

    epoch: str
    sequence: int
    stamp: str = ""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The position written in `text`, or None if it is none: untrusted input never raises."""
        found = _POSITION.fullmatch(text)
        return cls(found[1], int(found[2]), found[3] or "") if found else None

    @property
    def before(self) -> Position:
        """The place before this one, with an unknown stamp."""
        return Position(self.epoch, self.sequence - 1, self.stamp and UNKNOWN_STAMP)

    def contradicts(self, other: Position) -> bool:
        """Whether both have the same epoch and sequence, but known stamps that differ."""
        stamps = {self.stamp, other.stamp} - {"", UNKNOWN_STAMP}
        return len(stamps) == 2 and self[:2] == other[:2]

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}.{self.stamp}" if self.stamp else f"{self.epoch}-{self.sequence}"


class Message(NamedTuple):
    """One event on its way to clients.

    Attributes:
        topic: name of the event; empty if it was sent to one client alone.
        sender: key of the sender, or None; for filtering in the server, never sent to a browser.
        payload: the result as JSON in UTF-8, encoded once by the emitter.
        position: its place in the log; None if it was sent to one client alone.
        key: value of the event's `latest_by`, for clients that keep only the newest message of each key.
        trace: trace context of its publishing, for `nitro.otel.link_to`; None if that wasn't traced, or not sampled.
            Never sent to a browser.
    """

    topic: str
    sender: str | None
    payload: bytes
    position: Position | None
    key: str | None = None
    trace: bytes | None = None

    @property
    def id(self) -> str | None:
        """The position as text: the `id` of its server-sent event."""
        return None if self.position is None else str(self.position)

    @property
    def data(self) -> Any:
        """The decoded result; a new object at each call, so that readers don't share changes."""
        return from_json(self.payload)

    @property
    def json(self) -> str:
        """The result as JSON text, exactly as the emitter encoded it."""
        return self.payload.decode()

    @property
    def traceparent(self) -> str | None:
        """The trace context as the header `traceparent` of W3C Trace Context writes it."""
        trace = self.trace
        return None if trace is None else f"00-{trace[:16].hex()}-{trace[16:24].hex()}-{trace[24]:02x}"

    def __repr__(self) -> str:
        return f"<Message {self.topic} {self.id} {len(self.payload)} bytes>"


class Gap(NamedTuple):
    """Stands for messages that a client won't get: it has to reload its state.

    Attributes:
        reason: `"expired"` (the log no longer retains them), `"epoch"` (the log is a different one), `"overflow"` (the
            client's limits were exceeded), `"invalid"` (the id that it resumed with is not one of this log); from
            `nitro.listen` alone, `"rights"` (the server lets it hear something else than before); and, where a reader
            in Python asks for messages `as_` an event, `"schema"` (this one isn't what its schema says).
        resumed_at: the client gets everything after this position.
    """

    reason: GapReason
    resumed_at: Position

    @property
    def id(self) -> str:
        """The position as text: the `id` of its server-sent event, from which the client resumes later."""
        return str(self.resumed_at)

    @property
    def json(self) -> str:
        """What the browser gets as `event: gap`."""
        return f'{{"reason":"{self.reason}","resumed_at":"{self.resumed_at}"}}'
