"""Traffic: what is emitted, by topic, read from what is retained of the log anyway. So it costs what is looked at."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from nitro.brokers.base import NOWHERE, PositionLost
from nitro.delivery.hub import Hub
from nitro.messages.message import Message, Position
from nitro.messages.topics import is_reserved

__all__ = ["LogReader", "Traffic"]

_SHOWN: Final = 100
"""So many topics are named."""
_LOOKED_AT: Final = 10_000
"""Messages that are counted at one look; of more, the newest are."""


class LogReader:
    """Reads what is new in the log since it was made, or since the last call."""

    def __init__(self, hub: Hub) -> None:
        self._broker = hub.broker
        self._read_up_to: Position = hub.broker.head

    def read(self, most: int) -> tuple[list[Message], int]:
        """The applications' messages that are new, the newest `most` if there are more; and how many entries of the log
        are left out, of whatever topics.
        """
        broker, after = self._broker, self._read_up_to
        self._read_up_to = head = broker.head
        if head == after or NOWHERE in (head, after):  # what was there before this process reached the log isn't new
            return [], 0
        is_same = head.epoch == after.epoch
        new = head.sequence - after.sequence if is_same else 0
        if not is_same or new > most:
            after = Position(head.epoch, max(0, head.sequence - most))
        try:
            found = broker.read(after, most)
        except PositionLost:
            found = self._retained(head, most)
        if found and found[-1].position is not None and found[-1].position.sequence > head.sequence:
            new += found[-1].position.sequence - head.sequence if is_same else 0  # it has come since
            self._read_up_to = found[-1].position
        return [message for message in found if not is_reserved(message.topic)], max(0, new - len(found))

    def _retained(self, head: Position, most: int) -> Sequence[Message]:
        """What there is, if that is less than what was asked for."""
        count = min(most, self._broker.retained.messages)
        try:
            return self._broker.read(Position(head.epoch, head.sequence - count), most)
        except PositionLost:  # it is being replaced just now
            return ()


class Traffic:
    """Counts what is emitted between two looks."""

    def __init__(self, hub: Hub) -> None:
        self._reader = LogReader(hub)
        self._looked_at = time.monotonic()

    def look(self) -> dict[str, Any]:
        """What was emitted since the last look, by topic, the most frequent first."""
        now = time.monotonic()
        seconds, self._looked_at = now - self._looked_at, now
        messages, left_out = self._reader.read(_LOOKED_AT)
        counts: dict[str, list[int]] = {}
        for message in messages:
            found = counts.get(message.topic)
            if found is None:
                found = counts[message.topic] = [0, 0]
            found[0] += 1
            found[1] += len(message.payload)
        by_count = sorted(counts.items(), key=lambda item: item[1], reverse=True)
        others = [count for _, (count, _) in by_count[_SHOWN:]]
        return {
            "seconds": seconds,
            "top": [(topic, *count) for topic, count in by_count[:_SHOWN]],
            "others": {"topics": len(others), "messages": sum(others)},
            "left_out": left_out,
        }
