"""A run: workers, producers and readers on one broker, the faults that strike them, and the judge at the end.

Configured by a `Plan`; owns and ends every process and proxy that it starts. Writes journals for the judge.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nitro.errors import ConfigurationError, NitroError
from nitro.testing.nemesis.child import Child, Worker
from nitro.testing.nemesis.database import why_no_transactions
from nitro.testing.nemesis.fault import Fault, line_faults, process_faults
from nitro.testing.nemesis.journal import Journal, read
from nitro.testing.nemesis.judge import Findings, judge
from nitro.testing.nemesis.proxy import put_between
from nitro.testing.nemesis.reader import HABITS, Habit, Reader, until
from nitro.testing.nemesis.schedule import Step, schedule

__all__ = ["APP", "Plan", "RunFailed", "run"]

_READY_SECONDS: Final = 30.0
_RECOVERY_SECONDS: Final = 30.0
"""How long to wait for the end of an outage, well beyond what the judge accepts."""
_ENVIRONMENT: Final = {
    "NITRO_HEARTBEAT_SECONDS": "3",
    "NITRO_RETRY_MILLISECONDS": "100",
    "NITRO_HISTORY_MESSAGES": "50000",
    "NITRO_HISTORY_BYTES": "268435456",
    "NITRO_MAX_REPLAY_BYTES": "268435456",
    "NITRO_SEND_TIMEOUT_SECONDS": "5",
}
"""Retention exceeds the longest absence, so that no reader is told of a gap because it was disconnected."""


APP: Final = "nitro.testing.nemesis.app:app"


class RunFailed(NitroError):
    """The set-up doesn't work, independently of faults; the text says what failed, and where its output is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of a run.

    Attributes:
        broker_url: as in `NITRO_BROKER_URL`.
        folder: for the journals and the processes' output; it must be empty.
        seconds: how long faults strike.
        seed: of all random choices.
        faults: the set-up's own, in addition to those of processes and connections.
        names: of the faults that strike; empty means all.
        app: what the workers run: an ASGI application with `GET /events?topics=a.*,b`.
        workers, readers: how many; the readers in addition to the one that stays at each worker.
        rate: messages a second, over all producers.
        namespace: as in `NITRO_NAMESPACE`; not used by anything else.
        environment: of the workers and the producers, added to this process's own.
        tell: called with each line of progress.
    """

    broker_url: str = field(repr=False)
    folder: Path
    seconds: float
    seed: int
    faults: Sequence[Fault] = ()
    names: Sequence[str] = ()
    app: str = APP
    workers: int = 2
    readers: int = len(HABITS)
    rate: float = 100.0
    namespace: str = "nemesis"
    environment: Mapping[str, str] = field(default_factory=dict)
    tell: Callable[[str], None] = print


async def run(plan: Plan) -> Findings:
    """Execute the plan, and return the judge's findings.

    Raises:
        ConfigurationError: a fault's name is unknown, or uvicorn is missing.
        RunFailed: the set-up doesn't work before the first fault, or a process doesn't restart after one.
    """
    if importlib.util.find_spec("uvicorn") is None:
        raise ConfigurationError("uvicorn runs the workers, and is missing: pip install 'nitro-realtime[fastapi]'")
    plan.folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        url, proxies = put_between(plan.broker_url, stack)
        crew = _Crew(plan, url)
        stack.callback(crew.kill)
        line = line_faults(proxies)
        faults = [*process_faults(crew.workers, crew.producers, crew.replace), *line, *plan.faults]
        known = {fault.name for fault in faults}
        if unknown := [name for name in plan.names if name not in known]:
            raise ConfigurationError(f"there is no fault {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        faults = [fault for fault in faults if not plan.names or fault.name in plan.names]
        async with crew.started():
            journal = Journal(plan.folder / "faults.jsonl")
            await _strike(plan, crew, faults, journal)
            await crew.finish(journal)
    return await asyncio.to_thread(judge, plan.folder)


class _Crew:
    """All workers, producers and readers of a run."""

    def __init__(self, plan: Plan, url: str) -> None:
        self._plan = plan
        own = {"NITRO_BROKER_URL": url, "NITRO_NAMESPACE": plan.namespace}
        self._environment = {**_ENVIRONMENT, **own, **plan.environment}
        self.workers = [
            Worker(f"worker-{place}", self._environment, plan.folder, plan.app) for place in range(plan.workers)
        ]
        self.producers = [self._producer(f"{mode}-1", mode) for mode in _modes(plan)]
        self.last = self._producer("last", "last")
        ports = [worker.port for worker in self.workers]
        stays = [self._reader(f"stays-{place}", Habit(stays=True), [port]) for place, port in enumerate(ports)]
        goes = [self._reader(f"goes-{place}", HABITS[place % len(HABITS)], ports) for place in range(plan.readers)]
        self.watchers, self.readers = stays, [*stays, *goes]

    def _producer(self, name: str, mode: str) -> Child:
        journal = self._plan.folder / "producers" / f"{name}.jsonl"
        rate = self._plan.rate * (0.1 if mode == "transaction" else 0.45)
        module = (sys.executable, "-m", "nitro.testing.nemesis.producer")
        options = ("--mode", mode, "--rate", f"{rate:g}", "--seed", str(self._plan.seed))
        command = [*module, "--name", name, "--journal", str(journal), *options]
        return Child(name, command, self._environment, self._plan.folder)

    def _reader(self, name: str, habit: Habit, ports: Sequence[int]) -> Reader:
        return Reader(name, habit, ports, self._plan.folder / "readers", self._plan.seed)

    def replace(self, producer: Child) -> None:
        mode, _, number = producer.name.rpartition("-")
        successor = self._producer(f"{mode}-{int(number) + 1}", mode)
        self.producers[self.producers.index(producer)] = successor
        successor.start()

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[None]:
        await asyncio.gather(*(asyncio.to_thread(worker.start) for worker in self.workers))
        tasks = [asyncio.create_task(reader.live(), name=reader.name) for reader in self.readers]
        try:
            if not await until(lambda: all(reader.is_open for reader in self.readers), _READY_SECONDS):
                raise RunFailed(f"not every stream opened; what the workers said is in {self._plan.folder}")
            for producer in (*self.producers, self.last):
                producer.start()
            if not await self.recover(time.monotonic(), _READY_SECONDS):
                raise RunFailed(f"nothing arrives at every worker; what the processes said is in {self._plan.folder}")
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            for error in ended:
                if isinstance(error, Exception):
                    raise RunFailed(f"a reader failed: {error!r}") from error

    async def recover(self, since: float, seconds: float = _RECOVERY_SECONDS) -> bool:
        """Wait until each worker has delivered a message emitted after `since`; whether all did within `seconds`."""
        return await until(lambda: all(watcher.newest_emit >= since for watcher in self.watchers), seconds)

    async def finish(self, faults: Journal) -> None:
        """End the producers, and wait until every reader has heard the last message."""
        ending = [asyncio.to_thread(producer.end, 30) for producer in self.producers]
        await asyncio.gather(*ending)
        for reader in self.readers:
            reader.calm_down()
        # A reader that reconnects after the last message, with an id of an old epoch, would never hear it.
        await until(lambda: all(reader.is_reading for reader in self.readers), _READY_SECONDS)
        await asyncio.to_thread(self.last.end, _READY_SECONDS)
        journal = self._plan.folder / "producers" / "last.jsonl"
        numbers = [more[0] for what, _, *more in read(journal) if what == "acknowledged"] if journal.exists() else []
        if not numbers:
            faults.write("unfinished", "the last message was never acknowledged")
            return
        await until(lambda: all(reader.last_heard >= numbers[0] for reader in self.readers), _READY_SECONDS)

    def kill(self) -> None:
        for child in (*self.workers, *self.producers, self.last):
            child.kill()


def _modes(plan: Plan) -> list[str]:
    """Modes of the producers; with transactions if the broker is a database that supports them."""
    why_not = why_no_transactions(plan.broker_url)
    if why_not:
        plan.tell(f"no events in transactions: {why_not}")
    return ["one", "burst"] if why_not else ["one", "burst", "transaction"]


async def _strike(plan: Plan, crew: _Crew, faults: Sequence[Fault], journal: Journal) -> None:
    """Execute the schedule, until the time is over."""
    began = time.monotonic()
    for step in schedule(faults, plan.seed):
        if time.monotonic() + step.pause_seconds > began + plan.seconds:
            break
        await asyncio.sleep(step.pause_seconds)
        news = await _take(step, crew, journal)
        plan.tell(f"{time.monotonic() - began:7.1f} s  {news}")
    if not await crew.recover(time.monotonic()):
        plan.tell("not every worker delivers again, although all faults are healed")


def _entered(fault: Fault, rng: random.Random) -> contextlib.AbstractContextManager[object]:
    context = fault.strike(rng)
    context.__enter__()
    return context


async def _take(step: Step, crew: _Crew, journal: Journal) -> str:
    """Execute one step. Returns a line of progress."""
    struck = [step.fault, *([step.joined] if step.joined else [])]
    name = " + ".join(fault.name for fault in struck)
    may_lose = any(fault.may_lose for fault in struck)
    rng = random.Random(step.seed)  # noqa: S311 - no secret
    began, failure = time.monotonic(), ""
    try:
        await asyncio.to_thread(step.fault.get_ready)
        began = time.monotonic()
        journal.write("began", name)
        outer = await asyncio.to_thread(_entered, step.fault, rng)
        try:
            if step.joined:
                inner = await asyncio.to_thread(_entered, step.joined, rng)
                await asyncio.sleep(rng.choice(step.joined.holds) / 2)
                await asyncio.to_thread(inner.__exit__, None, None, None)
            await asyncio.sleep(step.hold_seconds)
        finally:
            await asyncio.to_thread(outer.__exit__, None, None, None)
    except Exception as error:  # noqa: BLE001 - a set-up's fault may raise anything
        failure = f"{type(error).__name__}: {error}"[:300]
        journal.write("undone", name, failure)
    healed = time.monotonic()
    news = f"{name}{' (may lose)' if may_lose else ''}, {healed - began:.1f} s"
    if failure:
        news += f", COULD NOT BE DONE: {failure}"
    journal.write("healed", name, may_lose, began, not step.is_hasty, at=healed)
    if step.is_hasty:
        return f"{news}; the next one comes at once"
    if await crew.recover(healed):
        return f"{news}; {time.monotonic() - healed:.1f} s later every worker delivers again"
    return f"{news}; NOT EVERY WORKER DELIVERS AGAIN after {time.monotonic() - healed:.0f} s"
