"""The outbox: what waits for one client.

Fed by its feed's chain, and by the few things that are sent to this client alone; feeds one sink, a socket or
a reader. It belongs to one lane, and only that lane's loop touches it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Protocol

from nitro.domain.message import Message, Position
from nitro.infrastructure.delivery.feed import MAX_WRITE_BYTES, Batch, Feed
from nitro.infrastructure.delivery.frame import Frame

if TYPE_CHECKING:
    from nitro.infrastructure.delivery.lane import Lane

__all__ = ["NOBODY", "Outbox", "Sink"]


class Sink(Protocol):
    """Whoever takes what waits in an outbox."""

    def ready(self) -> bool:
        """Something waits. Called by the lane, in its loop, with no task running; doesn't block.

        Returns whether it took all of it. If not, it isn't called again before it says `outbox.rest()`.
        """

    def ended(self) -> None:
        """Nothing more will come. Called once, in the lane's loop."""


class _NobodyReads:
    def ready(self) -> bool:
        """Everything waits, until somebody reads."""
        return False

    def ended(self) -> None:
        """Nobody is there to be told."""


NOBODY: Final[Sink] = _NobodyReads()


class Outbox:
    """One client's place in the delivery.

    Attributes:
        joined_at: head of the log when the client joined; it hears what comes after.
        is_ended: True from `disconnect` on, or from when its limit was passed.
        is_busy: its sink has not taken yet what it was told of.
        is_aside: it was still busy when more came, and isn't told of what comes until it rests.
        sink: who reads it.
    """

    __slots__ = (
        "_cursor",
        "_feed",
        "_inbox",
        "_inbox_bytes",
        "_inbox_messages",
        "_opened",
        "is_aside",
        "is_busy",
        "is_ended",
        "joined_at",
        "lane",
        "max_bytes",
        "max_messages",
        "sink",
    )

    def __init__(self, lane: Lane, joined_at: Position, *, max_messages: int, max_bytes: int) -> None:
        self.lane = lane
        self.joined_at = joined_at
        self.max_messages = max_messages
        self.max_bytes = max_bytes
        self.is_ended = False
        self.is_busy = False
        self.is_aside = False
        self.sink: Sink = NOBODY
        self._feed: Feed | None = None
        self._cursor: Batch | None = None
        self._inbox: deque[Batch] | None = None  # older than the cursor: from an earlier feed, or for it alone
        self._inbox_messages = 0
        self._inbox_bytes = 0
        self._opened: Iterator[Frame] | None = None

    def follow(self, feed: Feed | None) -> None:
        """Read `feed` from its next batch on, after everything that waits already."""
        batch = self._cursor
        while batch is not None and (batch := batch.next) is not None:
            self._keep(batch)
        self._feed = feed
        self._cursor = None if feed is None else feed.tail

    def set_aside(self) -> None:
        """More came, and the sink is still busy."""
        if not self.is_aside:
            self._move(is_aside=True)

    def rest(self) -> None:
        """The sink has taken all, and wants to be told when more waits."""
        self.is_busy = False
        if self.is_aside:
            self._move(is_aside=False)

    def _move(self, *, is_aside: bool) -> None:
        if self._feed is None:
            self.is_aside = is_aside
        else:
            self._feed.remove(self)
            self.is_aside = is_aside
            self._feed.add(self)

    def put(self, message: Message) -> None:
        """Add what was sent to this client alone, in order with everything else."""
        self.follow(self._feed)
        self._keep(Batch([Frame(message)], None))

    def _keep(self, batch: Batch) -> None:
        if self._inbox is None:  # most clients never need one, and an empty deque has room for 64
            self._inbox = deque()
        self._inbox.append(batch)
        self._inbox_messages += batch.messages
        self._inbox_bytes += batch.bytes

    def clear(self) -> None:
        """Drop what waits, and let go of the chain."""
        self._inbox = None
        self._inbox_messages = self._inbox_bytes = 0
        self._feed = self._cursor = self._opened = None

    def take_body(self, *, named: bool) -> bytes | None:
        """What waits, joined up to `MAX_WRITE_BYTES`, on the wire; None if nothing does."""
        cursor = self._cursor
        if cursor is not None and not self._inbox and self._opened is None:
            batch = cursor.next
            if batch is None:
                return None
            if batch.next is None:  # the usual case: one batch, whose bytes are shared
                self._cursor = batch
                return batch.body(named=named)
        bodies: list[bytes] = []
        size = 0
        for batch in self._take_batches():
            bodies.append(batch.body(named=named))
            size += len(bodies[-1])
            if size > MAX_WRITE_BYTES:
                break
        return b"".join(bodies) if bodies else None

    def take_message(self) -> Message | None:
        """The oldest message that waits; None if nothing does."""
        while True:
            if self._opened is not None:
                for frame in self._opened:
                    if frame.message is not None:
                        return frame.message
                self._opened = None
            batch = next(self._take_batches(), None)
            if batch is None:
                return None
            if len(batch.frames) == 1 and (message := batch.frames[0].message) is not None:
                return message
            self._opened = iter(batch.frames)

    def _take_batches(self) -> Iterator[Batch]:
        if self._opened is not None:  # somebody took messages one by one and left in the middle of a batch
            left, self._opened = list(self._opened), None
            if left:
                yield Batch(left, None)
        while self._inbox:
            batch = self._inbox.popleft()
            self._inbox_messages -= batch.messages
            self._inbox_bytes -= batch.bytes
            yield batch
        while self._cursor is not None and self._cursor.next is not None:
            self._cursor = self._cursor.next
            yield self._cursor

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._inbox and self._opened is None and (self._cursor is None or self._cursor.next is None)

    @property
    def feed(self) -> Feed | None:
        """The feed that it follows; None before it joined and after it left."""
        return self._feed

    @property
    def waiting(self) -> tuple[int, int]:
        """How many messages, and how many bytes of payload, wait to be taken."""
        messages, size = self._inbox_messages, self._inbox_bytes
        if self._feed is not None and self._cursor is not None:
            messages += self._feed.tail.total_messages - self._cursor.total_messages
            size += self._feed.tail.total_bytes - self._cursor.total_bytes
        return messages, size

    def is_over_limit(self) -> bool:
        """Whether more than the limit waited already when the loop's current tick began.

        What came in the tick doesn't count yet: a client that keeps up may get any burst that fits in memory.
        """
        messages, size = self.waiting
        if messages <= self.max_messages and size <= self.max_bytes:
            return False
        if self._feed is not None and self._cursor is not None:
            tail, before = self._feed.tail, self._feed.before_tick
            messages -= min(tail.total_messages - before.total_messages, messages)
            size -= min(tail.total_bytes - before.total_bytes, size)
        return messages > self.max_messages or size > self.max_bytes

    def __repr__(self) -> str:
        messages, size = self.waiting
        state = "ended, " if self.is_ended else ""
        return f"<Outbox {state}{messages} of {self.max_messages} messages, {size} of {self.max_bytes} bytes>"
