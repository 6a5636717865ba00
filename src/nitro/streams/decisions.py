"""Decisions: what a request does to the state of a stream. Pure functions; `streams.py` commits what they return.

The rules are those of the Durable Streams Protocol 1.0, sections 4 and 5.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Final, NamedTuple

from nitro.streams.base import Stored
from nitro.streams.errors import (
    ContentTypeMismatch,
    SequenceGap,
    SequenceRegression,
    StaleEpoch,
    StreamClosed,
    StreamExists,
    StreamFull,
    StreamGone,
    StreamNotFound,
    TooMany,
    called,
)
from nitro.streams.errors import InvalidOffset as InvalidNumber
from nitro.streams.items import media_type
from nitro.streams.offsets import Offset
from nitro.streams.state import Fork, Producer, StreamState

__all__ = [
    "Append",
    "Batch",
    "Creation",
    "Current",
    "Decision",
    "append",
    "create",
    "delete",
    "expires",
    "expiry",
    "forked",
    "is_expired",
    "live",
    "unforked",
]

MAX_FORKS: Final = 1_000
"""Forks that a stream may have: each is a key in its state."""
MAX_PRODUCERS: Final = 1_000
"""Producers that a stream remembers. One more, and the one that has been silent for longest counts as new."""
_CHECKS_FORKS_EVERY_SECONDS: Final = 60.0


class Batch(NamedTuple):
    """Which batch of an idempotent producer this is."""

    producer: str
    epoch: int
    seq: int


class Current(NamedTuple):
    """What there is of a key now: what is stored, and that decoded."""

    stored: Stored
    state: StreamState

    @property
    def tail(self) -> Offset:
        """The place behind everything."""
        return Offset(self.stored.tail)

    @property
    def unchanged(self) -> Decision:
        """The decision to leave it as it is."""
        return Decision(self.state, alarm_at=self.stored.alarm_at, is_changed=False)

    def postponed(self, alarm_at: float) -> Current:
        """The same with another alarm, which is no commit."""
        return self._replace(stored=self.stored._replace(alarm_at=alarm_at))

    def is_as(self, seen: Current) -> bool:
        """Whether nothing was committed since `seen`."""
        return self.stored.version == seen.stored.version


class Decision(NamedTuple):
    """What is to be committed.

    Attributes:
        state: the new state; None deletes the stream.
        items: what is appended.
        alarm_at: when somebody has to look at it next.
        is_changed: False if there is nothing to commit: it was done before.
        tail: of a new stream without items.
    """

    state: StreamState | None
    items: Sequence[bytes] = ()
    alarm_at: float | None = None
    is_changed: bool = True
    tail: int = 0


@dataclass(frozen=True, slots=True)
class Creation:
    """A stream as it is asked for.

    Attributes:
        content_type: None takes the source's, or `application/octet-stream`.
        ttl_seconds, expires_at, expires_text: how long it lasts; a fork that says nothing takes its source's.
        is_closed: whether the items are all there will ever be.
        items: what it begins with.
        fork: where it leaves its source, and what that one's state was.
        run: what a run keeps.
    """

    content_type: str | None = None
    ttl_seconds: float | None = None
    expires_at: float | None = None
    expires_text: str | None = None
    is_closed: bool = False
    items: Sequence[bytes] = ()
    fork: Fork | None = None
    source: StreamState | None = None
    run: Mapping[str, Any] | None = None
    alarm_at: float | None = None

    def state(self) -> StreamState:
        """The state of the stream, new."""
        source, ttl, expires_at, text = self.source, self.ttl_seconds, self.expires_at, self.expires_text
        if source is not None and ttl is None and expires_at is None:
            ttl, expires_at, text = source.ttl_seconds, source.expires_at, source.expires_text
        inherited = source.content_type if source is not None else "application/octet-stream"
        return StreamState(
            id=secrets.token_hex(6),
            content_type=self.content_type or inherited,
            ttl_seconds=ttl,
            expires_at=expires_at,
            expires_text=text,
            is_closed=self.is_closed,
            fork=self.fork,
            items=len(self.items),
            bytes=sum(map(len, self.items)),
            run=self.run,
        )


@dataclass(frozen=True, slots=True)
class Append:
    """What is asked to be appended.

    Attributes:
        items: in their order; none only to close it, or to change its run.
        content_type: of the items; None isn't compared.
        seq: greater than all before it, by characters; None isn't compared.
        batch: which batch of an idempotent producer it is.
        closes: whether nothing may follow it.
        run: what the run keeps from now on; None leaves it as it is.
        alarm_at: when somebody has to look at a run next.
        max_items, max_bytes: what the stream may hold.
    """

    items: Sequence[bytes] = ()
    content_type: str | None = None
    seq: str | None = None
    batch: Batch | None = None
    closes: bool = False
    run: Mapping[str, Any] | None = None
    alarm_at: float | None = None
    max_items: int | None = None
    max_bytes: int | None = None


def expiry(state: StreamState, now: float) -> float | None:
    """When the stream expires if it is neither read nor written from `now` on; None for never."""
    return now + state.ttl_seconds if state.ttl_seconds is not None else state.expires_at


def is_expired(current: Current, now: float) -> bool:
    """Whether it should have been deleted by now."""
    alarm_at = current.stored.alarm_at
    return alarm_at is not None and alarm_at <= now and _has_expiry(current.state)


def expires(state: StreamState) -> bool:
    """Whether nobody needs the stream after its alarm."""
    return _has_expiry(state) and not state.forks


def _has_expiry(state: StreamState) -> bool:
    return (
        not state.is_deleted
        and (state.ttl_seconds is not None or state.expires_at is not None)
        and (state.run is None or state.is_closed)
    )


def live(current: Current | None, key: str, now: float) -> Current:
    """What there is of the stream, for who may read or write it.

    Raises:
        StreamNotFound: it doesn't exist, or no longer.
        StreamGone: only its forks still read it.
    """
    if current is None:
        raise StreamNotFound(f"there is no stream {called(key)}")
    if current.state.is_deleted or (is_expired(current, now) and current.state.forks):
        raise StreamGone(f"the stream {called(key)} was deleted; only its forks still have what they inherited")
    if is_expired(current, now):
        raise StreamNotFound(f"the stream {called(key)} has expired")
    return current


def create(current: Current | None, creation: Creation, key: str, now: float) -> Decision:
    """A new stream, or the one that was made in the same way.

    Raises:
        StreamExists: there is another one of this key.
    """
    if current is None:
        state = creation.state()
        alarm_at = creation.alarm_at if creation.alarm_at is not None else expiry(state, now)
        return Decision(state, creation.items, alarm_at, tail=creation.fork.version if creation.fork else 0)
    state = current.state
    if state.is_deleted:
        raise StreamExists(f"the stream {called(key)} was deleted, and its forks still read it: its key isn't free yet")
    wanted = creation.state()
    alike = (
        media_type(state.content_type) == media_type(wanted.content_type)
        and (state.ttl_seconds, state.expires_at) == (wanted.ttl_seconds, wanted.expires_at)
        and state.is_closed == wanted.is_closed
        and _is_same_fork(state.fork, wanted.fork)
        and (state.run is None) == (wanted.run is None)
    )
    if not alike:
        raise StreamExists(f"there is a stream {called(key)} of another type, lifetime, source or end")
    return current.unchanged


def _is_same_fork(one: Fork | None, other: Fork | None) -> bool:
    if one is None or other is None:
        return one is other
    if (one.source, one.sub_offset) != (other.source, other.sub_offset):
        return False
    return one.offset == other.offset if one.offset and other.offset else not other.offset


def append(current: Current, request: Append, now: float) -> Decision:
    """The stream with what is asked for.

    Raises:
        StreamClosed, ContentTypeMismatch, StaleEpoch, SequenceGap, InvalidOffset, SequenceRegression, StreamFull: in
            this order, as the protocol demands for those that coincide.
    """
    state, batch = current.state, request.batch
    if state.is_closed:
        if batch is not None and state.closed_by == tuple(batch):
            return current.unchanged
        if request.closes and not request.items and batch is None and request.run is None:
            return current.unchanged
        raise StreamClosed("the stream is closed: it takes nothing more", current.tail, state)
    if (
        request.items
        and request.content_type is not None
        and media_type(request.content_type) != media_type(state.content_type)
    ):
        raise ContentTypeMismatch(f"the stream is of {state.content_type!r}, and this is {request.content_type!r}")
    if batch is not None and not _is_next(state.producers.get(batch.producer), batch):
        return current.unchanged
    if request.seq is not None and state.last_seq is not None and request.seq.encode() <= state.last_seq.encode():
        raise SequenceRegression(f"Stream-Seq {request.seq!r} is not greater than the last one, {state.last_seq!r}")
    items, size = state.items + len(request.items), state.bytes + sum(map(len, request.items))
    if request.max_items is not None and items > request.max_items:
        raise StreamFull(f"it would have {items:,} items, and may have {request.max_items:,}", _fitting(state, request))
    if request.max_bytes is not None and size > request.max_bytes:
        raise StreamFull(f"it would have {size:,} bytes, and may have {request.max_bytes:,}", _fitting(state, request))
    producers = state.producers
    if batch is not None:
        producers = {id: place for id, place in producers.items() if id != batch.producer}
        producers[batch.producer] = Producer(batch.epoch, batch.seq)
        if len(producers) > MAX_PRODUCERS:
            del producers[next(iter(producers))]
    changed = replace(
        state,
        items=items,
        bytes=size,
        producers=producers,
        last_seq=request.seq if request.seq is not None else state.last_seq,
        is_closed=request.closes,
        closed_by=(batch.producer, batch.epoch, batch.seq) if request.closes and batch is not None else None,
        run=request.run if request.run is not None else state.run,
    )
    alarm_at = request.alarm_at
    if alarm_at is None:
        alarm_at = current.stored.alarm_at if state.run is not None else expiry(changed, now)
    return Decision(changed, request.items, alarm_at)


def _fitting(state: StreamState, request: Append) -> int:
    """How many of the items a stream that may not be longer has room for."""
    count = len(request.items)
    if request.max_items is not None:
        count = min(count, request.max_items - state.items)
    if request.max_bytes is not None:
        sizes = accumulate(map(len, request.items), initial=state.bytes)
        count = min(count, sum(size <= request.max_bytes for size in sizes) - 1)
    return max(count, 0)


def _is_next(place: Producer | None, batch: Batch) -> bool:
    """Whether the batch is the producer's next one; False if it was appended before."""
    if place is not None and batch.epoch < place.epoch:
        raise StaleEpoch(f"the producer {batch.producer!r} is at epoch {place.epoch}, not {batch.epoch}", place.epoch)
    if place is None or batch.epoch > place.epoch:
        if batch.seq == 0:
            return True
        if place is None:
            raise SequenceGap(f"batch {batch.seq} comes before batch 0", 0, batch.seq)
        raise InvalidNumber(f"an epoch begins with batch 0, not {batch.seq}")
    if batch.seq <= place.seq:
        return False
    if batch.seq > place.seq + 1:
        raise SequenceGap(f"batch {batch.seq} comes before batch {place.seq + 1}", place.seq + 1, batch.seq)
    return True


