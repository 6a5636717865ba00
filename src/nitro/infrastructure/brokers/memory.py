"""The broker of one process: a ring of recent messages, bounded by count, bytes and age.

The log lives and ends with the process, so each start has an epoch of its own.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Sequence
from itertools import islice
from time import monotonic

from nitro.domain.message import Message, Position
from nitro.infrastructure.brokers.base import Deliver, PositionLost, Retained

__all__ = ["MemoryBroker"]


class MemoryBroker:
    """A log in memory; see `base.Broker` for what its verbs promise.

    Args:
        deliver: called with each message, in the log's order, while `lock` is held.
        lock: re-entrant, since a garbage collection inside of it may end a client, which takes it again.
        max_messages, max_bytes, max_age_seconds: the retention; whichever is reached first forgets the oldest.
    """

    def __init__(
        self,
        deliver: Deliver,
        lock: threading.RLock,
        *,
        max_messages: int,
        max_bytes: int,
        max_age_seconds: float,
    ) -> None:
        self._deliver = deliver
        self._lock = lock
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._max_age_seconds = max_age_seconds
        self._epoch = secrets.token_hex(5)
        self._sequence = 0
        self._bytes = 0
        self._ring: deque[tuple[float, Message]] = deque()

    @property
    def head(self) -> Position:
        with self._lock:  # a position is given out once its message is
            return Position(self._epoch, self._sequence)

    @property
    def retained(self) -> Retained:
        with self._lock:
            now = monotonic()
            self._forget(now)
            return Retained(len(self._ring), self._bytes, now - self._ring[0][0] if self._ring else 0.0)

    def publish(self, topic: str, sender: str | None, payload: bytes, key: str | None = None) -> Message:
        with self._lock:
            self._sequence += 1
            message = Message(topic, sender, payload, Position(self._epoch, self._sequence), key)
            now = monotonic()
            self._ring.append((now, message))
            self._bytes += len(payload)
            self._forget(now)
            self._deliver(message)
        return message

    def read(self, after: Position, limit: int) -> Sequence[Message]:
        with self._lock:
            if after.epoch != self._epoch:
                raise PositionLost(after, "epoch")
            if after.sequence > self._sequence:
                raise PositionLost(after, "invalid")
            self._forget(monotonic())
            wanted = self._sequence - after.sequence
            if wanted > len(self._ring):
                raise PositionLost(after, "expired")
            start = len(self._ring) - wanted
            return [message for _, message in islice(self._ring, start, start + limit)]

    def _forget(self, now: float) -> None:
        ring = self._ring
        oldest = now - self._max_age_seconds
        while ring and (len(ring) > self._max_messages or self._bytes > self._max_bytes or ring[0][0] < oldest):
            self._bytes -= len(ring.popleft()[1].payload)

    def __repr__(self) -> str:
        return f"<MemoryBroker {self.head}, {len(self._ring)} messages, {self._bytes} bytes retained>"
