"""Message, Gap and Position: what travels from an emit to a client, and where it stands in the log.

Made by a broker from what was emitted; read by everything after it. Frozen: nobody on the way changes it.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, NamedTuple, Self, TypeAlias

from pydantic_core import from_json

__all__ = ["UNKNOWN_STAMP", "Gap", "GapReason", "Message", "Position"]

GapReason: TypeAlias = Literal["expired", "epoch", "overflow", "invalid"]
"""Why a client gets a gap; see there."""

_POSITION: Final = re.compile(r"([0-9a-z]{1,32})-(0|[1-9][0-9]{0,18})(?:\.([0-9a-f]{6}))?", re.ASCII)
UNKNOWN_STAMP: Final = "000000"
"""Of a place of whose entry nothing is known. As wide as any other, so that the ids of one log can be compared."""


class Position(NamedTuple):
    """A place in a broker's log, written `<epoch>-<sequence>` or `<epoch>-<sequence>.<stamp>` in ASCII.

    Attributes:
        epoch: names one life of the log; it changes when the log is new or may have lost something.
        sequence: rises by one with each message; 0 stands before the first.
        stamp: six digits of the entry there, by which it is told from another one that a log has in its place since it
            was put back from a backup; empty in a log that ends with its process.
    """

    epoch: str
    sequence: int
    stamp: str = ""

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The position that `text` spells, or None: what a stranger sends is never an error here."""
        found = _POSITION.fullmatch(text)
        return cls(found[1], int(found[2]), found[3] or "") if found else None

    @property
    def before(self) -> Position:
        """The place before this one, of whose entry nothing is known."""
        return Position(self.epoch, self.sequence - 1, self.stamp and UNKNOWN_STAMP)

    def contradicts(self, other: Position) -> bool:
        """Whether both are one place by their numbers, and the entry there another one."""
        stamps = {self.stamp, other.stamp} - {"", UNKNOWN_STAMP}
        return len(stamps) == 2 and self[:2] == other[:2]

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}.{self.stamp}" if self.stamp else f"{self.epoch}-{self.sequence}"


class Message(NamedTuple):
    """One event on its way to clients.

    Attributes:
        topic: name of the event; empty for what was sent to one client alone.
        sender: key of the sender, or None; for filtering in the server, never sent to a browser.
        payload: the result as JSON in UTF-8, encoded once by the emitter.
        position: its place in the log; None for what was sent to one client alone.
        key: value of the event's `latest_by`, for clients of which only the newest message of each key is kept.
    """

    topic: str
    sender: str | None
    payload: bytes
    position: Position | None
    key: str | None = None

    @property
    def id(self) -> str | None:
        """The position as text: the `id` of its server-sent event."""
        return None if self.position is None else str(self.position)

    @property
    def data(self) -> Any:
        """The decoded result; a new object at each call, so that no reader sees another's changes."""
        return from_json(self.payload)

    @property
    def json(self) -> str:
        """The result as JSON text, just as the emitter encoded it."""
        return self.payload.decode()

    def __repr__(self) -> str:
        return f"<Message {self.topic} {self.id} {len(self.payload)} bytes>"


class Gap(NamedTuple):
    """Instead of messages that a client will not get: it has to fetch what it shows anew.

    Attributes:
        reason: `"expired"` (the log forgot them), `"epoch"` (the log is another one), `"overflow"` (too much
            waited for the client) or `"invalid"` (the id that it came back with is none of this log's).
        resumed_at: it gets everything behind this position.
    """

    reason: GapReason
    resumed_at: Position

    @property
    def id(self) -> str:
        """The position as text: the `id` of its server-sent event, so that the client comes back to it."""
        return str(self.resumed_at)

    @property
    def json(self) -> str:
        """What the browser gets as `event: gap`."""
        return f'{{"reason":"{self.reason}","resumed_at":"{self.resumed_at}"}}'
