"""The contract between the hub and a broker: two verbs and a log.

Fed by the hub (`publish`); feeds the hub (the `deliver` callback that it was opened with).

Order: `deliver` is called once for each message, in the order of the positions, never two calls at a time.
Acknowledgement: a message is in the log once `publish` has returned.
Loss: what is in the log can be read until retention forgets it; then `read` says so, never silently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from nitro.domain.message import Message, Position
from nitro.errors import NitroError

__all__ = ["Broker", "Deliver", "PositionLost", "Retained"]

Deliver = Callable[[Message], None]
"""What a broker calls with each message in the log's order. It doesn't block and doesn't raise."""


class PositionLost(NitroError):
    """A position that the log can't continue from.

    Attributes:
        reason: `"epoch"` (of another life of the log), `"expired"` (retention forgot what followed it) or
            `"invalid"` (the log never got that far).
    """

    def __init__(self, position: Position, reason: str) -> None:
        super().__init__(f"the log can't continue from {position}: {reason}")
        self.position = position
        self.reason = reason


class Retained(NamedTuple):
    """What a log holds at a moment: how many messages, bytes of payload, and seconds since the oldest came."""

    messages: int
    bytes: int
    seconds: float


class Broker(Protocol):
    """An ordered, retained log that every process reads."""

    @property
    def head(self) -> Position:
        """Position of the newest message; sequence 0 while there is none."""

    @property
    def retained(self) -> Retained:
        """How much can be read."""

    def publish(self, topic: str, sender: str | None, payload: bytes, key: str | None = None) -> Message:
        """Append a message to the log and hand it to `deliver`. Thread-safe; doesn't block."""

    def read(self, after: Position, limit: int) -> Sequence[Message]:
        """The retained messages behind `after`, oldest first, `limit` of them at most.

        Raises:
            PositionLost: some of what followed `after` can no longer be had.
        """
