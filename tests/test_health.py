"""Health: what a probe is told while a broker is killed, a server drains, and something is stuck."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import nitro
from nitro import Client
from nitro.delivery import process
from nitro.delivery.hub import Hub
from tests.metrics import scrape
from tests.servers import Server, wait_for
from tests.services import RedisServer
from tests.sse import Stream


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def ask(path: str) -> httpx.Response:
    async def asking() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(nitro.health), base_url="http://test") as client:
            return await client.get(path)

    return asyncio.run(asking())


def test_ready_and_live_without_a_broker_beside_the_process(hub: Hub) -> None:
    for path in ("/live", "/ready"):
        answer = ask(path)
        assert (answer.status_code, answer.json()) == (200, {"status": path[1:]})
        assert answer.headers["cache-control"] == "no-store"
    assert ask("/").status_code == ask("/other").status_code == 404
    assert not hub.is_draining
    nitro.shutdown()
    answer = ask("/ready")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["the process ends its streams"])
    assert ask("/live").status_code == 200


def test_live_needs_nothing_and_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_hub", None)
    assert ask("/live").status_code == 200
    assert process._hub is None


def test_a_broker_that_was_never_there_is_told_from_one_that_is_gone(hub_with: Callable[..., Hub]) -> None:
    hub_with(broker_url="redis://127.0.0.1:1")
    answer = ask("/ready")
    assert (answer.status_code, answer.json()["reasons"]) == (503, ["the broker has not been reached yet"])


@pytest.mark.timed
def test_ready_follows_a_redis_that_is_killed_and_comes_back_and_live_does_not_care(redis: RedisServer) -> None:
    with Server("tests.apps.metrics:app", environment={"NITRO_BROKER_URL": redis.url}) as server:
        wait_for(lambda: server.get("/health/ready").status_code == 200)
        assert scrape(server)("broker_up") == 1
        redis.end(9)
        began = time.monotonic()
        wait_for(lambda: server.get("/health/ready").status_code == 503)
        assert time.monotonic() - began < 1
        answer: dict[str, Any] = server.get("/health/ready").json()
        assert answer["status"] == "unavailable"
        assert answer["reasons"][0].startswith("the broker has been unavailable for ")
        assert str(redis.port) not in str(answer), "a probe may be anybody's"
        server.post("/emit?count=3&chars=100")
        seen = scrape(server)
        assert seen("broker_up") == 0
        assert seen("outgoing_bytes") > 300
        assert server.get("/health/live").status_code == 200
        redis.start()
        wait_for(lambda: server.get("/health/ready").status_code == 200, seconds=20)
        wait_for(lambda: scrape(server)("outgoing_bytes") == 0)
        assert scrape(server)("broker_up") == 1


def test_ready_says_that_a_broker_refuses(tmp_path: Path) -> None:
    nowhere = f"sqlite:///{tmp_path}/missing/events.db"
    with Server("tests.apps.metrics:app", environment={"NITRO_BROKER_URL": nowhere}) as server:
        wrong = {"status": "unavailable", "reasons": ["the broker can't be used as it is configured"]}
        wait_for(lambda: server.get("/health/ready").json() == wrong)
        assert server.get("/health/live").status_code == 200
    with Server("tests.apps.metrics:app", environment={"NITRO_BROKER_URL": "carrier-pigeon://roof"}) as server:
        answer = server.get("/health/ready")
        assert (answer.status_code, answer.json()) == (503, wrong)
        assert scrape(server)("broker_up") == 0


def test_a_server_that_drains_is_not_ready_while_its_streams_end() -> None:
    with Server("tests.apps.metrics:app") as server, Stream(server.port, "/events") as stream:
        stream.read_until(b"\n\n")
        assert server.get("/health/ready").status_code == 200
        server.post("/shutdown")
        answer = server.get("/health/ready")
        assert (answer.status_code, answer.json()["reasons"]) == (503, ["the process ends its streams"])
        assert server.get("/health/live").status_code == 200
        stream.read_to_end()


@pytest.mark.usefixtures("hub")
def test_a_loop_with_streams_that_is_stuck_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nitro.sse.health._STUCK_SECONDS", 0.5)
    is_stuck, may_go_on = threading.Event(), threading.Event()

    async def scenario() -> None:
        with Client(topics=["a"]):
            is_stuck.set()
            may_go_on.wait(30)

    other = threading.Thread(target=asyncio.run, args=[scenario()])
    other.start()
    try:
        assert is_stuck.wait(10)
        assert ask("/live").status_code == 200
        wait_for(lambda: ask("/live").status_code == 503)
        assert ask("/live").json()["reasons"][0].startswith("an event loop has been stuck for ")
        assert ask("/ready").status_code == 200
    finally:
        may_go_on.set()
        other.join(10)
    assert ask("/live").status_code == 200


@pytest.mark.usefixtures("hub")
def test_a_loop_that_nobody_runs_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nitro.sse.health._STUCK_SECONDS", 0.1)

    async def connect() -> Client:
        return Client(topics=["a"]).connect()

    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(connect())
    time.sleep(1.5)
    assert nitro.statistics().clients == 1
    assert ask("/live").status_code == 200
    client.disconnect()
    loop.close()


def test_the_brokers_thread_is_not_alive_when_it_is_stuck_and_is_while_redis_is_frozen(
    redis: RedisServer, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NITRO_BROKER_URL", redis.url)
    nitro.settings.get_settings.cache_clear()
    monkeypatch.setattr(process, "_hub", None)
    shared = process.get_hub()
    nitro.connect_broker()
    monkeypatch.setattr("nitro.sse.health._STUCK_SECONDS", 8.0)
    redis.freeze()
    wait_for(lambda: ask("/ready").status_code == 503, seconds=15)
    assert ask("/live").status_code == 200
    redis.thaw()
    wait_for(lambda: ask("/ready").status_code == 200, seconds=20)
    monkeypatch.setattr("nitro.sse.health._STUCK_SECONDS", 2.0)
    may_go_on = threading.Event()
    shared.broker._loop.call_soon_threadsafe(may_go_on.wait, 30)  # type: ignore[attr-defined]
    try:
        wait_for(lambda: ask("/live").status_code == 503, seconds=10)
        assert ask("/live").json()["reasons"][0].startswith("the connection to the broker has been stuck for ")
    finally:
        may_go_on.set()
    wait_for(lambda: ask("/live").status_code == 200, seconds=10)
