"""The oracle: checks that messages were delivered once and in order, and that every loss was announced.

Producers record what they emitted, listeners what they heard, with times of one monotonic clock. `check` compares the
two and does not depend on how the messages travelled, so it can test a broker, a proxy, or a whole application under
faults, in one process or in many:

```python
sent = [Sent("p1", n, at=time.monotonic()) for n in range(100)]  # one before each emit
listener = Listener("page", since=time.monotonic())              # its stream is open
listener.heard("e-1", "p1", 0)                                   # for each message: id, producer, number
listener.told_of_gap("e-7")                                      # for each gap: the position that it goes on from
assert check(sent, [listener]).is_clean
```

If the times are known at which messages may have been lost, gaps without a reason are found, too:

```python
assert check(sent, [listener], losses=[(killed_at, noticed_at)]).is_clean
```
"""

from __future__ import annotations

import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, Literal, NamedTuple

from nitro.messages.message import Position

__all__ = ["Listener", "Outcome", "Sent", "Verdict", "check"]

Outcome = Literal["acknowledged", "failed", "unknown"]
"""A message whose outcome is `unknown`, as its emit was interrupted, may arrive once or not at all."""

_FOR_EVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Sent:
    """One message of a producer.

    Attributes:
        producer, n: the producer's name, and the message's number, which increases with each of its messages.
        outcome: result of the emit.
        topic: for listeners that don't hear every topic.
        at: when the emit began.
    """

    producer: str
    n: int
    outcome: Outcome = "acknowledged"
    topic: str = ""
    at: float = field(default_factory=time.monotonic)


class _Heard(NamedTuple):
    place: Position
    producer: str
    n: int
    at: float


class _Gap(NamedTuple):
    resumed_at: Position
    at: float


@dataclass(slots=True)
class Listener:
    """One listener's record, over all its connections: a page, however often it reconnects.

    Attributes:
        name: for the verdict.
        since: when its first stream was open; it has to hear what is emitted later.
        until: end of that; what is emitted later need not be heard.
        hears: which messages it subscribes to; it may hear no others.
        has_place: whether its first stream began with an id. One that was open before the server had reached its log
            can't; a gap comes first, and is right, as what was emitted meanwhile is missing.
    """

    name: str
    since: float = field(default_factory=time.monotonic)
    until: float = _FOR_EVER
    hears: Callable[[Sent], bool] = lambda _: True
    has_place: bool = True
    _log: list[_Heard | _Gap] = field(default_factory=list)

    def heard(self, id: str, producer: str, n: int, at: float | None = None) -> None:
        """Record a message, with the id of its server-sent event; `at` defaults to now.

        Raises:
            ValueError: the id is not a position.
        """
        self._log.append(_Heard(_place(id), producer, n, time.monotonic() if at is None else at))

    def told_of_gap(self, resumed_at: str, at: float | None = None) -> None:
        """Record a gap; `at` defaults to now.

        Raises:
            ValueError: `resumed_at` is not a position.
        """
        self._log.append(_Gap(_place(resumed_at), time.monotonic() if at is None else at))

    def messages_since(self, at: float) -> Iterator[tuple[tuple[str, int], float]]:
        """Producer and number of each message heard from `at` on, and the time."""
        for entry in islice(self._log, bisect_left(self._log, at, key=lambda entry: entry.at), None):
            if isinstance(entry, _Heard):
                yield (entry.producer, entry.n), entry.at


