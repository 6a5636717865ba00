"""The runs of one event loop: how they are started, taken up, ended, cancelled, listed, and looked after.

Fed by the functions of `nitro.runs`; feeds the streams of the loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from inspect import (
    isasyncgenfunction,
    isawaitable,
    iscoroutinefunction,
    isfunction,
    isgeneratorfunction,
    isroutine,
    unwrap,
)
from typing import Any, Final, TypeAlias
from weakref import WeakSet

from nitro.errors import ArgumentTypeError, BrokerUnavailable, NitroError
from nitro.events.payload import decode
from nitro.runs.errors import RunEnded, RunNotFound, RunTaken
from nitro.runs.outcomes import end_with
from nitro.runs.producer import PRODUCER, Producer
from nitro.runs.record import PREFIX, Ended, RunInfo, RunRecord, key_of, new_id, owners_prefix, record_of
from nitro.runs.restarts import restarter
from nitro.runs.run import Run
from nitro.runs.works import Works
from nitro.settings import Settings, get_settings
from nitro.streams import decisions
from nitro.streams.committer import Applied
from nitro.streams.decisions import Append, Batch, Creation, Current, Decision
from nitro.streams.errors import StreamError
from nitro.streams.items import JSON
from nitro.streams.offsets import BEGINNING, Offset
from nitro.streams.page import Page
from nitro.streams.process import get_streams
from nitro.streams.streams import Streams

__all__ = ["Runs", "Work", "get_runs"]

log: Final = logging.getLogger("nitro.runs")

Work: TypeAlias = AsyncIterable[Any] | Callable[[Run], Awaitable[None]]
"""What writes a run: an async iterator of its items, or a coroutine function that sends them by the run."""

_MOST_DEATHS: Final = 5
"""A run that has killed so many producers is lost."""
_AGAIN_SECONDS: Final = 0.5
"""How long a reader waits until it asks a store again that is away."""
_LISTED_AT_ONCE: Final = 100
"""Runs of a list that are loaded at the same time: a store that takes one after the other has to do so in time."""
_OTHERS_MAY_FACTOR: Final = 2.0
"""A worker that doesn't know a run's `restart` leaves it to others for so many leases, since it could itself see it."""


class Runs:
    """Belongs to one event loop."""

    def __init__(self, streams: Streams, settings: Settings) -> None:
        self.streams = streams
        self._settings = settings
        self._works = Works()
        self._taken: WeakSet[Producer] = WeakSet()
        self._loop = asyncio.get_running_loop()
        streams.sweeper.leave_to(PREFIX, self._sweep)
        streams.on_close(self._end)

    async def start(self, work: Work | None, record: RunRecord, within_seconds: float) -> Run:
        """A new run; its work, if there is any, goes on by itself."""
        _check_work(work)
        run = self.open(new_id(record.user_id, record.started_at))
        run.user_id, run.data = record.user_id, record.data
        key = PREFIX + run.id
        if work is not None:
            record = replace(record, epoch=1)
        alarm_at = time.time() + (record.silence_seconds if work is not None else within_seconds)
        creation = Creation(JSON, ttl_seconds=record.keep_seconds, run=record.to_json(), alarm_at=alarm_at)
        await self.streams.create(key, creation)
        if work is not None:
            self._produce(run, key, record, alarm_at, work, next_batch=0)
        return run

    def open(self, id: str) -> Run:
        """A handle of a run."""
        return Run(get_runs, id, self._loop)

    async def take(self, run: Run) -> Producer:
        """Take a run up; whoever wrote it before is fenced off."""
        key = _key(run.id)
        record, alarm_at = await self._claim(key)
        run.user_id, run.data = record.user_id, record.data
        producer = self._producer(key, record, alarm_at, next_batch=1)
        self._taken.add(producer)
        return producer

    async def info(self, id: str) -> RunInfo:
        """How a run stands.

        Raises:
            RunNotFound: there is none.
        """
        return RunInfo.of(id, (await self.find(id)).state)

    async def find(self, id: object, user_id: str | object | None = ...) -> Current:
        """What is stored of a run.

        Raises:
            RunNotFound: there is none, or none of that user.
        """
        key = _key(id)
        try:
            current = await self.streams.find(key)
        except StreamError:
            raise RunNotFound(f"there is no run {id!r}") from None
        if user_id is not ... and record_of(current.state).user_id != user_id:
            raise RunNotFound(f"there is no run {id!r}")
        return current

    async def pages(self, id: str, offset: Offset) -> AsyncIterator[tuple[Page, RunInfo]]:
        """What a run holds behind a place, and will hold, until its end.

        Once it has begun, it waits for a store that is away.
        """
        key, has_begun, is_over = _key(id), False, False
        while not is_over:
            try:
                async for page in self.streams.reading.follow(key, offset):
                    offset, has_begun, is_over = page.next, True, page.is_closed
                    yield page, RunInfo.of(id, page.state)
            except StreamError:
                raise RunNotFound(f"there is no run {id!r}") from None
            except BrokerUnavailable:
                if not has_begun:
                    raise
                await asyncio.sleep(_AGAIN_SECONDS)

    async def cancel(self, id: str, user_id: str | None) -> RunInfo:
        """End a run as cancelled, wherever it is written; its producer hears it.

        Raises:
            RunNotFound: there is none of that user.
            RunEnded: it has ended already.
        """
        await self.find(id, user_id)
        applied = await self._close(_key(id), "cancelled", None)
        assert applied.state is not None
        return RunInfo.of(id, applied.state)

    async def list(self, user_id: str | None, limit: int) -> list[RunInfo]:
        """The runs of a user, the newest first."""
        infos: list[RunInfo] = []
        seen: set[str] = set()
        count = limit
        while len(infos) < limit:
            keys = await self.streams.access.keys(owners_prefix(user_id), count)
            unseen = [key for key in keys if key not in seen]
            seen.update(unseen)
            while unseen and len(infos) < limit:
                some, unseen = unseen[:_LISTED_AT_ONCE], unseen[_LISTED_AT_ONCE:]
                infos += await self._infos(some, user_id)
            if len(keys) < count:
                break
            count *= 2  # some have expired, and are not deleted yet
        return sorted(infos, key=lambda info: info.started_at, reverse=True)[:limit]

    async def _infos(self, keys: Sequence[str], user_id: str | None) -> Sequence[RunInfo]:
        """Those of them that can be read still, and are this user's."""
        ids = [key.removeprefix(PREFIX) for key in keys]
        found = await asyncio.gather(*(self.find(id, user_id) for id in ids), return_exceptions=True)
        infos = []
        for id, each in zip(ids, found, strict=True):
            if isinstance(each, Current):
                infos.append(RunInfo.of(id, each.state))
            elif not isinstance(each, RunNotFound):
                raise each
        return infos

    # What is below runs work, and looks after runs whose producer is silent.

    def _produce(self, run: Run, key: str, record: RunRecord, alarm_at: float, work: Work, *, next_batch: int) -> None:
        producer = self._producer(key, record, alarm_at, next_batch=next_batch, on_stopped=lambda _: task.cancel())
        run._producer = producer
        task = self._loop.create_task(self._work(run, work, producer), name=f"nitro work of {key}")
        self._works.add(task, producer)

    def _producer(
        self,
        key: str,
        record: RunRecord,
        alarm_at: float,
        *,
        next_batch: int,
        on_stopped: Callable[[NitroError], object] = lambda _: None,
    ) -> Producer:
        return Producer(
            *(self.streams, key, record, alarm_at),
            next_batch=next_batch,
            max_payload_bytes=self._settings.max_payload_bytes,
            on_stopped=on_stopped,
        )

    async def _work(self, run: Run, work: Work, producer: Producer) -> None:
        try:
            if isinstance(work, AsyncIterable):
                async for item in work:
                    await producer.send(item)
            else:
                await work(run)
            if not producer.is_over:
                await producer.end("done")
        except asyncio.CancelledError as error:
            await end_with(producer, error)
        except Exception as error:  # noqa: BLE001 - logged there
            await end_with(producer, error)
        finally:
            close = getattr(work, "aclose", None)
            if close is not None:
                await close()

    async def _end(self) -> None:
        """The event loop ends."""
        _runs.pop(self.streams, None)
        taken = tuple(self._taken)
        releases = [each.release() for each in taken if not each.is_over and (each.is_in_block or each.has_end)]
        try:
            await asyncio.gather(self._works.hand_on(), *releases, return_exceptions=True)
        finally:
            for producer in taken:
                producer.abandon()

    async def _claim(self, key: str, seen: Current | None = None) -> tuple[RunRecord, float]:
        """Become the producer of a run: the next epoch begins.

        Raises:
            RunNotFound, RunEnded: there is none, or it has ended.
            RunTaken: it isn't as it was seen; None is whatever there is.
        """
        claimed: list[tuple[RunRecord, float]] = []

        def decide(current: Current) -> Decision:
            now = time.time()
            record = record_of(current.state)
            if current.state.is_closed:
                raise RunEnded(f"the run is {record.state}; nothing can be added to it")
            _check_unchanged(current, seen)
            has_died = seen is not None and not record.is_released
            record = replace(record, epoch=record.epoch + 1, deaths=record.deaths + int(has_died), is_released=False)
            claimed[:] = [(record, now + record.silence_seconds)]
            batch = Batch(PRODUCER, record.epoch, 0)
            return decisions.append(current, Append(batch=batch, run=record.to_json(), alarm_at=claimed[0][1]), now)

        try:
            await self.streams.change(key, decide)
        except StreamError:
            raise RunNotFound("there is no such run, or no longer") from None
        return claimed[0]

    async def _close(self, key: str, state: Ended, reason: str | None, seen: Current | None = None) -> Applied:
        """End a run in the place of its producer, which is fenced off.

        Raises:
            RunEnded: it has ended already.
            RunTaken: it isn't as it was seen; None is whatever there is.
        """

        def decide(current: Current) -> Decision:
            now = time.time()
            record = record_of(current.state)
            if current.state.is_closed:
                raise RunEnded(f"the run is {record.state} already")
            _check_unchanged(current, seen)
            record = replace(record, state=state, reason=reason, ended_at=now)
            request = Append(closes=True, run=record.to_json(), alarm_at=now + record.keep_seconds)
            return decisions.append(current, request, now)

        return await self.streams.change(key, decide)

    async def _sweep(self, key: str) -> None:
        """A run's alarm is due: it has expired, or its producer is silent."""
        current = await self.streams.access.load(key)
        if current is None or current.state.is_closed or current.state.run is None:
            await self.streams.sweeper.sweep(key)
            return
        alarm_at = current.stored.alarm_at
        if alarm_at is None or alarm_at > time.time():
            return
        seconds = self._watch_seconds(record_of(current.state))
        if seconds > 0:
            self.streams.sweeper.watch(key, current, seconds, self._take_over)
        else:
            await self._take_over(key, current)

    def _watch_seconds(self, record: RunRecord) -> float:
        """How long a run whose alarm is due has to stay as it is before anything is done about it."""
        reached_seconds = time.monotonic() - self.streams.sweeper.reached_at
        if record.restart is not None and not _kills(record) and restarter(record.restart) is None:
            return _OTHERS_MAY_FACTOR * record.lease_seconds - min(reached_seconds, 0.0)
        if record.is_released:
            return 0.0
        # the store was away, or this process: producers have had no chance to renew their leases
        chance_seconds = record.lease_seconds - reached_seconds
        return max(chance_seconds, record.silence_seconds if record.epoch > 0 else 0.0)

    async def _take_over(self, key: str, current: Current) -> None:
        """Go on with a run whose producer has left it or died, or say that it is lost."""
        if self._works.are_ending:
            return
        record = record_of(current.state)
        resume = restarter(record.restart)
        try:
            if record.restart is None or _kills(record):
                await self._lose(key, current)
            elif resume is not None:
                if await self.streams.access.seize(key, current):
                    await self._restart(key, current, resume)
            else:
                log.warning("no worker knows %s, which was to start a run again; it is lost", record.restart)
                await self._lose(key, current)
        except (RunEnded, RunTaken, RunNotFound, StreamError):
            log.debug("another worker was faster with %s", key)

    async def _lose(self, key: str, current: Current) -> None:
        if await self.streams.access.seize(key, current):
            await self._close(key, "lost", _why_lost(record_of(current.state)), current)

    async def _restart(self, key: str, seen: Current, resume: Callable[..., Any]) -> None:
        record, alarm_at = await self._claim(key, seen)
        id = key.removeprefix(PREFIX)
        run = self.open(id)
        run.user_id, run.data = record.user_id, record.data

        async def items() -> AsyncIterator[Any]:
            offset, there = BEGINNING, list[Any]()
            while True:
                page = await self.streams.reading.page(key, offset)
                there += map(decode, page.items)
                offset = page.next
                if page.is_up_to_date:
                    break
            again = resume(run, there)
            if isawaitable(again):
                again = await again
            if again is not None:
                async for item in again:
                    yield item

        self._produce(run, key, record, alarm_at, items(), next_batch=1)


