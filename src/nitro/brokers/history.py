"""The history: the newest messages of the log, in this process's memory, so that whoever comes back asks no server.

Filled by a broker, in the log's order; read by replays. It has no lock of its own: whoever uses it holds the hub's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from time import monotonic
from typing import Final

from nitro.brokers.base import PositionLost, Retained, Retention
from nitro.messages.message import Message, Position

__all__ = ["History"]

_COMPACT_FROM: Final = 1_000
"""How many forgotten places are kept before the list is shortened."""


class History:
    """Messages between a position that is forgotten and the head, by retention: whichever limit is reached first.

    Attributes:
        max_messages, max_age_seconds: how many are retained, and how long.
        head: position of the newest message that the log has, as far as this process knows.
    """

    def __init__(self, head: Position, retention: Retention) -> None:
        self.max_messages: int = retention.max_messages
        self._max_bytes = retention.max_bytes
        self.max_age_seconds: float = retention.max_age_seconds
        self.begin(head)

    def begin(self, position: Position) -> None:
        """Start anew, empty, behind `position`: the log is another one, or what it had in between is lost."""
        self.head: Position = position
        self._forgotten = position
        self._bytes = 0
        self._items: list[tuple[float, Message] | None] = []
        self._start = 0

    def append(self, message: Message, age_seconds: float = 0.0) -> None:
        """Take the message behind the head; it came so many seconds ago."""
        assert message.position is not None
        now = monotonic()
        self.head = message.position
        self._items.append((now - age_seconds, message))
        self._bytes += len(message.payload)
        self._forget(now)

    def skip(self, position: Position) -> None:
        """The log has something behind the head, there, that is no message of ours."""
        self.head = position

    def read(self, after: Position, limit: int) -> Sequence[Message]:
        """The retained messages behind `after`, oldest first, `limit` of them at most.

        Raises:
            PositionLost: some of what followed `after` is forgotten, or it is of another log: also one of that name,
                which was put back to an earlier state and has gone on in another way since.
        """
        if after.epoch != self.head.epoch:
            raise PositionLost(after, "epoch")
        if after.sequence > self.head.sequence:
            raise PositionLost(after, "invalid")
        self._forget(monotonic())
        if after.sequence < self._forgotten.sequence:
            raise PositionLost(after, "expired")
        start = bisect_right(self._items, after.sequence, lo=self._start, key=_sequence)
        if after.contradicts(_position(self._items[start - 1]) if start > self._start else self._forgotten):
            raise PositionLost(after, "epoch")
        return [item[1] for item in self._items[start : start + limit] if item is not None]

    @property
    def retained(self) -> Retained:
        """How much can be read."""
        now = monotonic()
        self._forget(now)
        oldest = self._items[self._start] if self._start < len(self._items) else None
        return Retained(len(self._items) - self._start, self._bytes, now - oldest[0] if oldest else 0.0)

    def _forget(self, now: float) -> None:
        items, start = self._items, self._start
        oldest = now - self.max_age_seconds
        while start < len(items):
            item = items[start]
            assert item is not None
            came, message = item
            if len(items) - start <= self.max_messages and self._bytes <= self._max_bytes and came >= oldest:
                break
            self._bytes -= len(message.payload)
            self._forgotten = _position(item)
            items[start] = None
            start += 1
        if start > _COMPACT_FROM and start > len(items) // 2:
            del items[:start]
            start = 0
        self._start = start

    def __repr__(self) -> str:
        return f"<History up to {self.head}: {len(self._items) - self._start} messages, {self._bytes} bytes>"


def _position(item: tuple[float, Message] | None) -> Position:
    assert item is not None and item[1].position is not None  # noqa: PT018 - the places before the start are never asked
    return item[1].position


def _sequence(item: tuple[float, Message] | None) -> int:
    return _position(item).sequence
