"""The snapshot: the rows of a live query, as they were read, and how a client gets them before anything else.

Made by the lane's live queries; shared by all clients that begin with it, and taken by their outboxes a part at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from nitro.delivery.chain import Batch
from nitro.delivery.frame import Frame
from nitro.delivery.query import INCOMPLETE, Query, Shown
from nitro.delivery.replay import Replay
from nitro.messages.message import Message, Position

__all__ = ["Restart", "Snapshot"]


class Snapshot:
    """The rows of one query, as they were read; shared by all who get them.

    Attributes:
        position: everything up to there is in them.
    """

    def __init__(self, query: Query, position: Position, rows: Sequence[Shown]) -> None:
        self.position = position
        self._query = query
        self._rows = rows
        self._parts: dict[bool, list[Batch]] = {}
        self._ends: dict[bool, bytes] = {}
        self._newest: dict[bool, tuple[Position, Batch]] = {}

    def batches(self, position: Position, *, is_reset: bool) -> list[Batch]:
        """The rows, for clients that have everything up to `position` with them; only the last part has that id."""
        parts = self._parts.get(is_reset)
        if parts is None:
            *others, self._ends[is_reset] = self._query.snapshot(self._rows, is_reset=is_reset)
            parts = self._parts[is_reset] = [self._batch(part, INCOMPLETE) for part in others]
        newest = self._newest.get(is_reset)
        if newest is None or newest[0] != position:  # an older one isn't asked for again
            newest = self._newest[is_reset] = (position, self._batch(self._ends[is_reset], position))
        return [*parts, newest[1]]

    def _batch(self, part: bytes, id: Position) -> Batch:
        return Batch([Frame(Message(self._query.topic, None, part, id))], None)


class Restart:
    """What a client gets first: all rows, then what has changed since they were read.

    Args:
        batches: the rows; shared by all clients that get them.
        changes: what has changed since they were read; None if nothing has.

    Attributes:
        starts_at: always None, as nobody can resume from before the rows.
        is_over: whether nothing more will come.
    """

    __slots__ = ("_batches", "_changes", "is_over", "starts_at")

    def __init__(self, batches: Iterable[Batch], changes: Replay | None) -> None:
        self._batches = deque(batches)
        self._changes = changes
        self.starts_at: Position | None = None
        self.is_over: bool = False

    def withhold(self, _: object) -> None:
        """Rights to topics don't concern rows."""

    @property
    def waits(self) -> float:
        """Seconds until the next page may be taken."""
        return 0.0 if self._batches or self._changes is None else self._changes.waits

    def next_page(self) -> Batch | None:
        """The next batch of the rows, or of what has changed since."""
        if self._batches:
            page: Batch | None = self._batches.popleft()
            self.is_over = not self._batches and self._changes is None
        else:
            assert self._changes is not None
            page = self._changes.next_page()
            self.is_over = self._changes.is_over
        return page

    def __repr__(self) -> str:
        return f"<Restart: {len(self._batches)} batches, then {self._changes!r}>"
