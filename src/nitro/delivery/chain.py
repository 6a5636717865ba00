"""The chain: what the clients of one feed read, batch by batch.

A batch is closed at the end of a tick, or when it is large enough for a write. Each client's outbox is a cursor into
the chain, so nothing is copied for a client, and a slow one keeps only the unread end of the chain alive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nitro.delivery.frame import Frame, WireFormat
from nitro.delivery.interest import Interest
from nitro.messages.message import Position

__all__ = ["MAX_WRITE_BYTES", "Batch", "Chain", "in_writes"]

MAX_WRITE_BYTES: Final = 256 * 1024
"""A write is closed once it exceeds this size, since a server may buffer the whole of it for each client."""


class Batch:
    """Frames that are sent together, and a reference to the next batch.

    Attributes:
        frames: its frames, oldest first.
        next: the batch closed after this one; None while this is the newest.
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
        self.frames: list[Frame] = frames
        self.next: Batch | None = None
        self.messages: int = sum([frame.message is not None for frame in frames])
        self.bytes: int = sum([frame.size for frame in frames])
        self.total_messages: int = self.messages + (before.total_messages if before else 0)
        self.total_bytes: int = self.bytes + (before.total_bytes if before else 0)
        self._bodies: dict[WireFormat, bytes] = {}

    @classmethod
    def uncounted(cls, frame: Frame) -> Batch:
        """A batch for one client's backlog that counts in no limit, since who is ended by it would get it again."""
        batch = cls([frame], None)
        batch.messages = batch.bytes = 0
        return batch

    def alone(self) -> Batch:
        """The same without those behind it, for a backlog: it must not keep what the chain goes on to get."""
        batch = Batch(self.frames, None)
        batch._bodies = self._bodies
        return batch

    def body(self, wire_format: WireFormat) -> bytes:
        """The encoded batch, made once for each wire format and shared by all clients."""
        body = self._bodies.get(wire_format)
        if body is None:
            body = self._bodies[wire_format] = b"".join([frame.encode(wire_format) for frame in self.frames])
        return body


def in_writes(frames: list[Frame]) -> Iterator[Batch]:
    """The frames in batches, each large enough for a write."""
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


class Chain:
    """Linked batches, of which it holds only the newest; and the open batch, which no outbox sees yet.

    Attributes:
        interest: the interest of its readers.
        starts_at: position in the log at which it began.
        owes_id: whether one of its readers may have an older id than the others.
        tail: the newest closed batch.
        tick: the loop's tick in which `tail` was closed.
        before_tick: messages and bytes of the chain before that tick; those of the tick don't count in limits yet.
    """

    __slots__ = ("_open", "_open_bytes", "before_tick", "interest", "owes_id", "starts_at", "tail", "tick")

    def __init__(self, interest: Interest, starts_at: Position) -> None:
        self.interest: Interest = interest
        self.starts_at: Position = starts_at
        self.owes_id: bool = False
        self.tail: Batch = Batch([], None)
        self.tick: int = 0
        self.before_tick: tuple[int, int] = (0, 0)  # numbers: a batch would keep all later ones alive
        self._open: list[Frame] = []
        self._open_bytes = 0

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
        self.owes_id = False
        return True

    def knows(self, position: Position) -> bool:
        """Whether all its readers have that id once they have taken what is queued, so that a heartbeat can omit it."""
        if self.owes_id:
            return False
        return position == (self.tail.frames[-1].position if self.tail.frames else self.starts_at)

    def __repr__(self) -> str:
        return f"<Chain, {self.tail.total_messages} messages so far>"
