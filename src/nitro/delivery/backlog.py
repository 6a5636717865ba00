"""The backlog: what one client gets before the chain of its feed.

Fed by a replay of the log, with what was emitted while the client was disconnected, and by its outbox, with messages of
an earlier feed or for this client alone. Taken by the outbox, oldest first.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from nitro.delivery.chain import Batch
from nitro.delivery.frame import Frame
from nitro.delivery.interest import Interest
from nitro.delivery.replay import Replay
from nitro.messages.message import Message, Position

__all__ = ["Backlog", "Pages", "may_hear"]


class Pages(Protocol):
    """What a client gets a page at a time: a replay of the log, or the rows of a live query."""

    @property
    def starts_at(self) -> Position | None:
        """Position at which the stream begins; None if nobody can resume from there."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""

    @property
    def waits(self) -> float:
        """Seconds until the next page may be taken."""

    def next_page(self) -> Batch | None:
        """The next page; None if it is empty."""

    def withhold(self, interest: Interest) -> None:
        """Leave out what `interest` doesn't permit."""


class Backlog:
    """Made when first needed: most clients never have one.

    Args:
        replay: comes before everything else.

    Attributes:
        messages, bytes: how much is queued in it; a replay, which is still in the log, doesn't count.
        may_page: whether the next page of the replay may be taken.
    """

    __slots__ = ("_batches", "_replay", "bytes", "may_page", "messages")

    def __init__(self, replay: Pages | None = None) -> None:
        self.messages: int = 0
        self.bytes: int = 0
        self.may_page: bool = False
        self._replay = replay
        self._batches: deque[Batch] = deque()

    def add(self, batch: Batch) -> None:
        """Queue `batch` after everything else."""
        self._batches.append(batch)
        self._count(batch, 1)

    def private(self) -> list[Batch]:
        """The messages that were sent to the client alone, which no log has."""
        kept = [[frame for frame in batch.frames if _is_private(frame)] for batch in self._batches]
        return [Batch(frames, None) for frames in kept if frames]

    def withhold(self, interest: Interest) -> None:
        """Drop what `interest` doesn't permit, also from the replay."""
        batches, self._batches = self._batches, deque()
        self.messages = self.bytes = 0
        for batch in batches:
            kept = [frame for frame in batch.frames if may_hear(frame, interest)]
            if kept:
                self.add(batch if len(kept) == len(batch.frames) else Batch(kept, None))
        if self._replay is not None:
            self._replay.withhold(interest)

    def frames(self) -> list[Frame]:
        """All queued frames, without what the replay has yet to read."""
        return [frame for batch in self._batches for frame in batch.frames]

    def take(self) -> Batch | None:
        """The oldest batch; None if nothing is queued, or if the replay's page was empty or has to wait."""
        if self._replay is not None:
            if not self.may_page:
                return None
            self.may_page = False
            batch = self._replay.next_page()
            if self._replay.is_over:
                self._replay = None
            if batch is not None or self._replay is not None:
                return batch
        if not self._batches:
            return None
        batch = self._batches.popleft()
        self._count(batch, -1)
        return batch

    @property
    def replay(self) -> Replay | None:
        """The replay of the log that comes first; None if nothing does, or something else."""
        return self._replay if isinstance(self._replay, Replay) else None

    @property
    def is_replaying(self) -> bool:
        """Whether the replay has more of the log to read."""
        return self._replay is not None

    @property
    def has_more(self) -> bool:
        """Whether something can be taken now."""
        return self.may_page if self._replay is not None else bool(self._batches)

    @property
    def waits(self) -> float:
        """Seconds until the replay may read the next page."""
        return 0.0 if self._replay is None else self._replay.waits

    def __bool__(self) -> bool:
        return self._replay is not None or bool(self._batches)

    def _count(self, batch: Batch, sign: int) -> None:
        self.messages += sign * batch.messages
        self.bytes += sign * batch.bytes

    def __repr__(self) -> str:
        return f"<Backlog of {self.messages} messages{', and a replay' if self._replay else ''}>"


def may_hear(frame: Frame, interest: Interest) -> bool:
    """Whether `interest` permits `frame`; a message that was sent to the client alone is always permitted."""
    return not isinstance(frame.message, Message) or _is_private(frame) or interest.permits(frame.message)


def _is_private(frame: Frame) -> bool:
    return isinstance(frame.message, Message) and frame.message.position is None and not frame.message.topic
