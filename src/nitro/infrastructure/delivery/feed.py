"""Feeds: what all clients of one event loop with the same interest share.

A feed is a chain of closed batches. Fed by the lane, which appends frames and closes a batch at the end of a
tick; each client's outbox is a cursor into the chain, so nothing is copied for a client, and a slow one keeps
only its own tail of the chain alive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from nitro.infrastructure.delivery.frame import Frame
from nitro.infrastructure.delivery.interest import Interest

if TYPE_CHECKING:
    from nitro.infrastructure.delivery.outbox import Outbox

__all__ = ["Batch", "Feed"]


class Batch:
    """Frames that go out together, and the link to what came after them.

    Attributes:
        frames: what it holds, oldest first.
        next: the batch closed after this one, or None while this is the newest.
        messages, bytes: how many messages and payload bytes it holds.
        total_messages, total_bytes: the same of the whole chain, up to the end of this batch.
    """

    __slots__ = (
        "_named",
        "_unnamed",
        "bytes",
        "frames",
        "messages",
        "next",
        "total_bytes",
        "total_messages",
    )

    def __init__(self, frames: list[Frame], before: Batch | None) -> None:
        self.frames = frames
        self.next: Batch | None = None
        self.messages = sum([frame.message is not None for frame in frames])
        self.bytes = sum([frame.size for frame in frames])
        self.total_messages: int = self.messages + (before.total_messages if before else 0)
        self.total_bytes: int = self.bytes + (before.total_bytes if before else 0)
        self._named: dict[str, Any] | None = None
        self._unnamed: dict[str, Any] | None = None

    def body(self, *, named: bool) -> dict[str, Any]:
        """The batch as an ASGI `http.response.body` message, made once and shared by all who send it."""
        message = self._named if named else self._unnamed
        if message is None:
            body = b"".join([frame.encode(named=named) for frame in self.frames])
            message = {"type": "http.response.body", "body": body, "more_body": True}
            if named:
                self._named = message
            else:
                self._unnamed = message
        return message


class Feed:
    """The clients that share one interest, and the chain that they read."""

    __slots__ = ("_open", "interest", "is_dirty", "outboxes", "sent_since_heartbeat", "tail", "turn")

    def __init__(self, interest: Interest) -> None:
        self.interest = interest
        self.outboxes: dict[Outbox, None] = {}
        self.tail = Batch([], None)
        self.is_dirty = False
        """Whether a batch was closed since the outboxes were last notified."""
        self.turn: Iterator[Outbox] | None = None
        """Where the notification stands that gave the loop back before it was through."""
        self.sent_since_heartbeat = False
        self._open: list[Frame] = []

    def append(self, frame: Frame) -> None:
        """Put `frame` into the open batch."""
        self._open.append(frame)

    def close(self) -> bool:
        """Close the open batch, so that outboxes see it; False if it was empty."""
        if not self._open:
            return False
        batch = Batch(self._open, self.tail)
        self._open = []
        self.tail.next = batch
        self.tail = batch
        self.is_dirty = True
        return True

    def __repr__(self) -> str:
        return f"<Feed of {len(self.outboxes)} clients, {self.tail.total_messages} messages so far>"
