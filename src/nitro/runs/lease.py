"""The lease: a producer's claim to a run, which it renews while it lives, and loses when somebody takes the run up.

Fed by the tail of the run's stream; tells the producer. Each batch that is stored renews it, and it renews itself while
there is nothing to store, by the monotonic clock: the other one may be put forward or back meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nitro.chance import CHANCE
from nitro.errors import NitroError
from nitro.runs.errors import RunEnded, RunTaken
from nitro.runs.record import RunRecord, record_of
from nitro.streams.errors import StreamError
from nitro.streams.streams import Streams
from nitro.streams.tail import Tail

__all__ = ["Lease", "why_ended"]


class Lease:
    """Belongs to one producer.

    Args:
        streams, key: where the run is.
        record: as the producer has stored it when it took the run up.
        alarm_at: when others begin to watch the producer, as it is stored.
        on_lost: called when the run is no longer the producer's, with the reason.
    """

    def __init__(
        self,
        streams: Streams,
        key: str,
        record: RunRecord,
        alarm_at: float,
        on_lost: Callable[[NitroError], None],
    ) -> None:
        self._access = streams.access
        self._key = key
        self._epoch = record.epoch
        self._seconds = record.lease_seconds
        self._silence_seconds = record.silence_seconds
        self._alarm_at = alarm_at
        self._renewed_at = time.monotonic()
        self._on_lost = on_lost
        self._run: Any = None
        self._news = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._keep(), name=f"nitro lease of {key}")

    def renewed(self, alarm_at: float) -> None:
        """A batch was stored, and the alarm with it."""
        self._alarm_at = alarm_at
        self._renewed_at = time.monotonic()

    async def end(self) -> None:
        """Renew it no longer, and hear nothing."""
        if self._task is not asyncio.current_task():
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        with self._access.reading(self._key) as tail:

            def hear() -> None:
                self._hear(tail)

            tail.listeners[hear] = None
            try:
                while True:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._seconds / 4):
                            await self._news.wait()
                    self._news.clear()
                    try:
                        await self._look(tail)
                    except StreamError:
                        self._on_lost(RunEnded("the run is gone: it was deleted"))
                        return
                    except NitroError:  # the store is away, or not as it was
                        self._news.set()
                        await asyncio.sleep(CHANCE.uniform(0.2, 0.5))
            finally:
                del tail.listeners[hear]

    def _hear(self, tail: Tail) -> None:
        """Look at what is new, unless it is a batch of this producer, which leaves the run's record as it is."""
        current = tail.current
        if tail.is_doubtful or current is None or current.state.run is not self._run:
            self._news.set()

    async def _look(self, tail: Tail) -> None:
        current = await self._access.newest(tail)
        record = record_of(current.state)
        if record.epoch != self._epoch:
            self._on_lost(RunTaken("somebody else writes this run by now"))
        elif current.state.is_closed:
            self._on_lost(why_ended(record))
        else:
            self._run = current.state.run
            if time.monotonic() - self._renewed_at > self._seconds / 8:  # with the wait, at most 3/8 pass in silence
                await self._renew()

    async def _renew(self) -> None:
        before, to, now = self._alarm_at, time.time() + self._silence_seconds, time.monotonic()
        if await self._access.postpone(self._key, before, to):
            if self._alarm_at == before:
                self._alarm_at, self._renewed_at = to, now
            return
        current = await self._access.load(self._key)  # a batch was stored, or somebody was about to take the run up
        if current is not None and record_of(current.state).epoch == self._epoch and self._alarm_at == before:
            self._alarm_at = current.stored.alarm_at or 0.0

    def __repr__(self) -> str:
        return f"<Lease of {self._key}, renewed {time.monotonic() - self._renewed_at:.1f} s ago>"


def why_ended(record: RunRecord) -> NitroError:
    """Why a run that has ended takes nothing more."""
    if record.state == "lost":
        return RunTaken("this producer was silent for longer than its lease, so the run counts as lost")
    return RunEnded(f"the run is {record.state}; nothing can be added to it")
