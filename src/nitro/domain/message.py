"""Message, Gap and Position: what travels from an emit to a client, and where it stands in the log.

Made by a broker from what was emitted; read by everything after it. Frozen: nobody on the way changes it.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple, Self

from pydantic_core import from_json

__all__ = ["Gap", "Message", "Position"]

_POSITION: Final = re.compile(r"([0-9a-z]{1,32})-(0|[1-9][0-9]{0,18})", re.ASCII)


class Position(NamedTuple):
    """A place in a broker's log, written `<epoch>-<sequence>` in ASCII.

    Attributes:
        epoch: names one life of the log; it changes when the log is new or may have lost something.
        sequence: rises by one with each message; 0 stands before the first.
    """

    epoch: str
    sequence: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The position that `text` spells, or None: what a stranger sends is never an error here."""
        found = _POSITION.fullmatch(text)
        return cls(found[1], int(found[2])) if found else None

    def __str__(self) -> str:
        return f"{self.epoch}-{self.sequence}"


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

    reason: str
    resumed_at: Position

    @property
    def id(self) -> str:
        """The position as text: the `id` of its server-sent event, so that the client comes back to it."""
        return str(self.resumed_at)

    @property
    def json(self) -> str:
        """What the browser gets as `event: gap`."""
        return f'{{"reason":"{self.reason}","resumed_at":"{self.resumed_at}"}}'
