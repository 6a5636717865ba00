"""The producer: what writes one run, in one event loop.

Fed by `Run.send`; feeds the run's stream. Items of one tick are stored together, and so are those that come while the
store is busy; if it can't keep up, who sends has to wait. Every batch has a number, so that one which is stored twice
is there once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from typing import Any, Final, TypeAlias

from pydantic_core import to_json

from nitro.brokers.tasks import retry_seconds
from nitro.chance import CHANCE
from nitro.errors import NitroError, PayloadTooLarge
from nitro.events.payload import encode
from nitro.runs.errors import RunEnded, RunFailed, RunTaken
from nitro.runs.lease import Lease, why_ended
from nitro.runs.record import Ended, RunRecord, RunState, record_of
from nitro.streams.decisions import Append, Batch
from nitro.streams.errors import SequenceGap, StaleEpoch, StreamClosed, StreamError, StreamFull
from nitro.streams.streams import Streams

__all__ = ["PRODUCER", "Producer"]

log: Final = logging.getLogger("nitro.runs")

PRODUCER: Final = "run"
"""The id under which producers of runs number their batches."""
_WAITING_BYTES: Final = 256 * 1024
_WAITING_ITEMS: Final = 1_000
_YIELDS_EVERY: Final = 32
"""A producer that never waits lets others run after so many items."""
_REASON_CHARACTERS: Final = 2_000
"""The longest reason; what is longer is cut."""
_STATE_BYTES: Final = 16 * 1024
"""What the state of a run takes at most, with a reason, beside its record without one."""
_End: TypeAlias = tuple[RunState, str | None]
"""The state with which a producer ends its run, and the reason; `"running"` if somebody else is to go on."""


class Producer:
    """Made when its epoch is stored.

    Args:
        streams: where the run's stream is.
        key: of that stream.
        record: as it is stored.
        alarm_at: when others begin to watch the producer, as it is stored.
        max_payload_bytes: the longest item.
        on_stopped: called once when somebody else has ended the run or taken it up.

    Attributes:
        record: as it is stored.
        is_in_block: whether a block of the application writes it, which is broken off when its event loop ends.
    """

    def __init__(
        self,
        streams: Streams,
        key: str,
        record: RunRecord,
        alarm_at: float,
        *,
        next_batch: int,
        max_payload_bytes: int,
        on_stopped: Callable[[NitroError], object],
    ) -> None:
        self.record: RunRecord = record
        self.is_in_block: bool = False
        self._streams = streams
        self._key = key
        self._next_batch = next_batch
        self._max_payload_bytes = max_payload_bytes
        self._on_stopped = on_stopped
        self._state_bytes = len(to_json(record.to_json())) + _STATE_BYTES
        self._items: list[bytes] = []
        self._bytes = 0
        self._sent = 0
        self._end: _End | None = None
        self._has_ended = False
        self._is_leaving = False
        self._batch: tuple[list[bytes], _End | None] | None = None
        self._overflow: RunFailed | None = None
        self._failure: NitroError | None = None
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._lease = Lease(streams, key, record, alarm_at, self._lost)

    @property
    def is_over(self) -> bool:
        """Whether it writes nothing more."""
        return self._failure is not None or self._has_ended

    @property
    def has_end(self) -> bool:
        """Whether it is over, or will be once what it has is stored: it takes nothing more."""
        return self.is_over or self._end is not None

    async def send(self, item: Any) -> None:
        """Add an item; waits while too many are not stored yet.

        Raises:
            InvalidPayload, PayloadTooLarge: the item can't be sent; the run goes on.
            RunEnded, RunTaken: the run has ended, or somebody else writes it.
            RunFailed: it would exceed the run's limits.
        """
        self._check()
        encoded = encode(item, self._max_payload_bytes)
        longest = self._longest_record()
        if longest is not None and len(encoded) > longest:
            raise PayloadTooLarge(
                f"the item has {len(encoded):,} bytes of JSON; {self._streams.access.store.name} takes {longest:,} "
                f"beside the run's state; send a reference instead, or raise the server's limit"
            )
        self._items.append(encoded)
        self._bytes += len(encoded)
        self._sent += 1
        self._store()
        while self._bytes > _WAITING_BYTES or len(self._items) > _WAITING_ITEMS:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._room)
            self._check()
        if self._sent % _YIELDS_EVERY == 0:
            await asyncio.sleep(0)

    async def end(self, state: Ended, reason: str | None = None) -> None:
        """End the run, in one step with the last items that aren't stored yet; returns when that is stored.

        Raises:
            RunEnded, RunTaken, RunFailed: as `send`.
        """
        self._check()
        self._end = state, None if reason is None else _storable(reason)
        await self._stored()

    async def finish(self) -> None:
        """End the run well, unless it was told already how it ends; returns when that is stored.

        Raises:
            RunEnded, RunTaken, RunFailed: as `send`.
        """
        if self._end is None or self._is_leaving:
            await self.end("done")
        else:
            await self._stored()

    async def _stored(self) -> None:
        if not self.is_over:
            self._store()
        if self._task is not None:
            await asyncio.shield(self._task)
        if self._failure is not None:
            raise self._failure

    async def release(self) -> None:
        """Store what was sent, and leave the run to others, or end it as lost if nobody can go on: this process ends.

        The event loop may have cancelled the producer's task already; what that was storing is stored once.
        """
        self._is_leaving = True
        if self._end is None:
            self._end = ("running", None) if self.record.restart is not None else ("lost", "its producer was stopped")
        while not self.is_over:
            task = self._store()
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                task.cancel()
                raise

    def abandon(self) -> None:
        """Write nothing more: the event loop ends, and the store is closed."""
        if not self.is_over:
            self._stopped(RunTaken("this process ends, and writes the run no longer"))
        if self._task is not None:
            self._task.cancel()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._overflow is not None:
            raise self._overflow
        if self._is_leaving:
            raise RunTaken("this process ends, and writes the run no longer")
        if self._end is not None:
            raise RunEnded(f"the run is {self._end[0]} already; nothing can be added to it")

    def _store(self) -> asyncio.Task[None]:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work(), name=f"nitro producer of {self._key}")
        return self._task

    async def _work(self) -> None:
        """Store what there is, until there is nothing more. If it is cancelled, the next one stores the same batch.

        A batch that the store refuses has become another one, which is stored then.
        """
        try:
            while not self.is_over and (self._batch is not None or self._items or self._end is not None):
                if self._batch is None:
                    items = self._next_items()
                    self._batch = items, self._end if not self._items else None
                    self._make_room()
                items, end = self._batch
                if end is not None and end[0] == "running":
                    await self._lease.end()  # which would be renewed otherwise
                if await self._append(items, end):
                    self._batch = None
                    if end is not None:
                        await self._over()
        finally:
            self._task = None
            self._make_room()

    async def _over(self) -> None:
        """The end is stored."""
        self._has_ended = True
        await self._lease.end()
        if self._overflow is not None:
            self._stopped(self._overflow)

    def _next_items(self) -> list[bytes]:
        """Take what goes into one record: all there is, unless the store takes less at once."""
        items, longest = self._items, self._longest_record()
        if longest is None or self._bytes + len(items) <= longest:
            self._items, self._bytes = [], 0
            return items
        sizes = accumulate(len(item) + 1 for item in items)
        return self._first_items(max(1, sum(size <= longest for size in sizes)))

    def _first_items(self, count: int) -> list[bytes]:
        items = self._items
        self._items = items[count:]
        self._bytes = sum(map(len, self._items))
        return items[:count]

    def _longest_record(self) -> int | None:
        """What the store takes as one record beside the run's state; None if there is no limit."""
        longest = self._streams.access.store.max_body_bytes
        return None if longest is None else max(longest - self._state_bytes, 0)

    async def _append(self, items: list[bytes], end: _End | None) -> bool:
        """Store a batch; False if it can't be."""
        record = self.record
        batch = Batch(PRODUCER, record.epoch, self._next_batch)
        failures = 0
        while self._failure is None:
            now = time.time()
            alarm_at = now + record.silence_seconds
            if end is not None:
                record, alarm_at = _ended(record, end, now)
            request = Append(
                items,
                batch=batch,
                closes=record.state != "running",
                run=record.to_json() if end is not None else None,
                alarm_at=alarm_at,
                max_items=record.max_items,
                max_bytes=record.max_bytes,
            )
            try:
                await self._streams.append(self._key, request)
            except PayloadTooLarge as error:  # the store takes less than when the run was begun
                if len(items) > 1:
                    self._divide(items)
                elif items:
                    self._fill([], "an item is longer than the store takes by now")
                else:
                    await self._give_up(error)
            except StreamFull as error:
                self._fill(items[: error.fitting], f"the run is longer than it may be: {error}")
            except (StaleEpoch, SequenceGap):
                await self._fail(RunTaken("somebody else writes this run by now"))
            except StreamClosed as error:
                await self._fail(why_ended(record_of(error.state)))
            except StreamError:
                await self._fail(RunEnded("the run is gone: it was deleted"))
            except NitroError as error:  # also of a server that has come back and is not ready, or not as it was
                if failures == 0:
                    log.warning("the run %s waits for its store: %s", self._key, error)
                await asyncio.sleep(retry_seconds(failures) * CHANCE.uniform(0.5, 1))
                failures += 1
                continue
            else:
                self._next_batch += 1
                self.record = record
                self._lease.renewed(alarm_at)
                return True
            return False
        return False

    def _divide(self, items: list[bytes]) -> None:
        """Store the first half of a batch by itself."""
        self._items = items + self._items
        self._batch = self._first_items(len(items) // 2), None

    def _fill(self, items: list[bytes], reason: str) -> None:
        """End the run as failed, with the last items that it has room for, and without what else isn't stored yet."""
        self._items, self._bytes, self._end = [], 0, ("failed", reason)
        self._batch, self._overflow = (items, self._end), RunFailed(reason)
        self._make_room()

    async def _give_up(self, error: PayloadTooLarge) -> None:
        """Not even the state of the run can be stored: it stays as it is until its lease ends, and is lost then."""
        log.error("the end of the run %s can't be stored: %s", self._key, error)
        await self._fail(RunFailed(f"the run's state is longer than the store takes by now: {error}"))

    async def _fail(self, error: NitroError) -> None:
        await self._lease.end()
        self._stopped(error)

    def _lost(self, error: NitroError) -> None:
        """The lease is lost; or the run has ended, as this producer has stored."""
        if self._end is None:
            self._stopped(error)

    def _stopped(self, error: NitroError) -> None:
        if self._failure is None:
            self._failure = error
            self._items, self._bytes = [], 0
            self._make_room()
            self._on_stopped(error)

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    def __repr__(self) -> str:
        state = "over" if self.is_over else f"{len(self._items)} items to store"
        return f"<Producer of {self._key}, {state}>"


def _storable(reason: str) -> str:
    """A reason that isn't too long; halves of surrogate pairs, such as file names may have, are written as escapes."""
    text = reason[:_REASON_CHARACTERS].encode("utf-8", "backslashreplace").decode()
    return text[:_REASON_CHARACTERS]


def _ended(record: RunRecord, end: _End, now: float) -> tuple[RunRecord, float]:
    """The record of a run that its producer ends, and when somebody has to look at it."""
    state, reason = end
    if state == "running":
        return replace(record, is_released=True), now
    return replace(record, state=state, reason=reason, ended_at=now), now + record.keep_seconds
