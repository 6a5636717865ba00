"""Feeds: what all clients of one event loop with the same interest share.

Fed by the registry with what they hear; lists for the schedule the outboxes to notify.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Final

from nitro.delivery.chain import Chain
from nitro.delivery.interest import Interest
from nitro.delivery.outbox import Outbox
from nitro.messages.message import Position

__all__ = ["Feed"]

_LOOKS_PER_LIMIT: Final = 16
"""Checks per limit: a slow client may exceed its limit by one sixteenth before it is checked."""


class Feed(Chain):
    """The clients that share one interest, and the chain that they read.

    Attributes:
        is_dirty: whether a batch was closed since the outboxes were last notified.
        turn: the rest of an interrupted pass over the outboxes; None if there is none.
    """

    __slots__ = ("_look_bytes", "_look_messages", "_looked_at", "_outboxes", "_parked_outboxes", "is_dirty", "turn")

    def __init__(self, interest: Interest, starts_at: Position) -> None:
        super().__init__(interest, starts_at)
        self.is_dirty: bool = False
        self.turn: Iterator[Outbox] | None = None
        self._outboxes: dict[Outbox, None] = {}
        self._parked_outboxes: dict[Outbox, None] = {}
        self._looked_at = (0, 0)  # messages and bytes of the chain at the last check
        self._look_messages = self._look_bytes = sys.maxsize

    def add(self, outbox: Outbox) -> None:
        """Notify `outbox` from here on; one whose state is parked is only checked now and then."""
        if outbox.state.is_parked:
            self._parked_outboxes[outbox] = None
            self._look_messages = min(self._look_messages, outbox.limits.max_messages // _LOOKS_PER_LIMIT)
            self._look_bytes = min(self._look_bytes, outbox.limits.max_bytes // _LOOKS_PER_LIMIT)
        else:
            self._outboxes[outbox] = None

    def remove(self, outbox: Outbox) -> None:
        """Don't notify `outbox` any more."""
        (self._parked_outboxes if outbox.state.is_parked else self._outboxes).pop(outbox, None)

    def to_notify(self) -> tuple[Outbox, ...]:
        """The outboxes to notify of a closed batch.

        A parked outbox takes the batch as soon as it can, and notifying it would cost time. It is only included each
        time the chain has grown by a fraction of its limit, to check whether too much is queued for it.
        """
        tail = self.tail
        messages, size = self._looked_at
        if self._parked_outboxes and (
            tail.total_messages - messages >= self._look_messages or tail.total_bytes - size >= self._look_bytes
        ):
            self._looked_at = (tail.total_messages, tail.total_bytes)
            return (*self._outboxes, *self._parked_outboxes)
        return tuple(self._outboxes)

    def parked(self) -> tuple[Outbox, ...]:
        """The outboxes whose state is parked."""
        return tuple(self._parked_outboxes)

    def __iter__(self) -> Iterator[Outbox]:
        return iter((*self._outboxes, *self._parked_outboxes))

    def __len__(self) -> int:
        return len(self._outboxes) + len(self._parked_outboxes)

    def __repr__(self) -> str:
        return f"<Feed of {len(self)} clients, {self.tail.total_messages} messages so far>"
