"""The backlog: what one client gets before the chain of its feed.

Fed by a replay of the log, with what was emitted while the client was disconnected, and by its outbox, with messages of
an earlier feed or for this client alone. Taken by the outbox, oldest first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Protocol

from nitro.delivery.chain import Batch
from nitro.delivery.frame import Frame
from nitro.delivery.interest import Interest
from nitro.delivery.replay import Replay
from nitro.messages.message import Gap, Message, Position
from nitro.messages.topics import PRESENCE_OF

__all__ = ["Backlog", "Pages", "is_of_a_room", "may_hear"]


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
        is_of_one_feed: whether all of it is what the client's present feed hears.
    """

    __slots__ = ("_queue", "bytes", "is_of_one_feed", "may_page", "messages")

    def __init__(self, replay: Pages | None = None) -> None:
        self.messages: int = 0
        self.bytes: int = 0
        self.may_page: bool = False
        self.is_of_one_feed: bool = True
        self._queue: deque[Batch | Pages] = deque(() if replay is None else (replay,))

    def add(self, batch: Batch) -> None:
        """Queue `batch` after everything else."""
        self._queue.append(batch)
        self._count(batch, 1)

    def leave_to_replay(self, unread: Iterable[Frame]) -> bool:
        """Let replays read from the log the events that are queued behind the first one, and those of `unread`, which
        come last. What was sent to the client alone keeps its place between them; what is queued of rooms goes.

        Returns False, and changes nothing, if there are no such events, or if something else is queued.
        """
        place = next((place for place, each in enumerate(self._queue) if isinstance(each, Replay)), None)
        if place is None or not self.is_of_one_feed:
            return False
        items: list[Pages | Frame] = []
        for each in islice(self._queue, place, None):
            items += each.frames if isinstance(each, Batch) else [each]
        items += unread
        if not any(map(_is_event, items)) or not all(map(_can_be_left, items)):
            return False
        while len(self._queue) > place:
            if isinstance(dropped := self._queue.pop(), Batch):
                self._count(dropped, -1)
        replay: Replay | None = None
        for item in items:
            if isinstance(item, Replay):
                replay = item
                self._queue.append(replay)
            elif isinstance(item, Frame) and _is_private(item):
                self.add(Batch([item], None))
            elif isinstance(item, Frame) and _is_event(item) and item.position is not None and replay is not None:
                if self._queue[-1] is not replay:
                    replay = replay.continued()
                    self._queue.append(replay)
                replay.extend(item.position)
        return True

    def private(self) -> list[Batch]:
        """The messages that were sent to the client alone, which no log has."""
        kept = [[frame for frame in batch.frames if _is_private(frame)] for batch in self._batches()]
        return [Batch(frames, None) for frames in kept if frames]

    def withhold(self, interest: Interest) -> None:
        """Drop what `interest` doesn't permit, also from the replay."""
        self._keep_those(lambda frame: may_hear(frame, interest))
        for each in self._queue:
            if not isinstance(each, Batch):
                each.withhold(interest)

    def frames(self) -> list[Frame]:
        """All queued frames, without what the replay has yet to read."""
        return [frame for batch in self._batches() for frame in batch.frames]

    def take(self) -> Batch | None:
        """The oldest batch; None if nothing is queued, or if the replay's page was empty or has to wait."""
        while self._queue:
            first = self._queue[0]
            if isinstance(first, Batch):
                self._queue.popleft()
                self._count(first, -1)
                return first
            if not self.may_page:
                return None
            self.may_page = False
            batch = first.next_page()
            if first.is_over:
                self._queue.popleft()
            if batch is not None or not first.is_over:
                return batch
        return None

    @property
    def replay(self) -> Replay | None:
        """The replay of the log that comes first; None if nothing does, or something else."""
        first = self._pages
        return first if isinstance(first, Replay) else None

    @property
    def is_replaying(self) -> bool:
        """Whether a replay comes next, which has more of the log to read."""
        return self._pages is not None

    @property
    def has_more(self) -> bool:
        """Whether something can be taken now."""
        return self.may_page if self._pages is not None else bool(self._queue)

    @property
    def waits(self) -> float:
        """Seconds until the replay may read the next page."""
        return 0.0 if self._pages is None else self._pages.waits

    @property
    def _pages(self) -> Pages | None:
        first = self._queue[0] if self._queue else None
        return None if isinstance(first, Batch) else first

    def _keep_those(self, is_kept: Callable[[Frame], bool]) -> None:
        queue, self._queue = self._queue, deque()
        self.messages = self.bytes = 0
        for each in queue:
            if not isinstance(each, Batch):
                self._queue.append(each)
            elif kept := [frame for frame in each.frames if is_kept(frame)]:
                self.add(each if len(kept) == len(each.frames) else Batch(kept, None))

    def _batches(self) -> Iterator[Batch]:
        return (each for each in self._queue if isinstance(each, Batch))

    def __bool__(self) -> bool:
        return bool(self._queue)

    def _count(self, batch: Batch, sign: int) -> None:
        self.messages += sign * batch.messages
        self.bytes += sign * batch.bytes

    def __repr__(self) -> str:
        return f"<Backlog of {self.messages} messages{', and a replay' if self.is_replaying else ''}>"


def is_of_a_room(frame: Frame) -> bool:
    """Whether it says who is in a room: a client gets all of that anew whenever some of it may be missing."""
    return isinstance(frame.message, Message) and frame.message.topic.startswith(PRESENCE_OF)


def may_hear(frame: Frame, interest: Interest) -> bool:
    """Whether `interest` permits `frame`; a message that was sent to the client alone is always permitted."""
    return not isinstance(frame.message, Message) or _is_private(frame) or interest.permits(frame.message)


def _is_event(item: Pages | Frame) -> bool:
    return (
        isinstance(item, Frame) and isinstance(item.message, Message) and not (_is_private(item) or is_of_a_room(item))
    )


def _can_be_left(item: Pages | Frame) -> bool:
    if isinstance(item, Frame):
        return not isinstance(item.message, Gap)
    return isinstance(item, Replay) and not item.is_lost


def _is_private(frame: Frame) -> bool:
    return isinstance(frame.message, Message) and frame.message.position is None and not frame.message.topic