@dataclass(slots=True)
class Verdict:
    """The errors that were found, each as a sentence; all lists are empty if there were none.

    Attributes:
        lost: acknowledged, subscribed to, not heard, and not covered by a gap.
        doubled: heard twice by one listener.
        reordered: heard after a newer message.
        invented: heard, but never emitted, or its emit failed, or the listener does not subscribe to it.
        unannounced: heard in another epoch than the message before it, without a gap between them.
        false_gaps: announced although nothing can have been lost; see `check`.
        messages, gaps: how many were heard, in total.
        announced: how many missed messages were covered by a gap, over all listeners.
        repeated: how many were heard again in a new epoch, behind the gap that began it: the old log had not
            acknowledged them, so they were appended to the new one. The listener has fetched its data anew.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    unannounced: list[str] = field(default_factory=list)
    false_gaps: list[str] = field(default_factory=list)
    messages: int = 0
    gaps: int = 0
    announced: int = 0
    repeated: int = 0

    @property
    def wrong(self) -> dict[str, list[str]]:
        """All kinds of errors, by name."""
        names = ("lost", "doubled", "reordered", "invented", "unannounced", "false_gaps")
        return {name: getattr(self, name) for name in names}

    @property
    def is_clean(self) -> bool:
        """Whether there were no errors."""
        return not any(self.wrong.values())

    def __str__(self) -> str:
        counts = ", ".join(f"{len(found)} {name.replace('_', ' ')}" for name, found in self.wrong.items())
        examples = [f"\n  {name}: {text}" for name, found in self.wrong.items() for text in found[:5]]
        return f"{self.messages} messages heard, {self.gaps} gaps announced, {counts}{''.join(examples)}"


def check(
    sent: Iterable[Sent], listeners: Iterable[Listener], losses: Iterable[tuple[float, float]] | None = None
) -> Verdict:
    """Compare what was emitted with what was heard.

    A gap is false if no loss was possible between the emit of the last message that the listener heard before it and
    the gap itself, or if it leads back into an epoch that the listener has left.

    Args:
        sent: everything that was emitted.
        listeners: everyone who heard it.
        losses: intervals in which messages may have been lost, or a loss not yet noticed; None skips false gaps.
    """
    by_key = {(message.producer, message.n): message for message in sent}
    logs = list(listeners)
    intervals = None if losses is None else list(losses)
    verdict = Verdict()
    missed: list[tuple[Listener, Sent, list[_Announced]]] = []
    for listener in logs:
        heard, gaps = _check_log(listener, by_key, verdict)
        verdict.messages += len(listener._log) - len(gaps)
        verdict.gaps += len(gaps)
        if intervals is not None:
            _check_gaps(listener, by_key, intervals, verdict)
        for key, message in by_key.items():
            is_wanted = message.outcome == "acknowledged" and listener.since < message.at < listener.until
            if key not in heard and is_wanted and listener.hears(message):
                missed.append((listener, message, gaps))
    places = _places(logs, {(message.producer, message.n) for _, message, _ in missed})
    for listener, message, gaps in missed:
        where = sorted(places[message.producer, message.n])
        if all(any(gap.covers(message, place) for gap in gaps) for place in where or (None,)):
            verdict.announced += 1
        else:
            stood = " and ".join(str(place) for place in where) or "heard by no listener"
            verdict.lost.append(f"{listener.name} never heard {message.producer} {message.n} ({stood})")
    return verdict


def _places(logs: Iterable[Listener], wanted: set[tuple[str, int]]) -> dict[tuple[str, int], set[Position]]:
    """The positions at which each wanted message was heard."""
    places: dict[tuple[str, int], set[Position]] = {key: set() for key in wanted}
    for log in logs if wanted else ():
        for entry in log._log:
            if isinstance(entry, _Heard) and (entry.producer, entry.n) in wanted:
                places[entry.producer, entry.n].add(entry.place)
    return places


@dataclass(frozen=True, slots=True)
class _Announced:
    """A gap, and what the listener had heard before it: the gap covers only newer messages."""

    resumed_at: Position
    at: float
    place: Position | None
    newest: dict[str, int]

    def covers(self, message: Sent, place: Position | None) -> bool:
        """Whether the gap covers `message`, which any listener heard at `place`; None if none did."""
        if message.n <= self.newest.get(message.producer, message.n - 1):
            return False
        if place is None:
            return message.at < self.at
        if self.place is not None and place.epoch == self.place.epoch and place.sequence <= self.place.sequence:
            return False
        if place.epoch == self.resumed_at.epoch:
            return place.sequence <= self.resumed_at.sequence
        return message.at < self.at


def _check_log(
    listener: Listener, by_key: dict[tuple[str, int], Sent], verdict: Verdict
) -> tuple[dict[tuple[str, int], str], list[_Announced]]:
    """Check one listener's record. Returns what was heard, each with its epoch, and the gaps."""
    heard: dict[tuple[str, int], str] = {}
    gaps: list[_Announced] = []
    newest: dict[str, int] = {}  # by producer
    place: Position | None = None
    for entry in listener._log:
        if isinstance(entry, _Gap):
            gaps.append(_Announced(entry.resumed_at, entry.at, place, dict(newest)))
            place = _later(place, entry.resumed_at)
            continue
        key, here = (entry.producer, entry.n), entry.place
        message = by_key.get(key)
        if message is None or message.outcome == "failed" or not listener.hears(message):
            verdict.invented.append(_said(listener, entry))
        if place is not None and here.epoch != place.epoch:
            verdict.unannounced.append(f"{_said(listener, entry)}, after {place}")
        if key in heard:
            if heard[key] == here.epoch or not any(gap.resumed_at.epoch == here.epoch for gap in gaps):
                verdict.doubled.append(_said(listener, entry))
            else:
                verdict.repeated += 1
        else:
            is_back = place is not None and here.epoch == place.epoch and here.sequence <= place.sequence
            if is_back or entry.n < newest.get(entry.producer, entry.n):
                verdict.reordered.append(f"{_said(listener, entry)}, after {place}")
        heard[key] = here.epoch
        newest[entry.producer] = max(entry.n, newest.get(entry.producer, entry.n))
        place = _later(place, here)
    return heard, gaps


def _check_gaps(
    listener: Listener,
    by_key: dict[tuple[str, int], Sent],
    losses: Sequence[tuple[float, float]],
    verdict: Verdict,
) -> None:
    since, epoch = listener.since, ""
    left: set[str] = set()
    begins_nowhere = not listener.has_place
    for entry in listener._log:
        if isinstance(entry, _Gap):
            text = f"{listener.name} was told of a gap up to {entry.resumed_at} at {entry.at:.3f}"
            if entry.resumed_at.epoch in left:
                verdict.false_gaps.append(f"{text}, and had left that epoch before")
            elif not begins_nowhere and not any(began <= entry.at and since <= ended for began, ended in losses):
                verdict.false_gaps.append(f"{text}, and nothing was lost since {since:.3f}, its last message")
        begins_nowhere = False
        here = entry.resumed_at if isinstance(entry, _Gap) else entry.place
        if here.epoch != epoch:
            left.add(epoch)
            left.discard(here.epoch)
        epoch = here.epoch
        if isinstance(entry, _Heard) and (message := by_key.get((entry.producer, entry.n))) is not None:
            since = message.at


def _said(listener: Listener, entry: _Heard) -> str:
    return f"{listener.name} heard {entry.producer} {entry.n} with the id {entry.place}"


def _place(id: str) -> Position:
    found = Position.parse(id)
    if found is None:
        raise ValueError(f"{id!r} is not a position")
    return Position(sys.intern(found.epoch), found.sequence)  # thousands of messages share the epoch


def _later(one: Position | None, other: Position) -> Position:
    return one if one is not None and one.epoch == other.epoch and one.sequence > other.sequence else other
