"""The producer: what writes one run, in one event loop.

Fed by `Run.send`; feeds the run's stream. Items of one tick are stored together, and so are those that come while the
store is busy; if it can't keep up, who sends has to wait. Every batch has a number, so that one which is stored twice
is there once. While there is nothing to store, the lease is renewed; so nobody takes a run up whose producer is alive.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from nitro.errors import BrokerUnavailable, NitroError
from nitro.events.payload import encode
from nitro.runs.errors import RunEnded, RunFailed, RunTaken
from nitro.runs.record import Ended, RunRecord, record_of
from nitro.streams.decisions import Append, Batch
from nitro.streams.errors import SequenceGap, StaleEpoch, StreamClosed, StreamError, TooMany
from nitro.streams.streams import Streams

__all__ = ["PRODUCER", "Producer"]

log: Final = logging.getLogger("nitro.runs")

PRODUCER: Final = "run"
"""The id under which producers of runs number their batches."""
_WAITING_BYTES: Final = 256 * 1024
_WAITING_ITEMS: Final = 1_000
_RETRY_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0)
_YIELDS_EVERY: Final = 32
"""A producer that never waits lets others run after so many items."""


class Producer:
    """Made when its epoch is stored.

    Args:
        streams: where the run's stream is.
        key: of that stream.
        record: as it is stored.
        alarm_at: when the lease ends, as it is stored.
        max_payload_bytes: the longest item.
        on_stopped: called once when somebody else has ended the run or taken it up.
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
        self.record = record
        self._streams = streams
        self._key = key
        self._alarm_at = alarm_at
        self._next_batch = next_batch
        self._max_payload_bytes = max_payload_bytes
        self._on_stopped = on_stopped
        self._items: list[bytes] = []
        self._bytes = 0
        self._sent = 0
        self._end: tuple[Ended, str | None] | None = None
        self._failure: NitroError | None = None
        self._task: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        loop = asyncio.get_running_loop()
        self._guard = loop.create_task(self._keep(), name=f"nitro lease of {key}")

    @property
    def is_over(self) -> bool:
        """Whether it writes nothing more."""
        return self._failure is not None or (self._end is not None and self._task is None)

    async def send(self, item: Any) -> None:
        """Add an item; waits while too many are not stored yet.

        Raises:
            InvalidPayload, PayloadTooLarge: the item can't be sent; the run goes on.
            RunEnded, RunTaken: the run has ended, or somebody else writes it.
            RunFailed: it would exceed the run's limits.
        """
        self._check()
        encoded = encode(item, self._max_payload_bytes)
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
        """End the run, in one step with the items that aren't stored yet; returns when that is stored.

        Raises:
            RunEnded, RunTaken, RunFailed: as `send`.
        """
        self._check()
        self._end = state, reason
        self._store()
        if self._task is not None:
            await asyncio.shield(self._task)
        if self._failure is not None:
            raise self._failure

    async def release(self) -> None:
        """Give up the lease, so that the run is taken up or counts as lost without delay: this process ends."""
        if self.is_over:
            return
        self._failure = RunTaken("this process ends")
        await self._stop_guard()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._streams.access.postpone(self._key, self._alarm_at, time.time())

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._end is not None:
            raise RunEnded(f"the run is {self._end[0]} already; nothing can be added to it")

    def _store(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name=f"nitro producer of {self._key}")

    async def _work(self) -> None:
        """Store what there is, until there is nothing more."""
        try:
            while self._failure is None and (self._items or self._end is not None):
                items, self._items, self._bytes, end = self._items, [], 0, self._end
                self._make_room()
                await self._append(items, end)
                if end is not None:
                    await self._stop_guard()
                    break
        finally:
            self._task = None
            self._make_room()

    async def _append(self, items: list[bytes], end: tuple[Ended, str | None] | None) -> None:
        record, now = self.record, time.time()
        if end is not None:
            record = replace(record, state=end[0], reason=end[1], ended_at=now)
        batch = Batch(PRODUCER, record.epoch, self._next_batch)
        failures = 0
        while self._failure is None:
            now = time.time()
            alarm_at = now + (record.lease_seconds if end is None else record.keep_seconds)
            request = Append(
                items,
                batch=batch,
                closes=end is not None,
                run=record.to_json() if end is not None else None,
                alarm_at=alarm_at,
                max_items=record.max_items,
                max_bytes=record.max_bytes,
            )
            try:
                await self._streams.append(self._key, request)
            except BrokerUnavailable as error:
                if failures == 0:
                    log.warning("the run %s waits for its store: %s", self._key, error)
                await asyncio.sleep(_RETRY_SECONDS[min(failures, len(_RETRY_SECONDS) - 1)] * random.uniform(0.5, 1))  # noqa: S311
                failures += 1
            except TooMany as error:
                reason = f"the run is longer than it may be: {error}"
                self._items, self._bytes, self._end = [], 0, ("failed", reason)
                await self._append([], self._end)
                await self._fail(RunFailed(reason))
                return
            except (StaleEpoch, SequenceGap):
                await self._fail(RunTaken("somebody else writes this run by now"))
                return
            except StreamClosed as error:
                await self._fail(_why(record_of(error.state)))
                return
            except StreamError:
                await self._fail(RunEnded("the run is gone: it was deleted"))
                return
            else:
                self._next_batch += 1
                self._alarm_at, self.record = alarm_at, record
                return

    async def _keep(self) -> None:
        """Renew the lease while nothing is stored, and notice when the run is no longer this producer's."""
        lease = self.record.lease_seconds
        with self._streams.access.reading(self._key) as tail:
            while self._failure is None:
                version = tail.current.stored.version if tail.current is not None else 0
                await tail.changed(version, lease / 4)
                try:
                    current = await self._streams.access.newest(tail)
                    record = record_of(current)
                    if record.epoch != self.record.epoch:
                        self._stopped(RunTaken("somebody else writes this run by now"))
                    elif current.state.is_closed and self._end is None:
                        self._stopped(_why(record))
                    elif (
                        not current.state.is_closed
                        and self._alarm_at - time.time() < lease * 0.75
                        and self._task is None
                    ):
                        await self._renew(lease)
                except BrokerUnavailable:
                    await asyncio.sleep(random.uniform(0.2, 0.5))  # noqa: S311
                except StreamError:
                    if self._end is None:
                        self._stopped(RunEnded("the run is gone: it was deleted"))
                    return

    async def _renew(self, lease: float) -> None:
        before, to = self._alarm_at, time.time() + lease
        if await self._streams.access.postpone(self._key, before, to):
            if self._alarm_at == before:
                self._alarm_at = to
            return
        current = await self._streams.access.load(self._key)  # somebody was about to take the run up, and didn't
        if current is not None and record_of(current).epoch == self.record.epoch and self._alarm_at == before:
            self._alarm_at = current.stored.alarm_at or 0.0

    async def _fail(self, error: NitroError) -> None:
        await self._stop_guard()
        self._stopped(error)

    def _stopped(self, error: NitroError) -> None:
        if self._failure is None:
            self._failure = error
            self._items, self._bytes = [], 0
            self._make_room()
            self._on_stopped(error)

    async def _stop_guard(self) -> None:
        if self._guard is not asyncio.current_task():
            self._guard.cancel()
            await asyncio.gather(self._guard, return_exceptions=True)

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    def __repr__(self) -> str:
        state = "over" if self.is_over else f"{len(self._items)} items to store"
        return f"<Producer of {self._key}, {state}>"


def _why(record: RunRecord) -> NitroError:
    """Why a run that has ended takes nothing more."""
    if record.state == "lost":
        return RunTaken("this producer was silent for longer than its lease, so the run counts as lost")
    return RunEnded(f"the run is {record.state}; nothing can be added to it")
