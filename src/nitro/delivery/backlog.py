"""The backlog: what waits for one client before the chain of its feed.

Fed by a replay of the log, with what was emitted while the client was away, and by its outbox, with what came from an
earlier feed or for it alone. Taken by the outbox, oldest first.
"""

from __future__ import annotations

from collections import deque

from nitro.delivery.chain import Batch
from nitro.delivery.frame import Frame
from nitro.delivery.interest import Interest
from nitro.delivery.replay import Replay
from nitro.messages.message import Message

__all__ = ["Backlog", "may_hear"]


class Backlog:
    """Made when first needed: most clients live without one.

    Args:
        replay: comes before everything else.

    Attributes:
        messages, bytes: how much waits in it; of a replay, which waits in the log, nothing counts.
        may_page: whether the next page of the replay may be taken.
    """

    __slots__ = ("_batches", "_replay", "bytes", "may_page", "messages")

    def __init__(self, replay: Replay | None = None) -> None:
        self.messages: int = 0
        self.bytes: int = 0
        self.may_page: bool = False
        self._replay = replay
        self._batches: deque[Batch] = deque()

    def add(self, batch: Batch) -> None:
        """Let `batch` come after everything else."""
        self._batches.append(batch)
        self._count(batch, 1)

    def private(self) -> list[Batch]:
        """What was sent to the client alone, which no log has."""
        kept = [[frame for frame in batch.frames if _is_private(frame)] for batch in self._batches]
        return [Batch(frames, None) for frames in kept if frames]

    def withhold(self, interest: Interest) -> None:
        """Drop what may be heard no more, and replay no more of it."""
        batches, self._batches = self._batches, deque()
        self.messages = self.bytes = 0
        for batch in batches:
            kept = [frame for frame in batch.frames if may_hear(frame, interest)]
            if kept:
                self.add(batch if len(kept) == len(batch.frames) else Batch(kept, None))
        if self._replay is not None:
            self._replay.withhold(interest)

    def frames(self) -> list[Frame]:
        """Everything that waits in it, but for what a replay has yet to read."""
        return [frame for batch in self._batches for frame in batch.frames]

    def take(self) -> Batch | None:
        """The oldest batch; None if nothing waits, or if a replay found nothing so far, or may not read on now."""
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
    def is_replaying(self) -> bool:
        """Whether more of the log is to be read."""
        return self._replay is not None

    @property
    def has_more(self) -> bool:
        """Whether something may be taken now."""
        return self.may_page if self._replay is not None else bool(self._batches)

    @property
    def waits(self) -> float:
        """For how many seconds nothing more of the log is read."""
        return 0.0 if self._replay is None else self._replay.waits

    def __bool__(self) -> bool:
        return self._replay is not None or bool(self._batches)

    def _count(self, batch: Batch, sign: int) -> None:
        self.messages += sign * batch.messages
        self.bytes += sign * batch.bytes

    def __repr__(self) -> str:
        return f"<Backlog of {self.messages} messages{', and a replay' if self._replay else ''}>"


def may_hear(frame: Frame, interest: Interest) -> bool:
    """Whether a client of that interest has the right to `frame`: to what was sent to it alone, always."""
    return not isinstance(frame.message, Message) or _is_private(frame) or interest.permits(frame.message)


def _is_private(frame: Frame) -> bool:
    return isinstance(frame.message, Message) and frame.message.position is None
