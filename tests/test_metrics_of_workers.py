"""Several workers with `PROMETHEUS_MULTIPROC_DIR`: any of them answers for all, and for those that are gone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from tests.metrics import Scrape, scrape
from tests.servers import Server, wait_for
from tests.sse import Stream

OWN_METRICS = "each answers with its own metrics alone"
GUNICORN = ("-k", "uvicorn_worker.UvicornWorker", "-w", "2")
SERVERS = {
    "uvicorn": ("uvicorn", ("--workers", "2")),
    "gunicorn": ("gunicorn", GUNICORN),
    "gunicorn with the application loaded before the fork": ("gunicorn", (*GUNICORN, "--preload")),
}


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path, writes_each_seconds: int) -> Iterator[Server]:
    runner, options = SERVERS[request.param]
    shared = tmp_path / "metrics"
    shared.mkdir()
    environment = {
        "PROMETHEUS_MULTIPROC_DIR": str(shared),
        "NITRO_BROKER_URL": f"sqlite:///{tmp_path}/events.db",
        "TEST_WRITES_EACH_SECONDS": str(writes_each_seconds),
    }
    with Server("tests.apps.metrics:app", runner=runner, options=options, environment=environment) as started:
        yield started
    assert "Traceback" not in started.output, started.output
    assert OWN_METRICS not in started.output


def opened(server: Server, stack: ExitStack) -> dict[int, list[Stream]]:
    """Streams, by their worker: some of the one that is quicker to take them, and one of the other."""
    streams: dict[int, list[Stream]] = {}

    def open_one() -> int:
        stream = stack.enter_context(Stream(server.port, "/events"))
        stream.read_until(b"\n\n")
        (worker,) = re.findall(r"x-worker: (\d+)", stream.head)
        streams.setdefault(int(worker), []).append(stream)
        return int(worker)

    first = open_one()
    for _ in range(4):
        open_one()
    if len(streams) == 1:
        os.kill(first, signal.SIGSTOP)
        try:
            open_one()
        finally:
            os.kill(first, signal.SIGCONT)
    return streams


def comes_to_say(server: Server, what: Callable[[Scrape], bool]) -> Scrape:
    """A scrape that says so; workers write every two seconds."""
    seen: list[Scrape] = []

    def says() -> bool:
        try:
            seen.append(scrape(server))
        except httpx.TransportError:  # by a worker that ends
            return False
        return what(seen[-1])

    wait_for(says, seconds=15)
    return seen[-1]


@pytest.mark.parametrize("writes_each_seconds", [2])
def test_any_worker_answers_for_all_and_what_a_dead_one_counted_stays(server: Server) -> None:
    with ExitStack() as stack:
        streams = opened(server, stack)
        (killed, cut), (ended, drained) = sorted(streams.items(), key=lambda item: len(item[1]))
        total = len(cut) + len(drained)
        server.post("/emit?count=5&chars=3")
        for each in (*cut, *drained):
            each.events(5)
        for _ in range(10):  # whichever worker answers
            seen = comes_to_say(server, lambda now: now("messages_delivered_total") == 5 * total)
            assert (seen("clients"), seen("connects_total"), seen("messages_published_total")) == (total, total, 5)
            assert seen("establish_seconds_count") == seen("establish_seconds_bucket", "+Inf") == total
            assert seen("establish_seconds_bucket", "10.0") == total
            assert (seen("broker_up"), seen("log_messages")) == (1, 5), "of all workers alike, and not their sum"
            assert seen.families["app_asked_for_streams"].samples[0].value == total
        os.kill(killed, signal.SIGKILL)
        for each in cut:
            with pytest.raises(ConnectionError):
                each.read_to_end()
        seen = comes_to_say(server, lambda now: now("clients") == len(drained))
        assert (seen("connects_total"), seen("messages_delivered_total")) == (total, 5 * total)
        assert seen("disconnects_total", "shutdown") == 0
        os.kill(ended, signal.SIGTERM)
        for each in drained:
            each.read_to_end()
        seen = comes_to_say(server, lambda now: now("disconnects_total", "shutdown") == len(drained))
        assert (seen("clients"), seen("connects_total")) == (0, total)
        assert seen("connection_seconds_count") == len(drained)


@pytest.mark.parametrize("writes_each_seconds", [3600])
def test_what_a_worker_has_counted_is_written_when_it_ends(server: Server) -> None:
    with ExitStack() as stack:
        streams = opened(server, stack)
        ended = min(streams)
        os.kill(ended, signal.SIGTERM)
        for each in streams[ended]:
            each.read_to_end()
        count = len(streams[ended])
        seen = comes_to_say(server, lambda now: now("disconnects_total", "shutdown") == count)
        assert seen("connection_seconds_count") == count
        assert seen("connects_total") >= count  # the other worker's are written when it is the one that is scraped


@pytest.mark.parametrize("name", ["uvicorn", "gunicorn with the application loaded before the fork"])
def test_workers_that_answer_for_themselves_alone_say_so_once(name: str, tmp_path: Path) -> None:
    runner, options = SERVERS[name]
    environment = {"NITRO_BROKER_URL": f"sqlite:///{tmp_path}/events.db", "TMPDIR": str(tmp_path)}
    with Server("tests.apps.metrics:app", runner=runner, options=options, environment=environment) as server:
        wait_for(lambda: server.output.count("Application startup complete") == 2, seconds=60)
        for worker in server.children() if runner == "gunicorn" else server.workers():
            os.kill(worker, signal.SIGSTOP)
            try:
                scrape(server)  # the other one answers
            finally:
                os.kill(worker, signal.SIGCONT)
        wait_for(lambda: OWN_METRICS in server.output, seconds=15)
    (said,) = [line for line in server.output.splitlines() if OWN_METRICS in line]
    assert f"one of several workers of {runner}" in said and "PROMETHEUS_MULTIPROC_DIR" in said


REINCARNATED = """
from nitro import emit
from nitro.delivery import process
from nitro.metrics import collector
from nitro.metrics.worker_values import WorkerValues
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

process._when_made.clear()  # nobody else writes here

def emits(count):
    process._hub = None
    for n in range(count):
        emit("a", result=n)
    WorkerValues(collector._read).write()

emits(5)  # by a process that is gone
emits(3)  # by this one, which has its number
registry = CollectorRegistry()
MultiProcessCollector(registry)
print(registry.get_sample_value("nitro_messages_published_total"), registry.get_sample_value("nitro_log_messages"))
"""


def test_what_a_process_counted_stays_when_another_one_gets_its_number(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", REINCARNATED]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
    assert ended.stdout == "8.0 3.0\n"


def test_what_a_script_has_counted_is_written_when_it_ends(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    script = "import nitro; nitro.metrics; [nitro.emit('a', result=n) for n in range(5)]"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=environment, check=True, timeout=30)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(tmp_path))  # type: ignore[no-untyped-call]
    assert registry.get_sample_value("nitro_messages_published_total") == 5


def test_a_directory_that_is_missing_is_told(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "missing")}
    command = [sys.executable, "-c", "import nitro; nitro.metrics"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert "is no directory; make it, empty, before the server starts" in ended.stderr
