"""Faults 1, 3, 4, 6 and 10 while a hundred runs are written in one process and read in another: each reader gets every
item once, in order, and the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.brokers import BROKERS, SERVERS, STORES, Broker
from tests.run_reading import RunReading, start_run
from tests.servers import Server, wait_for
from tests.services import Proxy

RUNS, ITEMS = 100, 150
FROZEN_SECONDS = 8.0


@pytest.fixture(params=[kind for kind in SERVERS if kind in STORES])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    with BROKERS[request.param](tmp_path) as broker:
        yield broker


@contextmanager
def hundred_runs(url: str) -> Iterator[list[Future[RunReading]]]:
    """They are written for some seconds, and read meanwhile; at last all has to be there."""
    environment = {"NITRO_BROKER_URL": url, "NITRO_MAX_CONNECTS_PER_SECOND_PER_USER": "1000"}
    servers = [Server("tests.apps.runs:app", environment=environment) for _ in range(2)]
    try:
        writing, reading = [server.wait_until_up() for server in servers]
        with ThreadPoolExecutor(RUNS) as pool:
            ids = list(pool.map(lambda _: start_run(writing.url, items=ITEMS, pause=0.04), range(RUNS)))
            paths = [f"/runs/{id}" for id in ids]
            readings = [pool.submit(RunReading(path).follow, reading.port) for path in paths]
            yield readings
            wait(readings, 90)
        for each in readings:
            found = each.result()
            assert found.end == {"state": "done"}
            assert [item["n"] for item in found.items] == list(range(ITEMS))
    finally:
        for server in servers:
            server.end()


def while_they_are_written(url: str, fault: Callable[[], object]) -> None:
    with hundred_runs(url) as readings:
        time.sleep(1)
        assert not any(reading.done() for reading in readings)
        fault()


def test_1_the_broker_is_killed_and_started_again(broker: Broker) -> None:
    def killed() -> None:
        for _ in range(2):
            broker.kill()
            time.sleep(0.5)
            broker.start()
            time.sleep(0.5)

    while_they_are_written(broker.url, killed)


def test_3_the_broker_is_frozen(broker: Broker) -> None:
    def frozen() -> None:
        broker.freeze()
        time.sleep(FROZEN_SECONDS)
        broker.thaw()

    while_they_are_written(broker.url, frozen)


def test_4_the_broker_is_out_of_reach_without_a_reset(broker: Broker) -> None:
    with Proxy(broker.port) as proxy:

        def stalled() -> None:
            proxy.stall()
            time.sleep(FROZEN_SECONDS)
            proxy.go_on()

        while_they_are_written(broker.url_through(proxy.port), stalled)


def test_6_the_broker_ends_its_connections(broker: Broker) -> None:
    def cut() -> None:
        for _ in range(4):
            broker.cut()
            time.sleep(0.3)

    while_they_are_written(broker.url, cut)


def test_10_the_broker_is_absent_at_the_start(broker: Broker) -> None:
    broker.kill()
    with Server("tests.apps.runs:app", environment={"NITRO_BROKER_URL": broker.url}) as server:
        server.wait_until_up()
        assert httpx.post(f"{server.url}/runs", timeout=30, verify=False).status_code == 500, (
            "the application lets the error through"
        )
        broker.start()
        wait_for(lambda: httpx.post(f"{server.url}/runs", timeout=30, verify=False).status_code == 202, seconds=15)
        id = start_run(server.url, items=20)
        assert len(RunReading(f"/runs/{id}").follow(server.port).items) == 20
