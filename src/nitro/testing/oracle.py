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
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from nitro.domain.message import Position

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


@dataclass(frozen=True, slots=True)
class _Heard:
    id: str
    producer: str
    n: int


@dataclass(frozen=True, slots=True)
class _Gap:
    resumed_at: str
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

    def heard(self, id: str, producer: str, n: int) -> None:
        """A message came, with the id of its server-sent event."""
        self._log.append(_Heard(id, producer, n))

    def told_of_gap(self, resumed_at: str) -> None:
        """News of a gap came."""
        self._log.append(_Gap(resumed_at, time.monotonic()))


@dataclass(slots=True)
class Verdict:
    """What was wrong, each as a sentence; all empty if nothing was.

    Attributes:
        lost: acknowledged, to be heard, not heard, and not announced by a gap.
        doubled: heard twice by one listener.
        reordered: heard after something newer.
        invented: heard, and never emitted, or its emit failed, or not for this listener.
        messages, gaps: how many were heard and announced, in all.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    messages: int = 0
    gaps: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing was wrong."""
        return not (self.lost or self.doubled or self.reordered or self.invented)

    def __str__(self) -> str:
        wrong = {name: getattr(self, name) for name in ("lost", "doubled", "reordered", "invented")}
        counts = ", ".join(f"{len(found)} {name}" for name, found in wrong.items())
        examples = [f"\n  {name}: {text}" for name, found in wrong.items() for text in found[:5]]
        return f"{self.messages} messages heard, {self.gaps} gaps announced, {counts}{''.join(examples)}"


def check(sent: Iterable[Sent], listeners: Iterable[Listener]) -> Verdict:
    """Compare what was emitted with what was heard."""
    by_key = {(message.producer, message.n): message for message in sent}
    logs = list(listeners)
    places = {
        (entry.producer, entry.n): _place(entry.id) for log in logs for entry in log._log if isinstance(entry, _Heard)
    }
    verdict = Verdict()
    for listener in logs:
        heard, gaps = _check_log(listener, by_key, verdict)
        verdict.messages += len(listener._log) - len(gaps)
        verdict.gaps += len(gaps)
        for key, message in by_key.items():
            is_wanted = message.outcome == "acknowledged" and listener.since < message.at < listener.until
            if key in heard or not is_wanted or not listener.hears(message):
                continue
            if not any(gap.covers(message, places.get(key)) for gap in gaps):
                verdict.lost.append(f"{listener.name} never heard {message.producer} {message.n}")
    return verdict


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
) -> tuple[set[tuple[str, int]], list[_Announced]]:
    """Judge one log by itself. Returns what was heard, and the gaps."""
    heard: set[tuple[str, int]] = set()
    gaps: list[_Announced] = []
    newest: dict[str, int] = {}  # by producer
    place: Position | None = None
    for entry in listener._log:
        if isinstance(entry, _Gap):
            resumed_at = _place(entry.resumed_at)
            gaps.append(_Announced(resumed_at, entry.at, place, dict(newest)))
            place = _later(place, resumed_at)
            continue
        key = (entry.producer, entry.n)
        here = _place(entry.id)
        text = f"{listener.name} heard {entry.producer} {entry.n} with the id {entry.id}"
        message = by_key.get(key)
        if message is None or message.outcome == "failed" or not listener.hears(message):
            verdict.invented.append(text)
        if key in heard:
            verdict.doubled.append(text)
        else:
            is_back = place is not None and here.epoch == place.epoch and here.sequence <= place.sequence
            if is_back or entry.n < newest.get(entry.producer, entry.n):
                verdict.reordered.append(f"{text}, after {place}")
        heard.add(key)
        newest[entry.producer] = max(entry.n, newest.get(entry.producer, entry.n))
        place = _later(place, here)
    return heard, gaps


def _place(id: str) -> Position:
    found = Position.parse(id)
    if found is None:
        raise ValueError(f"{id!r} is no position")
    return found


def _later(one: Position | None, other: Position) -> Position:
    return one if one is not None and one.epoch == other.epoch and one.sequence > other.sequence else other
