"""Feeds: what all clients of one event loop with the same interest share.

Fed by the registry, with what they hear; tells the schedule who is to be told of it.
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
"""A slow client may get this part of its limit more than the limit, before somebody looks."""


class Feed(Chain):
    """The clients that share one interest, and the chain that they read.

    Attributes:
        is_dirty: whether a batch was closed since the outboxes were last told.
        turn: where the telling stands that gave the loop back before it was through.
    """

    __slots__ = ("_look_bytes", "_look_messages", "_looked_at", "_outboxes", "_parked_outboxes", "is_dirty", "turn")

    def __init__(self, interest: Interest, starts_at: Position) -> None:
        super().__init__(interest, starts_at)
        self.is_dirty: bool = False
        self.turn: Iterator[Outbox] | None = None
        self._outboxes: dict[Outbox, None] = {}
        self._parked_outboxes: dict[Outbox, None] = {}
        self._looked_at = (0, 0)  # as messages and bytes of the chain
        self._look_messages = self._look_bytes = sys.maxsize

    def add(self, outbox: Outbox) -> None:
        """Let `outbox` be told of what comes; one whose state is aside is only looked at."""
        if outbox.state.is_parked:
            self._parked_outboxes[outbox] = None
            self._look_messages = min(self._look_messages, outbox.limits.max_messages // _LOOKS_PER_LIMIT)
            self._look_bytes = min(self._look_bytes, outbox.limits.max_bytes // _LOOKS_PER_LIMIT)
        else:
            self._outboxes[outbox] = None

    def remove(self, outbox: Outbox) -> None:
        """Don't tell `outbox` any more."""
        (self._parked_outboxes if outbox.state.is_parked else self._outboxes).pop(outbox, None)

    def to_notify(self) -> tuple[Outbox, ...]:
        """Who is told that a batch was closed.

        One that is aside takes what came as soon as it can, and telling it would cost time. But now and then it is
        looked at, whether too much waits for it: each time that the chain has grown by a part of the limit.
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
        """Those that are aside."""
        return tuple(self._parked_outboxes)

    def __len__(self) -> int:
        return len(self._outboxes) + len(self._parked_outboxes)

    def __repr__(self) -> str:
        return f"<Feed of {len(self)} clients, {self.tail.total_messages} messages so far>"
