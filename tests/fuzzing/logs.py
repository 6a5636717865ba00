"""Logs that anybody has written to: what is no message is skipped, what is missing is announced, and no more."""

from __future__ import annotations

import json
import re
import threading
from contextlib import suppress

from nitro.brokers import codec
from nitro.brokers.base import NOWHERE, Entry, Extent, PositionLost, Retention
from nitro.brokers.follower import Follower
from nitro.brokers.history import History
from nitro.messages.message import Message, Position
from nitro.messages.topics import check_topic
from nitro.messages.user_disconnect import USER_DISCONNECT, UserDisconnect
from tests.fuzzing.standard import read_json
from tests.fuzzing.supply import SEPARATOR, Supply

_MAX_PAYLOAD_BYTES = 200
_RETENTION = Retention(max_messages=8, max_bytes=400, max_age_seconds=60.0)
_AGES = (0.0, 59.0, 1e9, -5.0, float("nan"), float("inf"))
_EPOCHS = ("one", "two", "one", "two", "one", "A", "", "a\nb", "x" * 33, "é")
_NUMBERS = (1, 5, 2, 9, 20, 1, 5, 0, -1, 1 << 64)
_PAGES = (0, 1, 2, 3, 4, 5, 6, 7, 70)
_PLACE = Position("one", 1)
_MARKS = re.compile(rb"\A(~.{8})?(\^.{25})?", re.DOTALL)
"""What may stand before the first line of an entry: its stamp, and a trace context."""


def broker(data: bytes) -> None:
    """Steps of a log, then a separator and the bodies of its entries."""
    written, *bodies = data.split(SEPARATOR)
    for body in bodies:
        _check_entry(body)
    reader = _Reader(bodies or [b""])
    supply = Supply(written)
    while not supply.is_empty:
        reader.step(supply)
    reader.check_window()


def _check_entry(body: bytes) -> None:
    with suppress(ValueError):
        codec.decode(body, _PLACE, 1)
    try:
        message = codec.decode(body, _PLACE, len(body))
    except ValueError:
        return
    topic, sender, payload, position, key, trace = message
    assert position == _PLACE
    read_json(payload)
    assert topic == USER_DISCONNECT or check_topic(topic) == topic
    written = codec.encode(topic, sender, payload, key)
    assert codec.decode(written, _PLACE, len(payload)) == message._replace(trace=None)
    if trace is not None:
        marked = b"%b^%b%b" % (written[: codec.STAMP_BYTES], trace, written[codec.STAMP_BYTES :])
        assert codec.decode(marked, _PLACE, len(payload)) == message
        assert message.traceparent is not None and len(message.traceparent) == len("00-") + 32 + 1 + 16 + 1 + 2
    order = UserDisconnect.parse(payload)
    assert order is None or UserDisconnect.parse(order.payload) == order


