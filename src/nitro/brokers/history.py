"""The history: the newest messages of the log in memory, so that a resuming client causes no request to the server.

Filled by a broker, in the log's order; read by replays. It has no lock of its own: callers hold the broker's.
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
"""How many dropped items stay in the list before it is shortened."""


class History:
    """The retained messages up to the head. Whichever limit of `retention` is reached first drops the oldest.

    Attributes:
        max_messages, max_age_seconds: limits of retention.
        head: position of the newest message that the log has, as far as this process knows.
    """

    def __init__(self, head: Position, retention: Retention) -> None:
        self.max_messages: int = retention.max_messages
        self._max_bytes = retention.max_bytes
        self.max_age_seconds: float = retention.max_age_seconds
        self.begin(head)

    def begin(self, position: Position) -> None:
        """Restart empty behind `position`: the log was replaced, or has lost entries before it."""
        self.head: Position = position
        self._forgotten = position
        self._bytes = 0
        self._items: list[tuple[float, Message] | None] = []
        self._start = 0

    def append(self, message: Message, age_seconds: float = 0.0) -> None:
        """Append the next message, which was published `age_seconds` ago."""
        assert message.position is not None
        now = monotonic()
        self.head = message.position
        self._items.append((now - age_seconds, message))
        self._bytes += len(message.payload)
        self._forget(now)

    def skip(self, position: Position) -> None:
        """Move the head past an entry that is not delivered."""
        self.head = position

    def read(self, after: Position, limit: int) -> Sequence[Message]:
        """The retained messages behind `after`, oldest first, `limit` of them at most.

        Raises:
            PositionLost: some of what followed `after` was dropped, or `after` is of another log, or of an entry that
                was replaced when the log was restored from a backup.
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
        """How much is retained."""
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
    assert item is not None and item[1].position is not None  # noqa: PT018 - items before the start are never read
    return item[1].position


def _sequence(item: tuple[float, Message] | None) -> int:
    return _position(item).sequence
