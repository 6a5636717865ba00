"""The sweeper: looks after streams whose alarm is due, those of all processes.

Fed by the store's index of alarms; deletes what has expired, and asks others about what is theirs, such as runs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from nitro.chance import CHANCE
from nitro.errors import NitroError
from nitro.streams import decisions
from nitro.streams.access import Access
from nitro.streams.decisions import Current, Decision
from nitro.streams.forking import Forks

__all__ = ["Act", "Sweep", "Sweeper"]

log: Final = logging.getLogger("nitro.streams")

Sweep = Callable[[str], Awaitable[None]]
"""Called with a key whose alarm is due."""
Act = Callable[[str, Current], Awaitable[None]]
"""Called with a key, and what there is of it."""

_SWEEP_SECONDS: Final = 1.0
"""Interval at which the store is asked whose alarm is due."""
_SWEPT_AT_ONCE: Final = 200
_MOST_WATCHED: Final = 10_000
"""While so many streams are watched, the store is asked no more than once a second what else is due."""
_WATCH_PARTS: Final = 8
"""A watch sleeps in so many parts: of the time for which its process was frozen it counts no more than one."""


class Sweeper:
    """Belongs to one event loop.

    Attributes:
        reached_at: since when the store has been reached whenever it was asked, by the monotonic clock.
    """

    def __init__(self, access: Access, forks: Forks) -> None:
        self.reached_at: float = time.monotonic()
        self._access = access
        self._forks = forks
        self._of_prefix: dict[str, Sweep] = {}
        self._is_behind = False
        self._due: Sequence[str] = ()
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._acting = asyncio.Semaphore(_SWEPT_AT_ONCE)

    def leave_to(self, prefix: str, sweep: Sweep) -> None:
        """Let `sweep` be called with the keys that begin with `prefix`, up to its first "/"."""
        self._of_prefix[prefix] = sweep

    def watch(self, key: str, seen: Current, seconds: float, act: Act) -> None:
        """Act on a stream that stays as it was seen for so long, its alarm included.

        The time is that of this process's monotonic clock, and the store has to be there meanwhile. That an alarm is
        due says less: it may have been set by the clock of another host, or before this one's was put forward.
        """
        if key not in self._watches:
            watch = self._watch(key, seen, seconds, act)
            task = self._watches[key] = asyncio.get_running_loop().create_task(watch, name=f"nitro watch of {key}")
            task.add_done_callback(lambda _: self._watches.pop(key))

    async def run(self) -> None:
        """Look after what is due until cancelled."""
        try:
            await self._run()
        finally:
            for task in self._watches.values():
                task.cancel()

    async def _run(self) -> None:
        is_failing = False
        while True:
            await asyncio.sleep(0.0 if self._is_behind else _SWEEP_SECONDS * CHANCE.uniform(0.8, 1.2))
            try:
                self._is_behind = await self._sweep_due()
                is_failing = False
            except NitroError as error:
                if not is_failing:
                    log.warning("streams that have expired can't be looked after for now: %s", error)
                is_failing, self._is_behind = True, False
                self.reached_at = time.monotonic() + _SWEEP_SECONDS

    async def sweep(self, key: str) -> None:
        """Delete a stream if it has expired, or was deleted and is no longer needed by forks."""
        missing: list[str] = []
        seen = await self._access.load(key)
        if seen is None:
            return
        if seen.state.is_deleted:
            for fork in seen.state.forks:
                found = await self._access.load(fork)
                if found is None or found.state.fork is None or found.state.fork.source != key:
                    missing.append(fork)
        elif not decisions.is_expired(seen, time.time()) or not await self._access.seize(key, seen):
            return  # what is not expired is due for somebody else: such as a run, in a process without runs

        def decide(current: Current, now: float) -> Decision:
            if not current.is_as(seen):  # another process has done it, and there may be another stream of its name
                return current.unchanged
            if current.state.is_deleted:
                return decisions.unforked(current, missing, now)
            return decisions.delete(current, now)

        await self._forks.delete(key, decide)

    async def _sweep_due(self) -> bool:
        """Sweep what is due now; whether there may be more."""
        limit = _SWEPT_AT_ONCE + len(self._watches)  # those that are watched are due, too
        keys, before = await self._access.due(time.time(), limit), self._due
        self._due = keys
        await asyncio.gather(*(self._sweep_one(key) for key in keys if key not in self._watches))
        return len(keys) == limit and keys != before and len(self._watches) < _MOST_WATCHED

    async def _sweep_one(self, key: str) -> None:
        prefix, slash, _ = key.partition("/")
        try:
            await self._of_prefix.get(prefix + slash, self.sweep)(key)
        except NitroError:
            raise
        except Exception:
            log.exception("the stream %r can't be looked after", key)

    async def _watch(self, key: str, seen: Current, seconds: float, act: Act) -> None:
        reached_at = self.reached_at
        for _ in range(_WATCH_PARTS):
            await asyncio.sleep(seconds / _WATCH_PARTS)
        if self.reached_at != reached_at:
            return  # the store was away, so nobody could change it; if it is still due, it is watched anew
        try:
            async with self._acting:
                current = await self._access.load(key)
                if current is not None and current.stored == seen.stored:
                    await act(key, current)
        except NitroError as error:
            log.debug("the stream %r is looked after later: %s", key, error)
        except Exception:
            log.exception("the stream %r can't be looked after", key)
