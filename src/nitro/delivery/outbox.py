"""The outbox: the queued messages of one client.

Fed by its feed's chain, and by its backlog, which comes first; read by one sink, a socket or a reader. It belongs to
one lane and is only used in that lane's loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic
from typing import Final, Protocol

from nitro.access.principal import ANONYMOUS, Principal
from nitro.delivery.backlog import Backlog, Pages, is_of_a_room, may_hear
from nitro.delivery.chain import MAX_WRITE_BYTES, Batch, Chain, in_writes
from nitro.delivery.frame import Frame, WireFormat
from nitro.delivery.interest import Interest
from nitro.delivery.limits import Limits
from nitro.delivery.replay import Replay
from nitro.delivery.sink import Sink
from nitro.delivery.state import State
from nitro.delivery.statistics import Counts
from nitro.messages.message import Gap, Message, Position

__all__ = ["AWAITED", "Outbox", "Scheduler"]

AWAITED: Final = Position("awaited", 0)
"""What an outbox is held for whose next page isn't there yet. No log has this epoch."""
_BEAT: Final = Frame(None)


class Scheduler(Protocol):
    """Decides when the sink of an outbox is notified; outboxes report to it what their sinks do."""

    counts: Counts

    def attached(self, outbox: Outbox) -> None:
        """Another sink was attached to `outbox`."""

    def freed(self, outbox: Outbox) -> None:
        """The sink of `outbox` has taken everything available."""

    def resume(self, outbox: Outbox) -> None:
        """Pages of `outbox` can be taken."""

    def begin_write(self, outbox: Outbox) -> None:
        """The sink of `outbox` started a write, which may block until `freed`."""


