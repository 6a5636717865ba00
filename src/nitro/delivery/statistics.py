"""Statistics: what a process has delivered, and what is queued. Counted where it happens, summed up on request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias, get_args

from nitro.access.admission import Admission, Refusal
from nitro.brokers.base import Broker
from nitro.delivery.histogram import CONNECTION_BOUNDS, DURATION_BOUNDS, Histogram, HistogramValue
from nitro.delivery.loop_lag import LoopLag
from nitro.messages.message import GapReason
from nitro.settings import Overflow

__all__ = ["Counts", "DisconnectReason", "EndReason", "ResumeResult", "Statistics", "gather"]

EndReason: TypeAlias = Literal["slow", "stuck", "unconfirmed", "broken", "expired", "age", "dismissed"]
"""Why the delivery ended a client; see `Statistics`."""
DisconnectReason: TypeAlias = EndReason | Literal["closed", "shutdown"]
"""Why a client is gone; see `Statistics`."""
ResumeResult: TypeAlias = Literal["replayed", "gap", "rows"]
"""What a client got that reconnected with an id; see `Statistics`."""

_END_REASONS: Final[tuple[EndReason, ...]] = get_args(EndReason)


@dataclass(frozen=True, slots=True)
class Statistics:
    """One process at one moment. Counts run from its start; sizes are bytes of JSON.

    Attributes:
        clients: connected clients.
        users: different users among them.
        direct: those among them whose connection was handed over by the server; see `nitro.uvicorn`.
        feeds: different interests among them, for each event loop.
        loops: event loops that have clients.
        messages_in, bytes_in: what was emitted with a result.
        messages_out, bytes_out: what clients took, each message once for each client.
        connects: how many clients have connected.
        disconnects: how many are gone again, by reason: those of `ended`, `"closed"` (by the client or the application)
            or `"shutdown"` (with their server).
        replays: how many clients reconnected with an id.
        resumes: what clients got first that reconnected with an id: `"replayed"` (what they missed), `"gap"` (the log
            no longer has it) or `"rows"` (all rows of a live query again).
        gaps: how many gaps clients got, by reason.
        dropped: messages that were dropped because too much was queued for a client, by its overflow policy.
        ended: clients that were ended by the delivery, by reason: `"slow"` (over their limit), `"stuck"` (a write was
            blocked for too long), `"unconfirmed"` (its server took too much over HTTP/2 and never waited for it),
            `"broken"` (its sink raised), `"expired"` (its rights), `"age"` (its stream was open for
            `NITRO_MAX_STREAM_SECONDS`) or `"dismissed"` (by `disconnect_user`).
        refused: clients that were refused, by the limit: `"clients"`, `"user"`, `"address"`, `"topics"` or `"rate"`.
        connection_seconds: for how long clients were connected that are gone.
        establish_seconds: from when a response was called until its server had taken its first bytes.
        delivery_lag_seconds: from when an event loop was handed a message, by `emit` or by what reads the broker's log,
            until it was written to each client that was not busy with earlier ones; of a sample of the ticks.
        loop_lag_seconds: how late event loops call their timers: the longest delay within 15 seconds.
        slowest_messages, slowest_bytes: what is queued for the client that lags furthest behind.
        head: position of the newest message.
        retained_messages, retained_bytes, retained_seconds: what can be replayed, and the age of the oldest message.
        publish_queue_messages, publish_queue_bytes: messages that were emitted and are not yet acknowledged by the
            broker, and their memory.
        broker_lag_messages: how many messages this process has yet to read of those that it knows to be in the log:
            its own, and what was there when a stream began or `nitro.metrics` was scraped.
        skipped_entries: entries of the broker's log that could not be delivered.
        broker_gone_seconds: for how long the broker has been unreachable; 0 while it is reachable.
        broker_refused: why it can't be used as it is configured, and the remedy; empty if waiting may help.
    """

    clients: int
    users: int
    direct: int
    feeds: int
    loops: int
    messages_in: int
    bytes_in: int
    messages_out: int
    bytes_out: int
    connects: int
    disconnects: Mapping[DisconnectReason, int]
    replays: int
    resumes: Mapping[ResumeResult, int]
    gaps: Mapping[GapReason, int]
    dropped: Mapping[Overflow, int]
    ended: Mapping[EndReason, int]
    refused: Mapping[Refusal, int]
    connection_seconds: HistogramValue
    establish_seconds: HistogramValue
    delivery_lag_seconds: HistogramValue
    loop_lag_seconds: float
    slowest_messages: int
    slowest_bytes: int
    head: str
    retained_messages: int
    retained_bytes: int
    retained_seconds: float
    publish_queue_messages: int
    publish_queue_bytes: int
    broker_lag_messages: int
    skipped_entries: int
    broker_gone_seconds: float
    broker_refused: str


class Counts:
    """The counts of one lane, updated in its loop; or the hub's sum over removed lanes, of which no client is left.

    Attributes:
        direct: how many direct streams there are now; the others only grow.
    """

    __slots__ = (
        "bytes",
        "connection_seconds",
        "connects",
        "delivery_lag_seconds",
        "direct",
        "disconnects",
        "dropped",
        "establish_seconds",
        "gaps",
        "messages",
        "resumes",
    )

    def __init__(self) -> None:
        self.direct: int = 0
        self.messages: int = 0
        self.bytes: int = 0
        self.connects: int = 0
        self.resumes: Counter[ResumeResult] = Counter()
        self.gaps: Counter[GapReason] = Counter()
        self.dropped: Counter[Overflow] = Counter()
        self.disconnects: Counter[DisconnectReason] = Counter()
        self.connection_seconds: Histogram = Histogram(CONNECTION_BOUNDS)
        self.establish_seconds: Histogram = Histogram(DURATION_BOUNDS)
        self.delivery_lag_seconds: Histogram = Histogram(DURATION_BOUNDS)

    def disconnect(self, reason: DisconnectReason, seconds: float) -> None:
        """Count a client that is gone, after so many seconds."""
        self.disconnects[reason] += 1
        self.connection_seconds.observe(seconds)

    def add(self, other: Counts) -> None:
        """Add the counts of `other`."""
        self.messages += other.messages
        self.bytes += other.bytes
        self.connects += other.connects
        self.resumes.update(dict(other.resumes))  # copied at once: its lane may count on meanwhile
        self.gaps.update(dict(other.gaps))
        self.dropped.update(dict(other.dropped))
        self.disconnects.update(dict(other.disconnects))
        self.connection_seconds.add(other.connection_seconds)
        self.establish_seconds.add(other.establish_seconds)
        self.delivery_lag_seconds.add(other.delivery_lag_seconds)

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

    @property
    def loop_lag(self) -> LoopLag: ...


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
        users=admission.users,
        direct=sum(lane.counts.direct for lane in lanes),
        feeds=sum(len(lane.feeds) for lane in lanes),
        loops=len(lanes),
        messages_in=emitted[0],
        bytes_in=emitted[1],
        messages_out=counts.messages,
        bytes_out=counts.bytes,
        connects=counts.connects,
        disconnects=dict(counts.disconnects),
        replays=counts.resumes["replayed"] + counts.resumes["gap"],
        resumes=dict(counts.resumes),
        gaps=dict(counts.gaps),
        dropped=dict(counts.dropped),
        ended={reason: counts.disconnects[reason] for reason in _END_REASONS if reason in counts.disconnects},
        refused=dict(admission.refused),
        connection_seconds=counts.connection_seconds.value,
        establish_seconds=counts.establish_seconds.value,
        delivery_lag_seconds=counts.delivery_lag_seconds.value,
        loop_lag_seconds=max((lane.loop_lag.seconds for lane in lanes), default=0.0),
        slowest_messages=max((messages for messages, _ in waiting), default=0),
        slowest_bytes=max((size for _, size in waiting), default=0),
        head=str(broker.head),
        retained_messages=retained.messages,
        retained_bytes=retained.bytes,
        retained_seconds=retained.seconds,
        publish_queue_messages=state.unacknowledged,
        publish_queue_bytes=state.unacknowledged_bytes,
        broker_lag_messages=state.lag_messages,
        skipped_entries=state.skipped,
        broker_gone_seconds=state.gone_seconds,
        broker_refused=state.why_refused,
    )
