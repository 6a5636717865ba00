"""The oracle: was everything delivered that should have been, once, in order, and was every loss announced?

Producers write down what they emitted, listeners what they heard, each with a time of one monotonic clock. `check`
compares the two and knows nothing of how the messages travelled, so it judges a broker, a proxy, or a whole
application under faults, in one process or in many:

```python
sent = [Sent("p1", n, at=time.monotonic()) for n in range(100)]  # one before each emit
listener = Listener("page", since=time.monotonic())              # its stream is open
listener.heard("e-1", "p1", 0)                                   # for each message: id, producer, number
listener.told_of_gap("e-7")                                      # for each gap: the position that it goes on from
assert check(sent, [listener]).is_clean
```

Who knows when something may have been lost says so, and then each gap has to have its reason, too:

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
"""`unknown`, of an emit that was cut off, may arrive once or not at all."""

_FOR_EVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class Sent:
    """One message of a producer.

    Attributes:
        producer, n: who emitted it, and its number, which rises with each of that producer's messages.
        outcome: what came of the emit.
        topic: for listeners that don't hear everything.
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
    """One listener's log, over all its connections: a page, however often it reconnects.

    Attributes:
        name: for the verdict.
        since: from when on it has to hear: when its first stream was open.
        until: up to when; what is emitted later is not missed.
        hears: which messages it has to hear, and may.
    """

    name: str
    since: float = field(default_factory=time.monotonic)
    until: float = _FOR_EVER
    hears: Callable[[Sent], bool] = lambda _: True
    _log: list[_Heard | _Gap] = field(default_factory=list)

    def heard(self, id: str, producer: str, n: int, at: float | None = None) -> None:
        """A message came, with the id of its server-sent event; now, or when `at` says.

        Raises:
            ValueError: the id is no position.
        """
        self._log.append(_Heard(_place(id), producer, n, time.monotonic() if at is None else at))

    def told_of_gap(self, resumed_at: str, at: float | None = None) -> None:
        """News of a gap came; now, or when `at` says.

        Raises:
            ValueError: `resumed_at` is no position.
        """
        self._log.append(_Gap(_place(resumed_at), time.monotonic() if at is None else at))

    def messages_since(self, at: float) -> Iterator[tuple[tuple[str, int], float]]:
        """Producer and number of each message that it heard from `at` on, and when that was."""
        for entry in islice(self._log, bisect_left(self._log, at, key=lambda entry: entry.at), None):
            if isinstance(entry, _Heard):
                yield (entry.producer, entry.n), entry.at


@dataclass(slots=True)
class Verdict:
    """What was wrong, each as a sentence; all empty if nothing was.

    Attributes:
        lost: acknowledged, to be heard, not heard, and not announced by a gap.
        doubled: heard twice by one listener.
        reordered: heard after something newer.
        invented: heard, and never emitted, or its emit failed, or not for this listener.
        unannounced: heard in another epoch than what was heard before it, and no gap told of that.
        false_gaps: announced where nothing can have been lost; see `check`.
        messages, gaps: how many were heard and announced, in all.
        announced: how many messages were missed and covered by a gap, over all listeners.
        repeated: how many were heard once more in another epoch, behind the gap that began it: the emitter was not told
            that the old log had them, so they are in the new one, too. Whoever was told of the gap has fetched anew.
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
        """All that may be wrong, by its name."""
        names = ("lost", "doubled", "reordered", "invented", "unannounced", "false_gaps")
        return {name: getattr(self, name) for name in names}

    @property
    def is_clean(self) -> bool:
        """Whether nothing was wrong."""
        return not any(self.wrong.values())

    def __str__(self) -> str:
        counts = ", ".join(f"{len(found)} {name.replace('_', ' ')}" for name, found in self.wrong.items())
        examples = [f"\n  {name}: {text}" for name, found in self.wrong.items() for text in found[:5]]
        return f"{self.messages} messages heard, {self.gaps} gaps announced, {counts}{''.join(examples)}"


def check(
    sent: Iterable[Sent], listeners: Iterable[Listener], losses: Iterable[tuple[float, float]] | None = None
) -> Verdict:
    """Compare what was emitted with what was heard.

    A gap is false if nothing may have been lost between the emit of the last message that the listener heard before it
    and the gap itself, or if it leads back into an epoch that the listener has left.

    Args:
        sent: everything that was emitted.
        listeners: who heard it.
        losses: from when to when something may have been lost, or it was not yet noticed; None leaves the gaps alone.
    """
    by_key = {(message.producer, message.n): message for message in sent}
    logs = list(listeners)
    windows = None if losses is None else list(losses)
    verdict = Verdict()
    missed: list[tuple[Listener, Sent, list[_Announced]]] = []
    for listener in logs:
        heard, gaps = _check_log(listener, by_key, verdict)
        verdict.messages += len(listener._log) - len(gaps)
        verdict.gaps += len(gaps)
        if windows is not None:
            _check_gaps(listener, by_key, windows, verdict)
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
            stood = " and ".join(str(place) for place in where) or "heard by nobody"
            verdict.lost.append(f"{listener.name} never heard {message.producer} {message.n} ({stood})")
    return verdict


def _places(logs: Iterable[Listener], wanted: set[tuple[str, int]]) -> dict[tuple[str, int], set[Position]]:
    """Where each of them stood, for those who heard it."""
    places: dict[tuple[str, int], set[Position]] = {key: set() for key in wanted}
    for log in logs if wanted else ():
        for entry in log._log:
            if isinstance(entry, _Heard) and (entry.producer, entry.n) in wanted:
                places[entry.producer, entry.n].add(entry.place)
    return places


@dataclass(frozen=True, slots=True)
class _Announced:
    """A gap, and what the listener had before it: only what is newer than that can be missing because of it."""

    resumed_at: Position
    at: float
    place: Position | None
    newest: dict[str, int]

    def covers(self, message: Sent, place: Position | None) -> bool:
        """Whether `message`, which stood at `place` if anybody heard it, is among what the gap announces."""
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
    """Judge one log by itself. Returns what was heard, with the epoch in which it was, and the gaps."""
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
    for entry in listener._log:
        if isinstance(entry, _Gap):
            text = f"{listener.name} was told of a gap up to {entry.resumed_at} at {entry.at:.3f}"
            if entry.resumed_at.epoch in left:
                verdict.false_gaps.append(f"{text}, and had left that epoch before")
            elif not any(began <= entry.at and since <= ended for began, ended in losses):
                verdict.false_gaps.append(f"{text}, and nothing was lost since {since:.3f}, its last message")
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
        raise ValueError(f"{id!r} is no position")
    return Position(sys.intern(found.epoch), found.sequence)  # thousands of messages share it


def _later(one: Position | None, other: Position) -> Position:
    return one if one is not None and one.epoch == other.epoch and one.sequence > other.sequence else other
