"""Runs over every store, with two real servers that share it, and readers that are cut, come back and come late."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import nitro
from nitro import runs
from nitro.delivery import process
from nitro.delivery.hub import Hub
from nitro.errors import ConfigurationError
from nitro.runs.record import new_id
from nitro.testing.conformance import eventually
from tests.brokers import BROKERS, STORES
from tests.run_reading import RunReading, start_run
from tests.servers import ROOT, Server, free_port, wait_for
from tests.sse import Stream
from tests.workers import Workers

LEASE_SECONDS = 3.0


class RunWorkers(Workers):
    """Servers over one store; the second stays when the first is killed."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__("tests.apps.runs:app", {**environment, "NITRO_RUN_LEASE_SECONDS": str(LEASE_SECONDS)}, 2)

    @contextlib.contextmanager
    def frozen(self, server: Server) -> Iterator[None]:
        """One of them does nothing, and not in the middle of a write to a file, which would lock all others out."""
        server.process.send_signal(signal.SIGSTOP)
        while not self._can_write():
            server.process.send_signal(signal.SIGCONT)
            time.sleep(0.01)
            server.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            server.process.send_signal(signal.SIGCONT)

    def _can_write(self) -> bool:
        kind, _, path = self.environment["NITRO_BROKER_URL"].partition("://")
        if kind != "sqlite":
            return True  # each commit is one message to a server, which waits for nobody
        with contextlib.closing(sqlite3.connect(path[1:], timeout=0.5, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
        return True


@pytest.fixture(scope="module", params=STORES)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a broker."""
    with BROKERS[request.param](tmp_path_factory.mktemp(request.param)) as broker:
        yield broker.url


@pytest.fixture(scope="module")
def workers(store: str) -> Iterator[RunWorkers]:
    with RunWorkers({"NITRO_BROKER_URL": store}) as workers:
        yield workers


@pytest.fixture(scope="module")
def alone() -> Iterator[Server]:
    """One server, whose store is in its memory."""
    with RunWorkers({}) as workers:
        yield workers.servers[0]


def numbers(reading: RunReading) -> list[int]:
    return numbers_of(reading.items)


def numbers_of(items: list[dict[str, Any]]) -> list[int]:
    return [item["n"] for item in items]


def test_who_is_cut_at_every_item_gets_each_once_in_order_and_then_the_end(workers: RunWorkers) -> None:
    one, other = workers.servers
    id = start_run(one.url, items=60, pause=0.01, at_once=7)
    reading = RunReading(f"/runs/{id}")
    for turn in range(60):
        reading.read((one, other)[turn % 2].port, most=1)
    reading.read(other.port)
    assert numbers(reading) == list(range(60))
    assert reading.end == {"state": "done"}
    assert reading.ids == sorted(set(reading.ids))


def test_who_starts_in_the_middle_and_who_comes_after_the_end_get_everything(workers: RunWorkers) -> None:
    one, other = workers.servers
    id = start_run(one.url, items=400, pause=0.01, at_once=20)
    early, late = RunReading(f"/runs/{id}"), RunReading(f"/runs/{id}")
    early.read(one.port, most=100)
    late.read(other.port)
    early.read(other.port)
    after = RunReading(f"/runs/{id}").read(one.port)
    for reading in (early, late, after):
        assert numbers(reading) == list(range(400))
        assert reading.end == {"state": "done"}
    assert after.ids == early.ids == late.ids
    assert after.writes <= 10  # a few large ones
    middle = RunReading(f"/runs/{id}")
    middle.last_id = after.ids[199]
    assert numbers(middle.read(other.port)) == list(range(200, 400))


def test_many_readers_in_both_workers_get_the_same(workers: RunWorkers) -> None:
    id = start_run(workers.servers[0].url, items=100, pause=0.005)
    readings = [RunReading(f"/runs/{id}") for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda n: readings[n].read(workers.servers[n % 2].port), range(20)))
    assert all(numbers(reading) == list(range(100)) for reading in readings)


def test_the_browser_stays_away_after_the_end(workers: RunWorkers) -> None:
    server = workers.servers[1]
    id = start_run(server.url, items=2)
    with Stream(server.port, f"/runs/{id}") as stream:
        stream.read_until(b"id: stop\n\n")
        while not stream.is_complete:
            stream.read_more()
    assert b'event: end\ndata: {"state":"done"}\n\n' in stream.body
    for path in (f"/runs/{id}", "/runs/00000000-00000000000000000000"):
        assert httpx.get(server.url + path, headers={"Last-Event-ID": "stop"}).status_code == 204


def test_a_run_of_another_user_is_as_one_that_never_was(workers: RunWorkers) -> None:
    one, other = workers.servers
    id = start_run(one.url, items=3, user="ann")
    answers = [
        httpx.request(method, f"{other.url}/runs/{id}{query}")
        for method in ("GET", "DELETE")
        for query in ("", "?user=bob")
    ]
    nobodys = new_id("nobody", time.time())
    missing = httpx.get(f"{other.url}/runs/{nobodys}")
    assert {answer.status_code for answer in answers} == {404} == {missing.status_code}
    assert {answer.text.replace(id, "") for answer in answers} == {missing.text.replace(nobodys, "")}
    for wrong in ("x", "..", "%00", "a" * 3000, "é"):
        assert httpx.get(f"{other.url}/runs/{wrong}").status_code in (404, 405)
    assert RunReading(f"/runs/{id}?user=ann").read(other.port).end == {"state": "done"}


@pytest.mark.timed
def test_cancel_reaches_the_producer_in_another_worker(workers: RunWorkers) -> None:
    one, other = workers.servers
    before = httpx.get(f"{one.url}/ended").json().count("cancelled")
    id = start_run(one.url, items=10_000, pause=0.02)
    reading = RunReading(f"/runs/{id}")
    reading.read(other.port, most=3)
    answer = httpx.delete(f"{other.url}/runs/{id}")
    assert (answer.status_code, answer.json()) == (200, {"id": id, "state": "cancelled"})
    wait_for(lambda: httpx.get(f"{one.url}/ended").json().count("cancelled") == before + 1, seconds=1.5)
    reading.read(one.port)
    assert reading.end == {"state": "cancelled"}
    assert numbers(reading) == list(range(len(reading.items)))
    assert httpx.delete(f"{one.url}/runs/{id}").status_code == 409
    done = start_run(one.url, items=1)
    RunReading(f"/runs/{done}").read(one.port)
    assert httpx.delete(f"{other.url}/runs/{done}").status_code == 409


def test_a_failure_tells_its_reason_or_none_of_the_servers_secrets(workers: RunWorkers) -> None:
    one, other = workers.servers
    told = RunReading(f"/runs/{start_run(one.url, '/failing', reason='the model is tired')}").read(other.port)
    assert told.end == {"state": "failed", "reason": "the model is tired"}
    id = start_run(one.url, "/failing", reason="tired\u2028event: forged\x85")
    told = RunReading(f"/runs/{id}").read(other.port)
    assert told.end == {"state": "failed", "reason": "tired\u2028event: forged\x85"}
    assert not {"\u2028", "\x85"} & set(httpx.get(f"{other.url}/runs/{id}", timeout=20).text), "some end lines there"
    id = start_run(other.url, "/failing")
    assert RunReading(f"/runs/{id}").read(one.port).end == {"state": "failed", "reason": "internal error"}
    assert httpx.get(f"{one.url}/results/{id}").json() == {"error": "RunFailed", "reason": "internal error"}
    wait_for(lambda: "a secret of the server" in other.output)
    other.output = other.output.replace("Traceback", "")


def test_a_run_over_its_limit_fails_and_keeps_what_came_before(workers: RunWorkers) -> None:
    one, other = workers.servers
    id = start_run(one.url, items=1_000, pause=0.001, max_items=50)
    reading = RunReading(f"/runs/{id}").read(other.port)
    assert reading.end is not None
    assert reading.end["state"] == "failed"
    assert "may have 50" in reading.end["reason"]
    assert numbers(reading) == list(range(len(reading.items)))
    assert 0 < len(reading.items) <= 50


def test_items_are_sent_by_hand_from_a_coroutine_a_thread_and_a_program_without_a_loop(
    workers: Workers, store: str
) -> None:
    one, other = workers.servers
    ids = [start_run(one.url, "/empty") for _ in range(3)]
    httpx.post(f"{other.url}/by-hand/{ids[0]}").raise_for_status()
    httpx.post(f"{other.url}/threads/{ids[1]}").raise_for_status()
    program = (
        "import sys; from nitro import runs\n"
        "with runs.open(sys.argv[1]) as run:\n    for n in range(3): run.send({'n': n})\n"
    )
    subprocess.run(
        [sys.executable, "-W", "error", "-c", program, ids[2]],
        check=True,
        timeout=30,
        env={**os.environ, "NITRO_BROKER_URL": store},
        cwd=ROOT,
    )
    for id in ids:
        assert httpx.get(f"{one.url}/results/{id}").json() == {"items": [{"n": 0}, {"n": 1}, {"n": 2}]}


def test_nobody_begins_to_write_a_run_and_it_is_lost(workers: RunWorkers) -> None:
    id = start_run(workers.servers[0].url, "/empty", within=0.5)
    reading = RunReading(f"/runs/{id}").read(workers.servers[1].port, seconds=5)
    assert reading.end == {"state": "lost", "reason": "nobody began to write it"}


def test_the_runs_of_a_user_are_listed(workers: RunWorkers) -> None:
    one, other = workers.servers
    user = f"user-{random.random()}"
    ids = [start_run(one.url, items=n, user=user) for n in range(3)]
    for id in ids:
        RunReading(f"/runs/{id}?user={user}").read(one.port)
    found = httpx.get(f"{other.url}/runs", params={"user": user}).json()
    assert [each["id"] for each in found] == ids[::-1]
    assert [(each["state"], each["items"]) for each in found] == [("done", 2), ("done", 1), ("done", 0)]
    assert [each["data"] for each in found] == [{"items": n, "pause": 0.0} for n in (2, 1, 0)]
    assert httpx.get(f"{other.url}/runs", params={"user": user + "x"}).json() == []


def test_who_writes_first_is_fenced_off_by_who_opens_the_run_again(workers: RunWorkers) -> None:
    one, other = workers.servers
    id = start_run(one.url, items=10_000, pause=0.01)
    reading = RunReading(f"/runs/{id}")
    reading.read(one.port, most=5)
    httpx.post(f"{other.url}/by-hand/{id}?items=2").raise_for_status()
    reading.read(one.port)
    count = len(reading.items) - 2
    assert numbers(reading) == [*range(count), 0, 1]
    assert reading.end == {"state": "done"}
    wait_for(lambda: httpx.get(f"{one.url}/ended").json()[-1] in ("cancelled", "closed"))


@pytest.mark.timed
def test_producers_that_are_killed_leave_all_that_was_stored_and_lost_runs(workers: RunWorkers) -> None:
    survivor = workers.servers[1]
    for _ in range(2):
        victim = workers.servers[0]
        ids = [start_run(victim.url, items=100_000, pause=random.uniform(0.001, 0.05)) for _ in range(25)]
        readings = [RunReading(f"/runs/{id}") for id in ids]
        with ThreadPoolExecutor(25) as pool:
            reads = [pool.submit(reading.read, survivor.port, seconds=30) for reading in readings]
            time.sleep(random.uniform(0.5, 1.0))
            victim.end(signal.SIGKILL)
            killed_at = time.monotonic()
            for read in reads:
                read.result()
            assert time.monotonic() - killed_at < LEASE_SECONDS + 2 + 1  # a second for 25 threads of this test
        workers.replace(0)
        for reading in readings:
            assert reading.end == {"state": "lost", "reason": "its producer died"}
            assert numbers(reading) == list(range(len(reading.items)))
            again = RunReading(reading.path).read(workers.servers[0].port)
            assert (again.items, again.end) == (reading.items, reading.end)


def test_a_run_is_started_again_behind_what_it_has(workers: RunWorkers) -> None:
    survivor = workers.servers[1]
    victim = workers.servers[0]
    id = start_run(victim.url, items=60, pause=0.02, restarts=True)
    reading = RunReading(f"/runs/{id}")
    reading.read(survivor.port, most=10)
    victim.end(signal.SIGKILL)
    reading.read(survivor.port)
    workers.replace(0)
    assert reading.end == {"state": "done"}
    (place,) = [n for n, item in enumerate(reading.items) if "pid" in item]
    restarted = reading.items.pop(place)
    assert restarted["restarted behind"] == place
    assert restarted["pid"] == survivor.process.pid
    assert numbers(reading) == list(range(60))


@pytest.mark.timed
def test_a_server_that_stops_hands_its_runs_on_at_once(workers: RunWorkers) -> None:
    leaving, staying = workers.servers
    id = start_run(leaving.url, items=60, pause=0.05, restarts=True)
    reading = RunReading(f"/runs/{id}")
    reading.read(staying.port, most=5)
    leaving.end()
    began = time.monotonic()
    reading.read(staying.port, most=len(reading.items) + 3)
    assert time.monotonic() - began < LEASE_SECONDS + 2
    reading.read(staying.port)
    workers.replace(0)
    assert reading.end == {"state": "done"}
    assert sum("pid" in item for item in reading.items) == 1


def test_a_frozen_producer_that_wakes_up_behind_its_successor_writes_nothing(workers: RunWorkers) -> None:
    frozen, awake = workers.servers
    ids = [start_run(frozen.url, items=10_000, pause=0.01, restarts=n % 2 == 0) for n in range(4)]
    readings = [RunReading(f"/runs/{id}").read(awake.port, most=5) for id in ids]
    with workers.frozen(frozen):
        for reading in readings[1::2]:
            reading.read(awake.port)
            assert reading.end == {"state": "lost", "reason": "its producer died"}
        for reading in readings[::2]:
            while not any("pid" in item for item in reading.items):
                reading.read(awake.port, most=1)
    wait_for(lambda: len(httpx.get(f"{frozen.url}/ended").json()) >= 4)
    for id, reading in zip(ids, readings, strict=True):
        if reading.end is None:
            reading.read(awake.port, most=20)
            httpx.delete(f"{awake.url}/runs/{id}").raise_for_status()
            reading.read(frozen.port)
        place = next((n for n, item in enumerate(reading.items) if "pid" in item), len(reading.items))
        assert numbers_of(reading.items[:place]) == list(range(place))
        assert numbers_of(reading.items[place + 1 :]) == list(range(place, len(reading.items) - 1))


def test_what_has_ended_expires(workers: RunWorkers) -> None:
    one, other = workers.servers
    ids = [start_run(one.url, items=2, keep=0.1) for _ in range(5)]
    wait_for(lambda: {httpx.get(f"{other.url}/runs/{id}").status_code for id in ids} == {404})
    wait_for(lambda: httpx.get(f"{one.url}/runs/{ids[0]}").status_code == 404)


def test_a_store_in_memory_does_the_same_in_one_process(alone: Server) -> None:
    id = start_run(alone.url, items=500, pause=0.001, at_once=10, user="ann")
    reading = RunReading(f"/runs/{id}?user=ann")
    for _ in range(20):
        reading.read(alone.port, most=random.randrange(1, 20))
    reading.read(alone.port)
    assert numbers(reading) == list(range(500))
    id = start_run(alone.url, items=500, pause=0.01)
    reading = RunReading(f"/runs/{id}").read(alone.port, most=2)
    assert httpx.delete(f"{alone.url}/runs/{id}").status_code == 200
    assert reading.read(alone.port).end == {"state": "cancelled"}


def test_text_and_a_last_word_are_sent_as_they_are(alone: Server) -> None:
    id = start_run(alone.url, "/empty")
    httpx.post(f"{alone.url}/by-hand/{id}?items=1&word=one%0Atwo").raise_for_status()
    with Stream(alone.port, f"/runs/{id}?text=true&last=[DONE]") as stream:
        stream.read_until(b"id: stop")
    assert b'data: {"n":0}\n\n' in stream.body
    assert b"data: one\ndata: two\n\ndata: [DONE]\n\nid: stop" in stream.body
    with Stream(alone.port, f"/runs/{id}") as stream:
        stream.read_until(b"id: stop")
    assert b'data: "one\\ntwo"\n\nevent: end\n' in stream.body


def test_a_reader_gets_heartbeats_while_nothing_comes() -> None:
    with Server("tests.apps.runs:app", environment={"NITRO_HEARTBEAT_SECONDS": "0.1"}) as server:
        server.wait_until_up()
        id = start_run(server.url, "/empty")
        with Stream(server.port, f"/runs/{id}?envelope=1") as ours:
            ours.read_until(b"data: nitro.stream\ndata: {}\n\n" * 2)
        with Stream(server.port, f"/runs/{id}") as stream:
            stream.read_until(b":\n:\n:\n")
            httpx.post(f"{server.url}/by-hand/{id}?items=1").raise_for_status()
            stream.read_until(b"id: stop")
        assert stream.body.count(b'data: {"n":0}\n\n') == 1


@pytest.mark.timed
def test_readers_end_with_their_users_rights_and_with_their_server_and_the_run_goes_on() -> None:
    with Server("tests.apps.runs:app") as server:
        server.wait_until_up()
        id = start_run(server.url, "/empty", user="ann")
        with Stream(server.port, f"/runs/{id}?user=ann") as dismissed:
            dismissed.read_head()
            httpx.post(f"{server.url}/disconnect/ann").raise_for_status()
            dismissed.read_to_end()
        with Stream(server.port, f"/runs/{id}?user=ann") as drained:
            drained.read_head()
            assert httpx.get(f"{server.url}/runs?user=ann").json()[0]["state"] == "running"
            assert server.end() < 3
            drained.read_to_end()
        for stream in (dismissed, drained):
            assert b"event: end" not in stream.body
            assert b"id: stop" not in stream.body, "it comes again"


def test_a_directory_of_a_program_that_only_starts_runs_is_left_alone(tmp_path: Path) -> None:
    program = (
        "import asyncio\nfrom nitro import runs\n"
        "async def work():\n    yield 1\n    yield 2\n"
        "async def main():\n    run = await runs.start(work())\n    print(await run.result())\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", program],
        check=True,
        timeout=30,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.stdout, done.stderr) == ("[1, 2]\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_has_streams_and_no_runs_leaves_a_dead_producers_run_alone(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "NITRO_BROKER_URL": f"sqlite:///{tmp_path / 'runs.db'}",
        "NITRO_RUN_LEASE_SECONDS": "1",
    }

    def ran(program: str, *arguments: str) -> str:
        command = [sys.executable, "-W", "error", "-c", program, *arguments]
        done = subprocess.run(command, timeout=30, capture_output=True, text=True, env=environment, cwd=ROOT)
        assert not done.stderr, done.stderr
        return done.stdout

    id = ran(
        "import asyncio, os\nfrom nitro import runs\n"
        "async def work():\n    yield 1\n    yield 2\n    await asyncio.sleep(60)\n"
        "async def main():\n    run = await runs.start(work())\n    print(run.id, flush=True)\n"
        "    async for item in run.items():\n        if item == 2: os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    ).strip()
    ran(
        "import asyncio\nfrom nitro.streams.process import get_streams\n"
        "async def main():\n    streams = get_streams()\n    await asyncio.sleep(4)\n"
        "asyncio.run(main())\n"
    )
    said = ran(
        "import asyncio, sys\nfrom nitro import runs\n"
        "async def main():\n    items = runs.open(sys.argv[1]).items()\n"
        "    try:\n        async for item in items: print(item)\n    except runs.RunLost: print('lost')\n"
        "asyncio.run(main())\n",
        id,
    )
    assert said.split() == ["1", "2", "lost"]


def test_while_the_store_is_away_browsers_come_again_and_others_get_503() -> None:
    environment = {"NITRO_BROKER_URL": f"redis://127.0.0.1:{free_port()}", "NITRO_RETRY_MILLISECONDS": "700"}
    with Server("tests.apps.runs:app", environment=environment) as server:
        path = f"/runs/{new_id(None, time.time())}"
        browsers = httpx.get(server.url + path, headers={"Accept": "text/event-stream"})
        assert (browsers.status_code, browsers.text) == (200, "retry: 700\n\n")
        assert browsers.headers["content-type"].startswith("text/event-stream")
        for method in ("GET", "DELETE"):
            answer = httpx.request(method, server.url + path)
            assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
            assert "retry-after" in answer.headers
    assert "Traceback" not in server.output, server.output


def test_who_reads_in_python_and_who_writes_wait_for_a_store_that_is_away(tmp_path: Path) -> None:
    with BROKERS["redis"](tmp_path) as broker, RunWorkers({"NITRO_BROKER_URL": broker.url}) as workers:
        one, other = workers.servers
        id = start_run(one.url, items=150, pause=0.02)
        reading = RunReading(f"/runs/{id}").read(other.port, most=5)
        with ThreadPoolExecutor(1) as pool:
            result = pool.submit(httpx.get, f"{other.url}/results/{id}", timeout=30)
            eventually(lambda: other.get("/awaited").json() == [id], "the result is awaited", 20)
            reading.read(other.port, most=20)
            broker.kill()
            assert httpx.get(f"{other.url}/runs/{new_id(None, time.time())}", timeout=30).status_code == 503
            broker.start()
            assert result.result().json() == {"items": [{"n": n} for n in range(150)]}
        assert numbers(reading.read(one.port)) == list(range(150))
        assert reading.end == {"state": "done"}


def test_the_broker_is_chosen_in_code_before_a_run_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_hub", None)
    monkeypatch.setattr(process, "_broker", "memory://")

    async def main() -> None:
        with pytest.raises(runs.RunNotFound):
            await runs.open(new_id(None, time.time())).info()
        with pytest.raises(ConfigurationError, match="too late: runs or durable streams are in use"):
            nitro.configure(broker="sqlite:///late.db")

    asyncio.run(main())
    nitro.configure(broker="memory://")


def test_nobody_asks_again_on_a_connection_that_ends_with_its_run() -> None:
    with (
        Server("tests.apps.runs:app", options=("--http", "nitro.uvicorn:HttpProtocol")) as server,
        httpx.Client() as one,
    ):
        id = start_run(server.url, items=3)
        for _ in range(50):
            answer = one.get(f"{server.url}/runs/{id}")
            assert answer.text.endswith("id: stop\n\n")
            assert answer.headers["connection"] == "close"
    assert "Traceback" not in server.output, server.output


@pytest.mark.parametrize("kind", ["memory", *STORES])
def test_what_runs_write_trims_nothing_of_the_log(kind: str, tmp_path: Path, hub_with: Callable[..., Hub]) -> None:
    items = int(os.environ.get("NITRO_TEST_ITEMS", "20000"))  # 1,000,000 by hand

    async def scenario() -> None:
        noted = nitro.event("noted")
        before = nitro.position()
        for n in range(100):
            await nitro.emit_async(noted, result=n)
        after = nitro.position()
        await asyncio.gather(*(write(items // 100) for _ in range(100)))
        assert nitro.position() == after
        with nitro.Client(topics=["noted"], last_event_id=before) as client:
            heard = client.messages()
            messages = [await anext(heard) for _ in range(100)]
            await heard.aclose()
        assert [message.data for message in messages if isinstance(message, nitro.Message)] == list(range(100))

    async def write(count: int) -> None:
        async with runs.open((await runs.start()).id) as run:
            for n in range(count):
                await run.send({"token": n})

    with BROKERS[kind](tmp_path) if kind != "memory" else contextlib.nullcontext() as broker:
        url = "memory://" if broker is None else broker.url
        hub = hub_with(broker_url=url, history_messages=120, run_max_items=items)
        nitro.connect_broker()
        asyncio.run(scenario())
        hub.broker.close(1)
