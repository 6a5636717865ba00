"""The replay: what one client missed, read from the log again.

Fed by the log, a page at a time, once the client has taken the page before; feeds the client's backlog. So a client
that reconnects costs the memory of one page, however far it lags behind, and none while it doesn't read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from time import perf_counter
from typing import Final, NamedTuple

from nitro.access.leaky_buckets import LeakyBuckets
from nitro.brokers.base import PositionLost
from nitro.delivery.chain import MAX_WRITE_BYTES, Batch
from nitro.delivery.frame import Beat, Frame
from nitro.delivery.interest import Interest, Kind
from nitro.delivery.query import Query, QueryUndecided, decode, operations_of
from nitro.delivery.row_order import RowOrder
from nitro.messages.message import Gap, GapReason, Message, Position
from nitro.messages.row_changes import ROW_CHANGES, RowChanges

__all__ = ["Allowance", "Read", "Replay"]

Read = Callable[[Position, int], Sequence[Message]]
"""The log's messages after a position, at most so many; raises `PositionLost`."""

_PAGE_MESSAGES: Final = 256
"""How many of the log's messages are filtered before other clients get their turn."""
_PAGE_SECONDS: Final = 0.001
"""A page ends sooner after this time: the patterns of a client may take long to match."""
_LOOKS_AT_CLOCK_EVERY: Final = 16
_REMEMBERED: Final = 256
"""Cached answers, by topic and sender: most logs have few."""


class Allowance(NamedTuple):
    """What one replay may cost.

    Attributes:
        max_bytes: payload of the messages that it may replay; if more was missed, the client gets a gap instead of the
            rest.
        max_messages: how many of the log's messages may be read for it, whether the client hears them or not; beyond
            that, it gets a gap, too.
        pace: how fast the log may be read for a user.
        user_id: the user whose pace applies; clients without a user share one.
    """

    max_bytes: int
    max_messages: int
    pace: LeakyBuckets
    user_id: str = ""


