"""Servers and programs that stop in order: others go on with their runs at once, or the runs are lost at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.brokers import BROKERS, STORES
from tests.run_reading import RunReading, start_run
from tests.servers import ROOT, Server
from tests.sse import Stream

AT_ONCE_SECONDS = 5.0
"""Half of a lease; the others look each second, and the server has to stop, on a machine that may be busy."""


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'runs.db'}"


@pytest.fixture
def staying(store: str) -> Iterator[Server]:
    with Server("tests.apps.runs:app", environment={"NITRO_BROKER_URL": store}) as server:
        httpx.get(f"{server.url}/runs").raise_for_status()
        yield server


@pytest.mark.timed
@pytest.mark.parametrize("streams", [0, 1], ids=["no stream", "a stream"])
@pytest.mark.parametrize("workers", [1, 2], ids=["one worker", "two workers"])
def test_runs_of_a_uvicorn_that_stops_go_on_or_are_lost_at_once(
    store: str, staying: Server, workers: int, streams: int
) -> None:
    options = ("--workers", str(workers)) if workers > 1 else ()
    with (
        Server("tests.apps.runs:app", environment={"NITRO_BROKER_URL": store}, options=options) as leaving,
        ExitStack() as opened,
    ):
        ids = [start_run(leaving.url, items=400, pause=0.02, restarts=n % 2 == 0) for n in range(6)]
        readings = [RunReading(f"/runs/{id}").read(staying.port, most=3) for id in ids]
        for id in ids[:streams]:
            opened.enter_context(Stream(leaving.port, f"/runs/{id}")).read_until(b"data: ")
        began = time.monotonic()
        took = leaving.end()
        for reading in readings[1::2]:
            reading.read(staying.port, seconds=AT_ONCE_SECONDS)
            assert reading.end == {"state": "lost", "reason": "its producer was stopped"}
            assert [item["n"] for item in reading.items] == list(range(len(reading.items)))
        for reading in readings[::2]:
            while not any("pid" in item for item in reading.items):
                reading.read(staying.port, most=len(reading.items) + 1, seconds=AT_ONCE_SECONDS)
        assert time.monotonic() - began < AT_ONCE_SECONDS
        assert took < 3
    for reading in readings[::2]:
        (place,) = [n for n, item in enumerate(reading.items) if "pid" in item]
        assert reading.items[place]["restarted behind"] == place
    assert "Traceback" not in leaving.output, leaving.output


@pytest.mark.timed
def test_a_run_that_begins_while_its_server_stops_is_handed_on(store: str, staying: Server) -> None:
    with Server("tests.apps.runs:app", environment={"NITRO_BROKER_URL": store}) as leaving:
        start_run(leaving.url, items=1)
        with httpx.stream("POST", f"{leaving.url}/late", params={"seconds": 1}, timeout=10) as answer:
            began = time.monotonic()
            leaving.end()
            id = "".join(answer.iter_text()).strip()
        reading = RunReading(f"/runs/{id}").read(staying.port, most=1, seconds=AT_ONCE_SECONDS)
        assert reading.items == [{"restarted behind": 0, "pid": staying.process.pid}]
        assert time.monotonic() - began < AT_ONCE_SECONDS


class Programs:
    """Programs that run one after the other over one store."""

    def __init__(self, folder: Path, program: str, url: str, lease_seconds: float = 10) -> None:
        self._file = folder / "program.py"
        self._file.write_text(program)
        self._environment = {
            **os.environ,
            "NITRO_BROKER_URL": url,
            "NITRO_RUN_LEASE_SECONDS": str(lease_seconds),
            "PYTHONPATH": str(ROOT),
        }

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-W", "error", str(self._file), *arguments]
        done = subprocess.run(command, timeout=60, capture_output=True, text=True, env=self._environment)
        assert not done.stderr, done.stderr
        return done.stdout.strip() if done.returncode != 9 else "dead"


PROGRAM = """
import asyncio, sys
from nitro import runs

async def count(start, pause):
    for n in range(start, 1_000_000):
        yield n
        if n % 7 == 0:
            await asyncio.sleep(pause)

@runs.restartable
def go_on(run, items):
    assert items == list(range(len(items))), items
    return count(len(items), 0.2)