_runs: Final[dict[Streams, Runs]] = {}


def get_runs() -> Runs:
    """The runs of the running event loop."""
    streams = get_streams()
    runs = _runs.get(streams)
    if runs is None:
        runs = _runs[streams] = Runs(streams, get_settings())
    return runs


def _check_work(work: object) -> None:
    """Raises ArgumentTypeError if that can't write a run."""
    function = _function_of(work)
    name = getattr(function, "__name__", "answer")
    if isasyncgenfunction(function) or isgeneratorfunction(function):
        raise ArgumentTypeError(
            f"a run takes what {name}(…) returns, and not the function: start({name}(question)); it has to be an "
            f"`async def` with `yield`"
        )
    if work is None or isinstance(work, AsyncIterable):
        return
    if isfunction(function) and not iscoroutinefunction(function) and name != "<lambda>":
        raise ArgumentTypeError(
            f"a run takes an async function, and not {name}, which can't await run.send(…): write `async def {name}`; "
            f"or leave the work out, and let a thread write the run: `with nitro.runs.open(run.id) as run:`"
        )
    if callable(work):
        return
    raise ArgumentTypeError(
        f"a run takes an async iterator, such as answer(question) of `async def answer(question): yield …`, or an "
        f"async function of the run, and not {work!a:.80}"
    )


