"""Faults, and those that work with any broker: of workers, of producers, of connections.

Made for a run's processes; the schedule applies them. A set-up adds its own: a `Fault`, or a shell command.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from nitro.testing.nemesis.child import Child, Worker
from nitro.testing.nemesis.proxy import Proxy

__all__ = ["Fault", "line_faults", "process_faults", "shell_fault"]

_SHELL_SECONDS: Final = 300.0
SOON: Final = (0.0, 0.5, 2.0)
LONG: Final = (1.0, 3.0, 7.0)


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure that is injected and then healed.

    Attributes:
        name: its name in options and reports.
        strike: returns a context manager, given a source of randomness. Entering injects the fault; leaving heals it,
            and waits until no server acknowledges messages that will be lost. Both run in threads; an exception means
            that the fault could not be done, and is reported.
        may_lose: whether it may lose acknowledged messages, so that gaps are legitimate.
        holds: durations in seconds, of which one is chosen.
        joins: whether it may strike during another fault.
        get_ready: called before it strikes, to wait for example for a replica to catch up.
    """

    name: str
    strike: Callable[[random.Random], AbstractContextManager[object]]
    may_lose: bool = False
    holds: Sequence[float] = SOON
    joins: bool = False
    get_ready: Callable[[], object] = lambda: None


def process_faults(
    workers: Sequence[Worker], producers: Sequence[Child], replace: Callable[[Child], None]
) -> list[Fault]:
    """The faults of a run's own processes.

    Args:
        replace: replaces a killed producer by a new one, with a new name, as its numbers restart.
    """

    @contextmanager
    def kill(rng: random.Random) -> Iterator[None]:
        worker = rng.choice(workers)
        worker.kill()
        yield
        worker.start()

    @contextmanager
    def end(rng: random.Random) -> Iterator[None]:
        worker = rng.choice(workers)
        worker.end()
        yield
        worker.start()

    @contextmanager
    def end_all(_: random.Random) -> Iterator[None]:
        for worker in workers:
            worker.send(signal.SIGTERM)
        for worker in workers:
            worker.wait()
        yield
        for worker in workers:
            worker.start()

    @contextmanager
    def kill_producer(rng: random.Random) -> Iterator[None]:
        producer = rng.choice(producers)
        producer.kill()
        yield
        replace(producer)

    def frozen(processes: Sequence[Child]) -> Callable[[random.Random], AbstractContextManager[None]]:
        @contextmanager
        def freeze(rng: random.Random) -> Iterator[None]:
            process = rng.choice(processes)
            process.send(signal.SIGSTOP)
            yield
            process.send(signal.SIGCONT)

        return freeze

    @contextmanager
    def busy(_: random.Random) -> Iterator[None]:
        spinning = [
            subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))
        ]
        try:
            yield
        finally:
            for process in spinning:
                process.kill()
                process.wait()

    return [
        Fault("machine-busy", busy, holds=(2.0, 5.0)),
        Fault("worker-kill", kill, joins=True),
        Fault("worker-end", end, joins=True),
        Fault("worker-freeze", frozen(workers), holds=LONG, joins=True),
        Fault("workers-end-all", end_all),
        Fault("producer-kill", kill_producer, joins=True),
        Fault("producer-freeze", frozen(producers), holds=LONG, joins=True),
    ]


def line_faults(proxies: Sequence[Proxy]) -> list[Fault]:
    """The faults of the connections between the processes and the broker; none without proxies."""
    if not proxies:
        return []

    @contextmanager
    def cut(rng: random.Random) -> Iterator[None]:
        for _ in range(rng.choice((1, 1, 4))):
            for proxy in proxies:
                proxy.cut()
            time.sleep(0.3)
        yield

    @contextmanager
    def stall(_: random.Random) -> Iterator[None]:
        for proxy in proxies:
            proxy.stall()
        yield
        for proxy in proxies:
            proxy.go_on()

    @contextmanager
    def slow(_: random.Random) -> Iterator[None]:
        for proxy in proxies:
            proxy.delay = 0.05
        yield
        for proxy in proxies:
            proxy.delay = 0.0

    @contextmanager
    def chop(_: random.Random) -> Iterator[None]:
        for proxy in proxies:
            proxy.is_chopping = True
        yield
        for proxy in proxies:
            proxy.is_chopping = False

    return [
        Fault("line-cut", cut, holds=(0.0,)),
        Fault("line-stall", stall, holds=(1.0, 4.0, 9.0)),
        Fault("line-slow", slow, holds=(2.0, 4.0)),
        Fault("line-chopped", chop, holds=(2.0,)),
    ]


def shell_fault(name: str, command: str, *, may_lose: bool) -> Fault:
    """A fault that a shell command injects and heals; it is healed when the command exits.

    If the command fails, its output is reported.
    """

    @contextmanager
    def run(_: random.Random) -> Iterator[None]:
        done = subprocess.run(  # noqa: S602 - the command is the caller's own
            command, shell=True, capture_output=True, text=True, errors="replace", timeout=_SHELL_SECONDS, check=False
        )
        if done.returncode:
            raise RuntimeError(f"it exited with {done.returncode}: {(done.stdout + done.stderr)[-500:].strip()}")
        yield

    return Fault(name, run, may_lose=may_lose, holds=(0.0,))