async def states():
    return [(info.state, info.items) for info in await runs.list()]

async def main():
    if sys.argv[1] == "start":
        for n in range(8):
            await runs.start(count(0, n % 4 / 50 + 0.001), restart=go_on if n < 6 else None)
        await asyncio.sleep(0.5)
    else:
        before = await states()
        assert [state for state, _ in before] == ["lost"] * 2 + ["running"] * 6, before
        async with asyncio.timeout(4):
            while any(more <= items for (_, items), (_, more) in zip(before[2:], (await states())[2:])):
                await asyncio.sleep(0.1)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", STORES)
def test_runs_of_a_program_that_ends_are_taken_up_by_the_next_one(kind: str, tmp_path: Path) -> None:
    with BROKERS[kind](tmp_path) as broker:
        programs = Programs(tmp_path, PROGRAM, broker.url)
        programs.run("start")
        programs.run("go on")


BLOCKS = """
import asyncio, sys
from nitro import runs

async def write(run):
    async with runs.open(run.id) as opened:
        await opened.send(1)
        await asyncio.sleep(60)

async def main():
    if sys.argv[1] == "start":
        global writing
        writing = [asyncio.create_task(write(await runs.start())) for _ in range(8)]
        await asyncio.sleep(0.5)
    else:
        print({(info.state, info.reason, info.items) for info in await runs.list()})

asyncio.run(main())
"""


def test_a_program_that_ends_within_blocks_ends_and_its_runs_are_lost_at_once(tmp_path: Path, store: str) -> None:
    programs = Programs(tmp_path, BLOCKS, store)
    programs.run("start")
    assert programs.run("look") == "{('lost', 'its producer was stopped', 1)}"


SURVIVOR = """
import asyncio, os, sys
from nitro import runs

async def count(start):
    for n in range(start, 1_000):
        yield n
        await asyncio.sleep(0.05)

@runs.restartable
def go_on(run, items):
    if sys.argv[1] == "dies":
        os._exit(9)
    return count(len(items))

async def main():
    if sys.argv[1] == "starts":
        run = await runs.start(count(0), restart=go_on)
        await asyncio.sleep(0.3)
        if sys.argv[2:]:
            os._exit(9)
    before, = await runs.list()
    async with asyncio.timeout(20):
        while (info := (await runs.list())[0]).state == "running" and info.items <= before.items:
            await asyncio.sleep(0.05)
    print(*filter(None, (info.state, info.reason)))

asyncio.run(main())
"""


def test_a_run_survives_any_number_of_workers_that_are_stopped(tmp_path: Path, store: str) -> None:
    programs = Programs(tmp_path, SURVIVOR, store)
    assert programs.run("starts") == "running"
    assert [programs.run("goes on") for _ in range(6)] == ["running"] * 6


def test_a_run_that_kills_its_worker_five_times_is_lost(tmp_path: Path, store: str) -> None:
    programs = Programs(tmp_path, SURVIVOR, store, lease_seconds=1)
    assert programs.run("starts", "and dies") == "dead"
    assert programs.run("goes on") == "running"
    assert [programs.run("dies") for _ in range(4)] == ["dead"] * 4
    assert programs.run("goes on") == "lost its producer died 5 times"


STRANGER = """
import asyncio, logging, sys
from nitro import runs

logging.disable()  # it says which function it doesn't know

async def main():
    await runs.list()
    await asyncio.sleep(float(sys.argv[1]))
    info, = await runs.list()
    print(info.state, info.reason)

asyncio.run(main())
"""


def test_a_program_that_does_not_know_how_a_run_goes_on_leaves_it_to_others_for_two_leases(
    tmp_path: Path, store: str
) -> None:
    programs = Programs(tmp_path, SURVIVOR, store, lease_seconds=1)
    (tmp_path / "a").mkdir()
    strangers = Programs(tmp_path / "a", STRANGER, store, lease_seconds=1)
    assert programs.run("starts", "and dies") == "dead"
    time.sleep(3.5)  # everything is down
    assert strangers.run("1.8") == "running None"
    assert programs.run("goes on") == "running"
    assert programs.run("dies") == "dead"
    assert strangers.run("6") == "lost its producer died, and no worker knows how to go on"