def delete(current: Current, now: float) -> Decision:
    """Without the stream; with its records only as long as forks need them."""
    if not current.state.forks:
        return Decision(None)
    return Decision(replace(current.state, is_deleted=True), alarm_at=now + _CHECKS_FORKS_EVERY_SECONDS)


def forked(current: Current, fork: str, now: float) -> Decision:
    """With one more fork.

    Raises:
        TooMany: it has as many as it may have.
    """
    state = current.state
    if fork in state.forks:
        return current.unchanged
    if len(state.forks) >= MAX_FORKS:
        raise TooMany(f"a stream may have {MAX_FORKS:,} forks")
    return Decision(replace(state, forks=(*state.forks, fork)), alarm_at=_renewed(current, now))


def unforked(current: Current, forks: Sequence[str], now: float) -> Decision:
    """Without these forks; gone, if it was only there for them."""
    state = current.state
    left = tuple(each for each in state.forks if each not in forks)
    if not left and state.is_deleted:
        return Decision(None)
    alarm_at = now + _CHECKS_FORKS_EVERY_SECONDS if state.is_deleted else _renewed(current, now)
    return Decision(replace(state, forks=left), alarm_at=alarm_at, is_changed=left != state.forks or state.is_deleted)


def _renewed(current: Current, now: float) -> float | None:
    """The alarm of a stream whose forks change: its time to live begins anew, unless it has expired.

    The alarm that is remembered can't be kept: another process may have postponed it.
    """
    if current.state.run is not None or is_expired(current, now):
        return current.stored.alarm_at
    return expiry(current.state, now)
