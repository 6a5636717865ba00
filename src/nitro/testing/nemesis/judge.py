"""The judge: reads a run's journals, checks them with the oracle, and measures the outages.

A message is lost if its emit was acknowledged, a reader that subscribes to it did not hear it, and none of that
reader's gaps covers it. A gap is false if no fault that may lose messages was active between the emit of the last
message that the reader heard before the gap and the gap itself, or if it leads back into an epoch that the reader had
left. It is right where a stream was open before its worker had reached the log, and so began at no place.

A fault is active from when it strikes until every worker has delivered a message that was emitted after it was healed.
An outage lasts from the healing of a fault until every worker has delivered a message whose emit began after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nitro.messages.message import Position
from nitro.messages.topics import matches
from nitro.testing.nemesis.journal import read
from nitro.testing.nemesis.report import table
from nitro.testing.nemesis.visits import end_visits
from nitro.testing.oracle import Listener, Outcome, Sent, Verdict, check

__all__ = ["MOST_OUTAGE_SECONDS", "Findings", "Strike", "judge"]

MOST_OUTAGE_SECONDS: Final = 10.0
"""How long a worker may take to deliver again after a fault is healed."""
_SLACK_SECONDS: Final = 0.5
"""Other readers may be told of a loss this much later than those that measure the outage."""


@dataclass(slots=True)
class Strike:
    """One fault that struck.

    Attributes:
        name: of the fault, and of the one that joined it.
        may_lose: whether either may lose messages.
        began, healed: times, in seconds.
        is_measured: no other fault struck until every worker delivered again.
        outage_seconds: how long that took; None if it wasn't measured.
    """

    name: str
    may_lose: bool
    began: float
    healed: float
    is_measured: bool
    outage_seconds: float | None = None


@dataclass(slots=True)
class Findings:
    """The results of a run.

    Attributes:
        strikes: the faults that struck, in order.
        outcomes: how many messages were emitted, by outcome.
        verdict: of the oracle.
        late: outages that lasted too long, or to the end of the run, each as a sentence.
        undone: faults that could not be done, and why.
    """

    strikes: list[Strike] = field(default_factory=list)
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)
    late: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> dict[str, list[str]]:
        """All kinds of errors, by name."""
        return {**self.verdict.wrong, "late": self.late}

    @property
    def is_clean(self) -> bool:
        """Whether there were no errors."""
        return not any(self.wrong.values())

    def __str__(self) -> str:
        rows = []
        for name in sorted({strike.name for strike in self.strikes}):
            mine = [strike for strike in self.strikes if strike.name == name]
            outages = [strike.outage_seconds for strike in mine if strike.outage_seconds is not None]
            longest = f"{max(outages):.1f} s" if outages else "–"
            rows.append([name, "may lose" if mine[0].may_lose else "", str(len(mine)), longest])
        verdict, outcomes = self.verdict, self.outcomes
        emitted = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
        counts = ", ".join(f"{len(found)} {name.replace('_', ' ')}" for name, found in self.wrong.items())
        lines = [
            table(["fault", "", "times", "longest outage"], rows),
            f"emitted: {emitted}",
            f"heard: {verdict.messages} messages, {verdict.gaps} gaps, which cover {verdict.announced} messages; "
            f"{verdict.repeated} repeated in a new epoch",
            f"wrong: {counts}",
            *(f"  {name}: {text}" for name, found in self.wrong.items() for text in found[:10]),
            *(f"could not be done: {text}" for text in self.undone),
        ]
        return "\n".join(lines)


def judge(folder: Path) -> Findings:
    """Check the run whose journals are in `folder`.

    Raises:
        FileNotFoundError: it has none.
    """
    findings = Findings()
    sent = [message for path in sorted((folder / "producers").glob("*.jsonl")) for message in _sent(path)]
    for message in sent:
        findings.outcomes[message.outcome] = findings.outcomes.get(message.outcome, 0) + 1
    reports = [_report(path) for path in sorted((folder / "readers").glob("*.jsonl"))]
    listeners = [report.listener for report in reports]
    places = {key: place for report in reports for key, place in report.places.items()}
    end_visits([(report.listener, report.last) for report in reports if report.has_left], sent, places)
    for what, at, *more in read(folder / "faults.jsonl"):
        if what == "undone":
            findings.undone.append(": ".join(more))
        elif what == "unfinished":
            findings.late += more
        elif what == "healed":
            name, may_lose, began, is_measured = more
            findings.strikes.append(Strike(name, may_lose, began, at, is_measured))
    watchers = [report.listener for report in reports if report.stays]
    _measure(findings, watchers, {(message.producer, message.n): message for message in sent})
    findings.verdict = check(sent, listeners, list(_losses(findings.strikes)))
    return findings


def _losses(strikes: Sequence[Strike]) -> Iterator[tuple[float, float]]:
    """The intervals in which messages may have been lost, or a loss not yet noticed by every reader."""
    noticed_at = float("inf")
    for strike in reversed(strikes):
        if strike.outage_seconds is not None:
            noticed_at = strike.healed + strike.outage_seconds + _SLACK_SECONDS
        if strike.may_lose:
            yield strike.began, noticed_at


def _sent(path: Path) -> Iterable[Sent]:
    tried: dict[int, tuple[float, str]] = {}
    outcomes: dict[int, Outcome] = {}
    for what, at, numbers, *more in read(path):
        if what == "try":
            tried[numbers] = (at, more[0])
        else:
            for n in numbers if isinstance(numbers, list) else [numbers]:
                outcomes[n] = what
    for n, (at, topic) in tried.items():
        yield Sent(path.stem, n, outcomes.get(n, "unknown"), topic=topic, at=at)


@dataclass(slots=True)
class _Report:
    """What one reader heard.

    Attributes:
        stays: whether it stays at one worker.
        has_left: whether it left for good before the end of the run.
        last: its last position.
        places: the position of each message that it heard.
    """

    listener: Listener
    stays: bool
    has_left: bool = False
    last: Position | None = None
    places: dict[tuple[str, int], Position] = field(default_factory=dict)


def _report(path: Path) -> _Report:
    lines = iter(read(path))
    _, _, name, topics, stays = next(lines)
    heard: dict[str, bool] = {}  # by topic, of which there are few

    def hears(message: Sent) -> bool:
        if message.topic not in heard:
            heard[message.topic] = any(matches(topic, message.topic) for topic in topics)
        return heard[message.topic]

    report = _Report(Listener(name, since=float("inf"), hears=hears), stays)
    for what, at, *more in lines:
        match what:
            case "open":
                report.listener.since, report.listener.has_place = at, all(more[1:])
            case "message":
                report.listener.heard(more[0], more[1], more[2], at)
                report.last = report.places[more[1], more[2]] = _position(more[0])
            case "gap":
                report.listener.told_of_gap(more[0], at)
                report.last = _position(more[0])
            case "left":
                report.has_left = True
    return report


def _position(id: str) -> Position:
    position = Position.parse(id)
    assert position is not None, "or the listener would have refused it"
    return position


def _measure(findings: Findings, watchers: Sequence[Listener], sent: dict[tuple[str, int], Sent]) -> None:
    """Measure each outage by the readers that stay at one worker."""
    for strike in findings.strikes:
        if not strike.is_measured:
            continue
        delivered = [_delivers_again(watcher, strike.healed, sent) for watcher in watchers]
        strike.outage_seconds = max(delivered) - strike.healed
        if strike.outage_seconds > MOST_OUTAGE_SECONDS:
            slowest = watchers[delivered.index(max(delivered))].name
            seconds = "never" if max(delivered) == float("inf") else f"after {strike.outage_seconds:.1f} s"
            findings.late.append(
                f"{slowest} delivered again {seconds}, after {strike.name} was healed at {strike.healed:.3f}"
            )


def _delivers_again(watcher: Listener, since: float, sent: dict[tuple[str, int], Sent]) -> float:
    for key, at in watcher.messages_since(since):
        message = sent.get(key)
        if message is not None and message.at >= since:
            return at
    return float("inf")