class Replay:
    """The messages after `after`, up to and including `until`; from there on the client has its feed.

    Args:
        allowance: what it may cost.
        gaps: counts the gap, if there is one, by its reason.
        since: where the stream resumes after a gap, if the log can't continue from `after`; None for `until`.
        on_lost: called instead of a gap, once: the rows of a live query have to be read again.

    Attributes:
        starts_at: position at which the stream begins, from which a client that is cut at once resumes; None if it gets
            a gap first.
        is_over: whether nothing more will come.
    """

    __slots__ = (
        "_after",
        "_allowance",
        "_bytes_left",
        "_gaps",
        "_heard_kinds",
        "_interest",
        "_messages_left",
        "_on_lost",
        "_order",
        "_page",
        "_read",
        "_until",
        "is_over",
        "starts_at",
    )

    def __init__(
        self,
        read: Read,
        interest: Interest,
        after: Position | None,
        until: Position,
        allowance: Allowance,
        gaps: Counter[GapReason],
        since: Position | None = None,
        on_lost: Callable[[], object] | None = None,
    ) -> None:
        self._read = read
        self._on_lost = on_lost
        self._order: RowOrder | None = None
        self._interest = interest
        self._until = until
        self._allowance = allowance
        self._bytes_left = allowance.max_bytes
        self._messages_left = allowance.max_messages
        self._gaps = gaps
        self._heard_kinds: dict[Kind, bool] = {}
        self.is_over: bool = False
        self.starts_at = after
        self._page: Sequence[Message] | Gap | None = None
        self._after = after or until
        if after is None or (after.epoch == until.epoch and after.sequence > until.sequence):
            self._lose("invalid", since)
        elif after.epoch != until.epoch:
            self._lose("epoch", since)
        else:
            self._read_page()

    def withhold(self, interest: Interest) -> None:
        """Leave out what `interest` doesn't permit, even if the client was subscribed to it when it reconnected."""
        self._interest = replace(self._interest, permissions=interest.permissions)
        self._heard_kinds.clear()

    def extend(self, until: Position) -> None:
        """Go on up to `until`, in the same log."""
        self._until = until
        self._page = self._page or None  # an empty one was read before there was more

    def continued(self) -> Replay:
        """Another one, from where this one ends; to be extended."""
        more = copy(self)
        more._after = self._until
        more._page = None
        more._heard_kinds = {}
        return more

    @property
    def is_lost(self) -> bool:
        """Whether it comes to a gap next."""
        return isinstance(self._page, Gap)

    def traces(self, limit: int) -> list[bytes]:
        """The trace contexts of what the client hears of the page that was read, each once, `limit` at most."""
        page, query = self._page, self._interest.query
        if page is None or isinstance(page, Gap) or query is not None:
            return []
        found: dict[bytes, None] = {}
        compared = self._interest.compared
        deadline = perf_counter() + _PAGE_SECONDS
        for message in page:
            assert message.position is not None  # it comes from the log
            is_over = message.position.sequence > self._until.sequence
            if is_over or len(found) == limit or perf_counter() > deadline:
                break
            if message.trace is not None and self._heard(message) is not None:
                found[message.trace] = None
        self._allowance.pace.spend(self._allowance.user_id, self._interest.compared - compared)
        return list(found)

    @property
    def waits(self) -> float:
        """Seconds until the pace of its user allows the next page."""
        return self._allowance.pace.wait(self._allowance.user_id)

    def next_page(self) -> Batch | None:
        """What the client hears of the next page; None if it hears nothing of it."""
        page = self._read_page() if self._page is None else self._page
        if isinstance(page, Gap):
            if self._interest.query is not None:
                on_lost, self._on_lost = self._on_lost, None
                if on_lost is not None:
                    on_lost()
                return None
            self._after = page.resumed_at
            self._go_on()
            return Batch([Frame(page)], None)
        left, compared = self._messages_left, self._interest.compared
        batch = self._look_at(page)
        work = left - self._messages_left + self._interest.compared - compared
        self._allowance.pace.spend(self._allowance.user_id, work)
        if self.waits and not self.is_over and not isinstance(self._page, Gap):
            # A client that is cut during the pause resumes from here, and doesn't take the pause for a dead connection.
            return Batch([*(batch.frames if batch else ()), Beat(self._after, is_known=False)], None)
        return batch

    def _look_at(self, page: Sequence[Message]) -> Batch | None:
        frames: list[Frame] = []
        size = 0
        deadline = perf_counter() + _PAGE_SECONDS
        for count, message in enumerate(page, 1):
            assert message.position is not None  # it comes from the log
            if message.position.sequence > self._until.sequence:
                self._after = self._until  # what stands there was skipped, and is in no page
                break
            if not self._messages_left:
                self._lose("overflow")
                return Batch(frames, None) if frames else None
            self._messages_left -= 1
            self._after = message.position
            try:
                heard = self._heard(message)
            except QueryUndecided:
                self._page = Gap("overflow", self._until)
                return Batch(frames, None) if frames else None
            if heard is not None:
                self._bytes_left -= len(heard.payload)
                if self._bytes_left < 0:
                    self._lose("overflow")
                    return Batch(frames, None) if frames else None
                frames.append(Frame(heard))
                size += len(heard.payload)
                if size > MAX_WRITE_BYTES:
                    break
            if count % _LOOKS_AT_CLOCK_EVERY == 0 and perf_counter() > deadline:
                break
        if page:
            self._go_on()
        else:
            self.is_over = True
        return Batch(frames, None) if frames else None

    def _go_on(self) -> None:
        if self._after.sequence >= self._until.sequence:
            self.is_over = True
        else:
            self._read_page()

    def _read_page(self) -> Sequence[Message] | Gap:
        try:
            page = self._page = self._read(self._after, _PAGE_MESSAGES)
        except PositionLost as lost:
            return self._lose(lost.reason)
        return page

    def _lose(self, reason: GapReason, since: Position | None = None) -> Gap:
        gap = self._page = Gap(reason, since or self._until)
        self.starts_at = None
        self._gaps[reason] += 1
        return gap

    def _heard(self, message: Message) -> Message | None:
        """What the client gets of a message of the log; raises QueryUndecided."""
        if self._interest.query is not None:
            if self._order is None:
                self._order = RowOrder()
            return _of_query(self._interest.query, self._order, message)
        key = (message.topic, message.sender)
        heard = self._heard_kinds.get(key)
        if heard is None:
            if len(self._heard_kinds) >= _REMEMBERED:
                self._heard_kinds.clear()
            heard = self._heard_kinds[key] = self._interest.hears(message)
        return message if heard else None

    def __repr__(self) -> str:
        return f"<Replay from {self._after} to {self._until}>"


def _of_query(query: Query, order: RowOrder, entry: Message) -> Message | None:
    """What an entry of the log is for the clients of a live query; None if it doesn't concern it.

    Raises:
        QueryUndecided: that can't be said, or depends on rows that only the database has.
    """
    if entry.topic != ROW_CHANGES or (changes := RowChanges.parse(entry.payload)) is None:
        return None
    if changes.model != query.topic:
        return None
    if changes.rows is None or order.broken_by(changes):
        raise QueryUndecided
    operations = operations_of(query, decode(query, changes))
    if operations and query.limit is not None:
        raise QueryUndecided
    return Message(query.topic, None, query.encode(operations), entry.position) if operations else None