class Outbox:
    """One client's place in the delivery.

    Attributes:
        loop: the event loop that it belongs to; None if it belongs to threads without one.
        scheduler: the schedule of that loop.
        made_at: when the client connected, on the clock of `time.monotonic`.
        limits: how much may be queued, and what happens to more.
        principal: the client's user and when its stream ends; `Clients.limit_age` may set an earlier end.
        starts_at: position at which the stream begins: the head of the log, or the id that the client resumes from;
            None if it gets a gap first.
        state: what the delivery does for it now; set by the scheduler.
        is_ended: True after `disconnect`, from any thread, or after it exceeded its limit.
        ends_for_good: whether the browser is told not to reconnect.
        may_have_more: False if the last `take_body` took everything that there was.
        held_for: nothing can be taken before this process has read the log up to there; None if it isn't held.
        sink: what reads it; None if nothing is attached.
    """

    __slots__ = (
        "_backlog",
        "_chain",
        "_cursor",
        "_opened",
        "ends_for_good",
        "held_for",
        "is_ended",
        "limits",
        "loop",
        "made_at",
        "may_have_more",
        "principal",
        "scheduler",
        "sink",
        "starts_at",
        "state",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        scheduler: Scheduler,
        starts_at: Position,
        limits: Limits,
        principal: Principal = ANONYMOUS,
    ) -> None:
        self.loop: asyncio.AbstractEventLoop | None = loop
        self.scheduler: Scheduler = scheduler
        self.starts_at: Position | None = starts_at
        self.made_at: float = monotonic()
        self.limits: Limits = limits
        self.principal: Principal = principal
        self.held_for: Position | None = None
        self.state: State = State.BUSY
        self.is_ended: bool = False
        self.may_have_more: bool = True
        self.ends_for_good: bool = False
        self.sink: Sink | None = None
        self._chain: Chain | None = None
        self._cursor: Batch | None = None
        self._backlog: Backlog | None = None
        self._opened: Iterator[Frame] | None = None

    def follow(self, chain: Chain | None) -> None:
        """Read `chain` from its next batch on, after everything that is queued already."""
        batch = self._cursor
        while batch is not None and (batch := batch.next) is not None:
            self._keep(batch.alone())
        if self._backlog is not None and chain is not self._chain:
            self._backlog.is_of_one_feed = False
        self._chain = chain
        self._cursor = None if chain is None or self.held_for is not None else chain.tail

    def hold(self, after: Position) -> None:
        """Take nothing from the feed before `resume`: the client may already have its messages, up to `after`."""
        self.held_for = self.starts_at = after
        self._cursor = None

    def free(self) -> None:
        """The sink has taken everything available, and is to be notified when there is more."""
        self.scheduler.freed(self)

    def begin_write(self) -> None:
        """The sink started a write; it has to be free again within `send_timeout_seconds`."""
        self.scheduler.begin_write(self)

    def put(self, message: Message) -> None:
        """Add a message that was sent to this client alone, in order with all others."""
        self.put_batch(Batch([Frame(message)], None))

    def put_batch(self, batch: Batch) -> None:
        """Add a batch behind everything that is queued already, and before what its feed gets from here on."""
        self.follow(self._chain)
        self._keep(batch)

    def put_beat(self) -> None:
        """Let the sink write a comment, although it is held."""
        if self._opened is None:
            self._opened = iter([_BEAT])

    def await_page(self) -> None:
        """Take nothing before `continue_pages`: the next page isn't there yet."""
        self.held_for = AWAITED
        self._cursor = None

    def continue_pages(self) -> None:
        """There may be another page."""
        if self.held_for is AWAITED:
            self.held_for = None
            self.scheduler.resume(self)

    def attach(self, sink: Sink) -> None:
        """Let `sink` read it from here on; a sink that read it before gets `ended`."""
        before, self.sink = self.sink, sink
        self.scheduler.attached(self)
        if before is not None:
            before.ended()

    def resume(self, replay: Pages) -> None:
        """Start over with `replay`, then messages that were sent to it alone, then its feed from here."""
        private = [] if self._backlog is None else self._backlog.private()
        self._opened = self.held_for = None
        self._backlog = Backlog(replay)
        self._cursor = None if self._chain is None else self._chain.tail
        self.starts_at = replay.starts_at
        for batch in private:
            self._keep(batch)

    def withhold(self, interest: Interest) -> None:
        """Drop from the backlog what `interest` doesn't permit."""
        if self._opened is not None:
            self._opened = iter([frame for frame in self._opened if may_hear(frame, interest)])
        if self._backlog is not None:
            self._backlog.withhold(interest)

    def _keep(self, batch: Batch) -> None:
        if self._backlog is None:
            self._backlog = Backlog()
        self._backlog.add(batch)

    def clear(self) -> None:
        """Drop everything that is queued, and leave the chain."""
        self._backlog = self._chain = self._cursor = self._opened = None

    def take_body(self, wire_format: WireFormat) -> bytes | None:
        """Take what is available, encoded and joined up to about `MAX_WRITE_BYTES`; None if there is nothing."""
        cursor = self._cursor
        if cursor is not None and self._backlog is None and self._opened is None:
            batch = cursor.next
            if batch is None:
                return None
            if batch.next is None:  # the usual case: one batch, whose bytes are shared
                self._cursor = batch
                self.may_have_more = False
                counts = self.scheduler.counts
                counts.messages += batch.messages
                counts.bytes += batch.bytes
                return batch.body(wire_format)
        self.may_have_more = True
        bodies: list[bytes] = []
        size = 0
        if self._opened is not None:  # a reader stopped in the middle of a batch
            left, self._opened = list(self._opened), None
            if left:
                bodies.append(Batch(left, None).body(wire_format))
                size = len(bodies[0])
        while size <= MAX_WRITE_BYTES and (next_batch := self._take_batch()) is not None:
            bodies.append(next_batch.body(wire_format))
            size += len(bodies[-1])
        return b"".join(bodies) if bodies else None

    def take_message(self) -> Message | Gap | None:
        """Take the oldest available message or gap; None if there is none."""
        while True:
            if self._opened is not None:
                for frame in self._opened:
                    if frame.message is not None:
                        return frame.message
                self._opened = None
            batch = self._take_batch()
            if batch is None:
                return None
            if len(batch.frames) == 1 and (message := batch.frames[0].message) is not None:
                return message
            self._opened = iter(batch.frames)

    def _take_batch(self) -> Batch | None:
        if self.held_for is not None:
            return None
        if self._backlog is not None:
            batch = self._backlog.take()
            if batch is not None:
                self._count(batch)
                return batch
            if self._backlog:
                return None
            self._backlog = None
        if self._cursor is None or self._cursor.next is None:
            return None
        self._cursor = self._cursor.next
        self._count(self._cursor)
        return self._cursor

    def _count(self, batch: Batch, sign: int = 1) -> None:
        counts = self.scheduler.counts
        counts.messages += sign * batch.messages
        counts.bytes += sign * batch.bytes

    @property
    def is_replaying(self) -> bool:
        """Whether its replay has more of the log to read."""
        return self._backlog is not None and self._backlog.is_replaying

    @property
    def replay_waits(self) -> float:
        """Seconds until its replay may read the next page."""
        return 0.0 if self._backlog is None else self._backlog.waits

    def allow_page(self) -> None:
        """Let the sink take one more page of the replay."""
        if self._backlog is not None:
            self._backlog.may_page = True

    @property
    def has_more(self) -> bool:
        """Whether something can be taken now; a page of a replay may turn out to be empty."""
        if self.held_for is not None:
            return False
        if self._opened is not None:
            return True
        if self._backlog:
            return self._backlog.has_more
        return self._cursor is not None and self._cursor.next is not None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is queued, to be taken now or later."""
        return not self._backlog and self._opened is None and (self._cursor is None or self._cursor.next is None)

    @property
    def replay(self) -> Replay | None:
        """The replay of the log that comes before everything else; None if there is none."""
        return None if self._backlog is None else self._backlog.replay

    @property
    def chain(self) -> Chain | None:
        """The chain that it reads; None before it joined and after it left."""
        return self._chain

    @property
    def waiting(self) -> tuple[int, int]:
        """How many messages, and how many bytes of payload, are queued."""
        backlog, chain, cursor = self._backlog, self._chain, self._cursor  # from any thread
        messages, size = (backlog.messages, backlog.bytes) if backlog else (0, 0)
        if chain is not None and cursor is not None:
            messages += chain.tail.total_messages - cursor.total_messages
            size += chain.tail.total_bytes - cursor.total_bytes
        return messages, size

    @property
    def private(self) -> tuple[int, int]:
        """How many messages, and bytes of payload, that were sent to it alone are queued."""
        batches = [] if self._backlog is None else self._backlog.private()
        return sum([batch.messages for batch in batches]), sum([batch.bytes for batch in batches])

    def is_over_limit(self) -> bool:
        """Whether more than the limit was queued already when the loop's current tick began.

        Messages of the current tick don't count yet: a client that keeps up may get any burst that fits in memory.
        """
        messages, size = self.waiting
        if self.limits.allows(messages, size):
            return False
        if self._chain is not None and self._cursor is not None:
            tail, (messages_before, size_before) = self._chain.tail, self._chain.before_tick
            messages -= tail.total_messages - max(messages_before, self._cursor.total_messages)
            size -= tail.total_bytes - max(size_before, self._cursor.total_bytes)
        return not self.limits.allows(messages, size)

    def leave_to_replay(self) -> bool:
        """Let its replay go on with what its feed has for it meanwhile, in the order that it would have had.

        Returns False, and changes nothing, if it can't: it has no replay, or had another feed since. Else its rooms
        have to be shown anew.
        """
        backlog, chain = self._backlog, self._chain
        if backlog is None or chain is None or not backlog.leave_to_replay(self._unread()):
            return False
        self._cursor = chain.tail
        chain.owes_id = True  # a heartbeat's id may have been dropped
        return True

    def shorten(self, head: Position) -> int | None:
        """Drop queued messages as the limits say, and put a gap in front of the rest; it resumes at `head` if none is
        left.

        Returns how many messages were dropped; None if the client is to be ended.
        """
        opened = list(self._opened or ())
        self._opened = iter(opened) if opened else None
        queued = [*opened, *(self._backlog.frames() if self._backlog else ()), *self._unread()]
        frames = [frame for frame in queued if not is_of_a_room(frame)]  # it gets the members anew
        kept = self.limits.shorten(frames)
        if kept is None:
            return None
        messages = [frame.message for frame in kept if isinstance(frame.message, Message)]
        dropped = sum(isinstance(frame.message, Message) for frame in queued) - len(messages)
        if not dropped and not self.is_replaying:
            return 0
        if opened:
            self._count(Batch(opened, None), -1)  # they will be taken and counted again
        first = next((message.position for message in messages if message.position is not None), None)
        resumed_at = head if first is None else first.before
        self._opened = self._backlog = None
        self._cursor = None if self._chain is None or self.held_for is not None else self._chain.tail
        if self._chain is not None:
            self._chain.owes_id = True  # a heartbeat's id may have been dropped
        if not any(isinstance(frame.message, Gap) and frame.message.reason == "overflow" for frame in frames):
            self.scheduler.counts.gaps["overflow"] += 1  # else this one takes the place of one that is counted
        for batch in in_writes([Frame(Gap("overflow", resumed_at)), *kept]):
            self._keep(batch)
        return dropped

    def _unread(self) -> Iterator[Frame]:
        batch = self._cursor
        while batch is not None and (batch := batch.next) is not None:
            yield from batch.frames

    def __repr__(self) -> str:
        messages, size = self.waiting
        state = State.ENDED.value if self.is_ended else self.state.value
        limits = self.limits
        return f"<Outbox {state}, {messages} of {limits.max_messages} messages, {size} of {limits.max_bytes} bytes>"