def _function_of(work: object) -> object:
    """What is called when work is: the function behind a partial, a method, a decorator or an object's `__call__`."""
    while isinstance(work, partial):
        work = work.func
    if not callable(work) or isinstance(work, AsyncIterable):
        return work
    function = work if isroutine(work) else type(work).__call__
    return unwrap(getattr(function, "__func__", function))


def _kills(record: RunRecord) -> bool:
    """Whether a run has killed too many producers to be given to another one."""
    return not record.is_released and record.deaths + 1 >= _MOST_DEATHS


def _why_lost(record: RunRecord) -> str:
    """What readers are told of a run that its producer has not ended."""
    if record.epoch == 0:
        return "nobody began to write it"
    how = "was stopped" if record.is_released else "died"
    if record.restart is None:
        return f"its producer {how}"
    if _kills(record):
        return f"its producer died {_MOST_DEATHS} times"
    return f"its producer {how}, and no worker knows how to go on"


def _key(id: object) -> str:
    key = key_of(id)
    if key is None:
        raise RunNotFound(f"there is no run {id!r:.60}")
    return key


def _check_unchanged(current: Current, seen: Current | None) -> None:
    """Raises RunTaken if something was committed since a sweeper has seen the run."""
    if seen is not None and not current.is_as(seen):
        raise RunTaken("its producer is alive, or another worker was faster")
