"""Statistics: what a process has delivered, and what is queued. Counted where it happens, summed up on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from nitro.access.admission import Admission, Refusal
from nitro.brokers.base import Broker
from nitro.messages.message import GapReason
from nitro.settings import Overflow

__all__ = ["Counts", "EndReason", "Statistics", "gather"]

EndReason: TypeAlias = Literal["slow", "stuck", "unconfirmed", "broken", "expired", "age", "dismissed"]
"""Why the delivery ended a client; see `Statistics`."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """One process at one moment. Counts run from its start; sizes are bytes of JSON.

    Attributes:
        clients: connected clients.
        direct: those among them whose connection was handed over by the server; see `nitro.uvicorn`.
        feeds: different interests among them, for each event loop.
        loops: event loops that have clients.
        messages_in, bytes_in: what was emitted with a result.
        messages_out, bytes_out: what clients took, each message once for each client.
        replays: how many clients reconnected with an id.
        gaps: how many gaps clients got, by reason.
        dropped: messages that were dropped because too much was queued for a client, by its overflow policy.
        ended: clients that were ended by the delivery, by reason: `"slow"` (over their limit), `"stuck"` (a write was
            blocked for too long), `"unconfirmed"` (its server took too much over HTTP/2 and never waited for it),
            `"broken"` (its sink raised), `"expired"` (its rights), `"age"` (its stream was open for
            `NITRO_MAX_STREAM_SECONDS`) or `"dismissed"` (by `disconnect_user`).
        refused: clients that were refused, by the limit: `"clients"`, `"user"`, `"address"`, `"topics"` or `"rate"`.
        slowest_messages, slowest_bytes: what is queued for the client that lags furthest behind.
        head: position of the newest message.
        retained_messages, retained_bytes, retained_seconds: what can be replayed, and the age of the oldest message.
        publish_queue_messages: messages that were emitted and are not yet acknowledged by the broker.
        skipped_entries: entries of the broker's log that could not be delivered.
        broker_gone_seconds: for how long the broker has been unreachable; 0 while it is reachable.
        broker_refused: why it can't be used as it is configured, and the remedy; empty if waiting may help.
    """

    clients: int
    direct: int
    feeds: int
    loops: int
    messages_in: int
    bytes_in: int
    messages_out: int
    bytes_out: int
    replays: int
    gaps: Mapping[GapReason, int]
    dropped: Mapping[Overflow, int]
    ended: Mapping[EndReason, int]
    refused: Mapping[Refusal, int]
    slowest_messages: int
    slowest_bytes: int
    head: str
    retained_messages: int
    retained_bytes: int
    retained_seconds: float
    publish_queue_messages: int
    skipped_entries: int
    broker_gone_seconds: float
    broker_refused: str


class Counts:
    """The counts of one lane, updated in its loop; or the hub's sum over removed lanes, of which no client is left.

    Attributes:
        direct: how many direct streams there are now; the others only grow.
    """

    __slots__ = ("bytes", "direct", "dropped", "ended", "gaps", "messages", "replays")

    def __init__(self) -> None:
        self.direct: int = 0
        self.messages: int = 0
        self.bytes: int = 0
        self.replays: int = 0
        self.gaps: Counter[GapReason] = Counter()
        self.dropped: Counter[Overflow] = Counter()
        self.ended: Counter[EndReason] = Counter()

    def add(self, other: Counts) -> None:
        """Add the counts of `other`."""
        self.messages += other.messages
        self.bytes += other.bytes
        self.replays += other.replays
        self.gaps.update(dict(other.gaps))  # copied at once: its lane may count on meanwhile
        self.dropped.update(dict(other.dropped))
        self.ended.update(dict(other.ended))

    def __repr__(self) -> str:
        return f"<Counts of {self.messages} messages>"


class _Waits(Protocol):
    @property
    def waiting(self) -> tuple[int, int]: ...


class _Feeds(Sized, Protocol):
    def behind(self) -> Iterable[_Waits]: ...


class Share(Protocol):
    """What `gather` reads of one lane."""

    @property
    def counts(self) -> Counts: ...

    @property
    def clients(self) -> Sized: ...

    @property
    def feeds(self) -> _Feeds: ...


def gather(
    lanes: Sequence[Share], gone: Counts, emitted: tuple[int, int], broker: Broker, admission: Admission
) -> Statistics:
    """The sum of all lanes of a process, including removed ones (`gone`), with what is queued in them."""
    counts = Counts()
    for each in (gone, *(lane.counts for lane in lanes)):
        counts.add(each)
    waiting = [outbox.waiting for lane in lanes for outbox in lane.feeds.behind()]
    retained, state = broker.retained, broker.state
    return Statistics(
        clients=sum(len(lane.clients) for lane in lanes),
        direct=sum(lane.counts.direct for lane in lanes),
        feeds=sum(len(lane.feeds) for lane in lanes),
        loops=len(lanes),
        messages_in=emitted[0],
        bytes_in=emitted[1],
        messages_out=counts.messages,
        bytes_out=counts.bytes,
        replays=counts.replays,
        gaps=dict(counts.gaps),
        dropped=dict(counts.dropped),
        ended=dict(counts.ended),
        refused=dict(admission.refused),
        slowest_messages=max((messages for messages, _ in waiting), default=0),
        slowest_bytes=max((size for _, size in waiting), default=0),
        head=str(broker.head),
        retained_messages=retained.messages,
        retained_bytes=retained.bytes,
        retained_seconds=retained.seconds,
        publish_queue_messages=state.unacknowledged,
        skipped_entries=state.skipped,
        broker_gone_seconds=state.gone_seconds,
        broker_refused=state.why_refused,
    )
