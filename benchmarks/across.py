"""The scenario `brokers`: from an emit in one process to a client in another, with a broker between them."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from process import HERE, BenchmarkError, cpu_seconds, with_path
from servers import Server

ROOT = HERE.parent
sys.path.insert(0, str(ROOT))  # the tests start the same servers

from tests.brokers import BROKERS  # noqa: E402

STEADY = "100 events/s"
FLOOD = "as fast as it takes"
SETTLING_SECONDS = 2
IDLE_SECONDS = 10
FLOOD_EVENTS = 30_000


class Pair:
    """An emitting process and a hearing one, on whatever core of theirs the kernel gives them."""

    def __init__(self, way: str, url: str) -> None:
        self._hearing = start("hearing", way, url)
        self._emitting = start("emitting", way, url)

    def run(self, events: int, gap_seconds: float) -> dict[str, Any]:
        assert self._emitting.stdin is not None
        self._emitting.stdin.write(f"{events} {gap_seconds}\n")
        self._emitting.stdin.flush()
        found: dict[str, Any] = json.loads(line_of(self._hearing))
        return found

    def idle_busy(self) -> float:
        """Share of a core that one of the two takes while nothing happens."""
        time.sleep(SETTLING_SECONDS)
        before = self._cpu_seconds()
        time.sleep(IDLE_SECONDS)
        return (self._cpu_seconds() - before) / IDLE_SECONDS / 2

    def _cpu_seconds(self) -> float:
        return sum(cpu_seconds(process.pid) or 0.0 for process in (self._hearing, self._emitting))

    def end(self) -> None:
        for process in (self._emitting, self._hearing):
            process.kill()
            process.wait()


def start(end: str, *arguments: str) -> "subprocess.Popen[str]":
    """One end, in a process of its own that is ready."""
    command = [sys.executable, "-m", f"pairs.{end}", *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=with_path(), cwd=HERE
    )
    if line_of(process).strip() != "ready":
        raise BenchmarkError(f"{' '.join(command)} did not start")
    return process


def line_of(process: "subprocess.Popen[str]") -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise BenchmarkError(f"{process.args} has ended (see above)")
    return line


@contextmanager
def between(kind: str) -> Iterator[str]:
    """The URL of a broker of that kind, started for this; Redis and NATS don't wait for the disk by default."""
    with tempfile.TemporaryDirectory() as directory, BROKERS[kind](Path(directory), is_durable=False) as broker:
        yield broker.url if broker.server is None else broker.server.url


@contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """What is started meanwhile may run on these."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def across(server: Server, cores: set[int]) -> Iterator[tuple[str, dict[str, float], str]]:
    """Case, values and what was wrong; the two ends and the broker share these cores."""
    with on_cores(cores), between(server.broker) as url:
        pair = Pair(server.app, url)
        try:
            pair.run(500, 0)  # warm
            for case, events, gap_seconds in ((STEADY, 300, 0.01), (FLOOD, FLOOD_EVENTS, 0.0)):
                found = pair.run(events, gap_seconds)
                wrong = "" if found["is_whole"] else f"{found['heard']} of {events} came, or not in order"
                values = {measure: float(found[measure]) for measure in ("per_second", "p50_ms", "p99_ms")}
                if case == STEADY:
                    values = {**values, "idle_busy": pair.idle_busy()}
                    del values["per_second"]
                else:
                    values = {"per_second": values["per_second"]}
                yield case, values, wrong
        finally:
            pair.end()