class _Reader:
    """A follower and its receiver, which keeps the account: each sequence is delivered, skipped or announced.

    Attributes:
        place: everything up to there was heard of.
        events: what came of the last step: sequences of messages, and pairs of sequences that were announced as lost.
        behind: what came since the last gap, which is what can be read again as long as it is retained.
    """

    def __init__(self, bodies: list[bytes]) -> None:
        self.place = NOWHERE
        self.events: list[int | tuple[int, int]] = []
        self.behind: list[Message] = []
        self._bodies = bodies
        self._lock = threading.RLock()
        self._follower = Follower(History(NOWHERE, _RETENTION), self._lock, _MAX_PAYLOAD_BYTES)
        self._follower.start(self)
        self._is_open = False
        self._is_settled = True
        self._marks: dict[str, tuple[int, float]] = {}
        self._holes: set[int] = set()

    # What the follower calls.

    def deliver(self, message: Message) -> None:
        if not self._is_open:
            assert message.topic == USER_DISCONNECT, "nobody is there yet"
            return
        self._check_call(is_locked=True)
        assert message.position is not None
        assert message.position.epoch == self.place.epoch
        assert message.position.sequence > self.place.sequence, "it goes back"
        self.place = message.position
        self.events.append(message.position.sequence)

    def lose(self, reason: str, resumed_at: Position) -> None:
        self._check_call(is_locked=True)
        is_same = resumed_at.epoch == self.place.epoch
        assert reason == ("expired" if is_same else "epoch")
        assert not is_same or resumed_at.sequence > self.place.sequence, "nothing is missing"
        self.events.append((self.place.sequence + 1, resumed_at.sequence))
        self.place = resumed_at

    def run_deferred(self) -> None:
        assert not self._lock._is_owned()  # type: ignore[attr-defined]  # only it can tell
        self._is_settled = True

    @property
    def is_behind(self) -> bool:
        return False

    def _check_call(self, *, is_locked: bool) -> None:
        assert self._is_open, "nobody is there yet"
        assert self._lock._is_owned() == is_locked  # type: ignore[attr-defined]  # only it can tell
        self._is_settled = False

    # What the link does with what the log says.

    def step(self, supply: Supply) -> None:
        kind = supply.below(8)
        if kind == 0:
            self._go_on(supply)
        elif self._follower.history.head == NOWHERE:
            return
        elif kind == 1:
            self._begin()
        elif kind == 2:
            self._follower.has_lost(self._entries(supply))
        else:
            self._take(self._entries(supply))

    def _go_on(self, supply: Supply) -> None:
        oldest = _NUMBERS[supply.below(len(_NUMBERS))]
        extent = Extent(_EPOCHS[supply.below(len(_EPOCHS))], oldest, oldest - 1 + supply.below(30))
        before = self._follower.history.head
        try:
            self._follower.go_on_in(extent, _RETENTION.max_messages)
        except ValueError:
            assert not _is_sound(extent), "refused without a reason"
            assert self._follower.history.head == before
            return
        assert _is_sound(extent), "nobody can come back to a place in that log"
        head = self._follower.history.head
        if self._is_open:
            is_there = head.epoch == before.epoch and before.sequence >= extent.oldest - 1
            there = before if is_there else Position(extent.epoch, extent.oldest - 1)
            assert head[:2] == there[:2], "it is elsewhere"
            assert head == self.place, "nobody was told"
            self._begin()
        else:
            first = max(extent.oldest - 1, extent.newest - _RETENTION.max_messages - 1)
            least = first if extent.oldest <= extent.newest else extent.newest
            is_there = head.epoch == before.epoch and before.sequence >= least
            assert head.sequence == (before.sequence if is_there else least), "it is elsewhere"
        if head.epoch != before.epoch or (not self._is_open and head != before):
            self._marks.clear()
            self._holes.clear()
        if head != before:
            self.behind.clear()

    def _begin(self) -> None:
        self._is_open = True
        self._follower.begin()
        assert self.place == self._follower.history.head
        assert self._is_settled

    def _take(self, entries: list[Entry]) -> None:
        before = self._follower.history.head
        self.events = []
        self._follower.take(entries)
        after = self._follower.history.head
        assert after.epoch == before.epoch
        assert self._is_settled, "whoever was ended by it is not told"
        taken: dict[int, Entry] = {}
        for entry in entries:
            if max(taken, default=before.sequence) < entry.sequence <= after.sequence:
                taken[entry.sequence] = entry
        assert after.sequence >= _end_of_row(before.sequence, entries), "it stops where nothing is missing"
        expected = []
        left_out = set(range(before.sequence + 1, after.sequence + 1)) - set(taken)
        for sequence, entry in taken.items():
            if sequence - 1 in left_out:
                self.behind.clear()
                hole = max(place for place in (*taken, before.sequence) if place < sequence)
                assert hole in self._holes, "it may have come a moment later"
            if (message := self._message(entry, after.epoch)) is not None:
                self.behind.append(message)
                expected.append(sequence)
        if any(entry.sequence > after.sequence for entry in entries):
            self._holes.add(after.sequence)
        if self._is_open:
            told = {each for event in self.events if isinstance(event, tuple) for each in range(event[0], event[1] + 1)}
            assert left_out <= told, "nobody was told what is missing"
            assert not told.intersection(expected), "it is not missing"
            assert [event for event in self.events if isinstance(event, int)] == expected
            self.place = after

    def _message(self, entry: Entry, epoch: str) -> Message | None:
        """What is to be heard of an entry: nothing if it is no message, or was published before with the same key."""
        if entry.body is None:
            return None
        try:
            position = Position(epoch, entry.sequence, codec.stamp_of(entry.body))
            message = codec.decode(entry.body, position, _MAX_PAYLOAD_BYTES)
        except ValueError:
            return None
        _, _, _, _, *mark = json.loads(_MARKS.sub(b"", entry.body, count=1).partition(b"\n")[0])
        if mark:
            key, _, at = mark
            newest, newest_at = self._marks.get(key, (-_RETENTION.max_messages, 0.0))
            self._marks[key] = (entry.sequence, at)
            is_near = newest > entry.sequence - _RETENTION.max_messages
            if is_near and at - newest_at < _RETENTION.max_age_seconds:
                return None
        return message

    def _entries(self, supply: Supply) -> list[Entry]:
        """Mostly those that follow our place; but for repeats, jumps, and any place."""
        entries = []
        sequence = self._follower.sequence
        for _ in range(_PAGES[supply.below(len(_PAGES))]):
            sequence += (1, 1, 1, 1, 1, 0, 2, 3, -1, -7, 40)[supply.below(11)]
            body = self._bodies[supply.below(len(self._bodies))]
            entries.append(Entry(sequence, None if supply.byte() == 1 else body, _AGES[supply.below(len(_AGES))]))
        return entries

    def check_window(self) -> None:
        """What can be read again is what was delivered."""
        history = self._follower.history
        for back in range(12):
            after = Position(history.head.epoch, history.head.sequence - back)
            with suppress(PositionLost):
                again = history.read(after, 100)
                assert list(again) == [m for m in self.behind if m.position is not None and m.position[:2] > after[:2]]
                assert len(again) <= _RETENTION.max_messages
                assert sum(len(message.payload) for message in again) <= _RETENTION.max_bytes


def _end_of_row(sequence: int, entries: list[Entry]) -> int:
    """How far one comes without a hole."""
    for entry in entries:
        if entry.sequence > sequence + 1:
            break
        sequence = max(sequence, entry.sequence)
    return sequence


def _is_sound(extent: Extent) -> bool:
    """Whether a browser may be given a place in it as an id."""
    head = Position(extent.epoch, extent.newest)
    return Position.parse(str(head)) == head and 1 <= extent.oldest <= extent.newest + 1
