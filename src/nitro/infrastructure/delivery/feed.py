"""Feeds: what all clients of one event loop with the same interest share.

A feed is a chain of closed batches. Fed by the lane, which appends frames and closes a batch at the end of a
tick; each client's outbox is a cursor into the chain, so nothing is copied for a client, and a slow one keeps
only its own tail of the chain alive.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from nitro.domain.message import Position
from nitro.infrastructure.delivery.frame import Form, Frame
from nitro.infrastructure.delivery.interest import Interest

if TYPE_CHECKING:
    from nitro.infrastructure.delivery.outbox import Outbox

__all__ = ["MAX_WRITE_BYTES", "Batch", "Feed", "in_writes"]

MAX_WRITE_BYTES: Final = 256 * 1024
"""Size from which on more goes into another write, since a server may buffer the whole of one, for each client."""
_LOOKS_PER_LIMIT: Final = 16
"""A slow client may get this part of its limit more than the limit, before somebody looks."""


class Batch:
    """Frames that go out together, and the link to what came after them.

    Attributes:
        frames: what it holds, oldest first.
        next: the batch closed after this one, or None while this is the newest.
        messages, bytes: how many messages and payload bytes it holds.
        total_messages, total_bytes: the same of the whole chain, up to the end of this batch.
    """

    __slots__ = (
        "_bodies",
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
        self._bodies: dict[Form, bytes] = {}

    def body(self, form: Form) -> bytes:
        """The batch on the wire, made once for each form and shared by all who send it."""
        body = self._bodies.get(form)
        if body is None:
            body = self._bodies[form] = b"".join([frame.encode(form) for frame in self.frames])
        return body


def in_writes(frames: list[Frame]) -> Iterator[Batch]:
    """The frames in batches that are large enough for a write, each."""
    some: list[Frame] = []
    size = 0
    for frame in frames:
        some.append(frame)
        size += frame.size
        if size > MAX_WRITE_BYTES:
            yield Batch(some, None)
            some, size = [], 0
    if some:
        yield Batch(some, None)


class Feed:
    """The clients that share one interest, and the chain that they read."""

    __slots__ = (
        "_aside",
        "_look_bytes",
        "_look_messages",
        "_looked_at",
        "_open",
        "_open_bytes",
        "_outboxes",
        "before_tick",
        "interest",
        "is_dirty",
        "owes_id",
        "starts_at",
        "tail",
        "tick",
        "turn",
    )

    def __init__(self, interest: Interest, starts_at: Position) -> None:
        self.interest = interest
        self.starts_at = starts_at
        self.owes_id = False
        """Whether there is one of its clients that was told an older id than the others."""
        self._outboxes: dict[Outbox, None] = {}
        self._aside: dict[Outbox, None] = {}
        self.tail = Batch([], None)
        self.is_dirty = False
        """Whether a batch was closed since the outboxes were last notified."""
        self.turn: Iterator[Outbox] | None = None
        """Where the notification stands that gave the loop back before it was through."""
        self.tick = 0
        self.before_tick = (0, 0)
        """Messages and bytes of the chain before the loop's current tick, whose events are no client's arrears yet."""
        self._open: list[Frame] = []
        self._open_bytes = 0
        self._looked_at = (0, 0)  # numbers, here and above: a batch would keep all that came after it
        self._look_messages = self._look_bytes = sys.maxsize

    def add(self, outbox: Outbox) -> None:
        """Let `outbox` be told of what comes; one that is set aside only gets looked at."""
        if outbox.is_aside:
            self._aside[outbox] = None
            self._look_messages = min(self._look_messages, outbox.limits.max_messages // _LOOKS_PER_LIMIT)
            self._look_bytes = min(self._look_bytes, outbox.limits.max_bytes // _LOOKS_PER_LIMIT)
        else:
            self._outboxes[outbox] = None

    def remove(self, outbox: Outbox) -> None:
        """Don't tell `outbox` any more."""
        (self._aside if outbox.is_aside else self._outboxes).pop(outbox, None)

    def to_tell(self) -> tuple[Outbox, ...]:
        """Who is told that a batch was closed.

        One that is set aside takes what came as soon as it can, and telling it would cost time. But now and then
        it is looked at, whether too much waits for it: each time that the chain has grown by a part of the limit.
        """
        tail = self.tail
        messages, size = self._looked_at
        if self._aside and (
            tail.total_messages - messages >= self._look_messages or tail.total_bytes - size >= self._look_bytes
        ):
            self._looked_at = (tail.total_messages, tail.total_bytes)
            return (*self._outboxes, *self._aside)
        return tuple(self._outboxes)

    def aside(self) -> tuple[Outbox, ...]:
        """Those that are set aside."""
        return tuple(self._aside)

    def __len__(self) -> int:
        return len(self._outboxes) + len(self._aside)

    def append(self, frame: Frame) -> bool:
        """Put `frame` into the open batch; True if that is large enough to be closed now."""
        self._open.append(frame)
        self._open_bytes += frame.size
        return self._open_bytes > MAX_WRITE_BYTES

    def close(self, tick: int) -> bool:
        """Close the open batch, so that outboxes see it; False if it was empty."""
        if not self._open:
            return False
        if tick != self.tick:
            self.tick = tick
            self.before_tick = (self.tail.total_messages, self.tail.total_bytes)
        batch = Batch(self._open, self.tail)
        self._open = []
        self._open_bytes = 0
        self.tail.next = batch
        self.tail = batch
        self.is_dirty = True
        self.owes_id = False
        return True

    def knows(self, position: Position) -> bool:
        """Whether all its clients have that id, once they have taken what waits: no heartbeat needs to tell it."""
        if self.owes_id:
            return False
        return position == (self.tail.frames[-1].position if self.tail.frames else self.starts_at)

    def __repr__(self) -> str:
        return f"<Feed of {len(self)} clients, {self.tail.total_messages} messages so far>"
