"""Where a client begins that comes without an id, and where a page says that its stream begins: behind all that anybody
was told to be in the log, whichever process it was.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

import nitro
from nitro import Client
from nitro.delivery.hub import Hub
from nitro.messages.message import Message, Position
from nitro.testing.conformance import End, eventually
from tests.brokers import BROKERS, SERVERS, Broker
from tests.cast import wait_until_open
from tests.clients import take
from tests.servers import Server
from tests.sse import Stream

ROUNDS = 25


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    with BROKERS[request.param](tmp_path / "broker") as started:
        yield started


@pytest.fixture
def shared(broker: Broker, hub_with: Callable[..., Hub]) -> Iterator[Hub]:
    hub = hub_with(broker_url=broker.url, namespace="app")
    nitro.connect_broker()
    yield hub
    hub.broker.close(1)


@pytest.fixture
def other(broker: Broker) -> Iterator[End]:
    """Another process's end of the same log."""
    end = End(broker.log("app"))
    wait_until_open(end)
    yield end
    end.broker.close(1)


def sequence(position: str) -> int:
    found = Position.parse(position)
    assert found is not None
    return found.sequence


def test_a_client_does_not_hear_what_was_acknowledged_before_it_connected(shared: Hub) -> None:
    async def scenario() -> None:
        for n in range(ROUNDS):
            if n % 10 == 9:
                await asyncio.sleep(1.1)  # so that the log was quiet, and is looked at less often
            await nitro.emit_async("a.b", result=["before", n])
            before = nitro.position()
            with Client(topics=["a.*"]) as client:
                await nitro.emit_async("a.b", result=["after", n])
                (message,) = await take(client, 1)
                assert isinstance(message, Message)
                assert message.data == ["after", n]
                assert sequence(before) == sequence(str(message.id)) - 1

    asyncio.run(scenario())


def test_a_position_is_behind_what_another_process_was_told_to_be_in_the_log(shared: Hub, other: End) -> None:
    async def scenario() -> None:
        for n in range(ROUNDS):
            other.publish(b"%d" % n)
            other.flush()
            position = await (nitro.position_async() if n % 2 else asyncio.to_thread(nitro.position))
            with Client(topics=["a.*"], last_event_id=position) as client:
                other.publish(b'"after"')
                other.flush()
                (message,) = await take(client, 1)
                assert isinstance(message, Message)
                assert message.data == "after"
                assert sequence(position) == sequence(str(message.id)) - 1

    asyncio.run(scenario())


@pytest.mark.timed
@pytest.mark.parametrize("broker", SERVERS, indirect=True)
def test_an_event_loop_is_not_held_up_for_a_position(shared: Hub, broker: Broker) -> None:
    """In a coroutine `position()` is how far the process has read."""

    async def scenario() -> None:
        read = nitro.position()
        broker.freeze()
        try:
            began = time.monotonic()
            assert nitro.position() == read
            assert time.monotonic() - began < 0.5
            assert await nitro.position_async() == read  # after a while
        finally:
            broker.thaw()

    asyncio.run(scenario())


@pytest.mark.parametrize("call", ["nitro.position()", "asyncio.run(in_loop())", "asyncio.run(nitro.position_async())"])
def test_the_first_position_of_a_process_is_one_of_the_log(broker: Broker, call: str) -> None:
    end = End(broker.log("nitro"))
    wait_until_open(end)
    end.publish(b"1")
    end.flush()
    eventually(lambda: end.heard.messages, "it is heard")
    program = f"import asyncio, nitro\nasync def in_loop(): return nitro.position()\nprint({call})"
    environment = {**os.environ, "NITRO_BROKER_URL": broker.url}
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    assert found.stdout.strip() == str(end.broker.head)
    end.broker.close(1)


@pytest.mark.timed
@pytest.mark.parametrize("broker", SERVERS, indirect=True)
def test_a_position_is_not_waited_for_where_the_broker_is_away(shared: Hub, broker: Broker) -> None:
    before = nitro.position()
    broker.kill()
    eventually(lambda: shared.broker.state.gone_seconds > 0, "it is noticed")
    began = time.monotonic()
    assert nitro.position() == before
    assert asyncio.run(nitro.position_async()) == before
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("broker", ["sqlite", "postgresql"], indirect=True)
def test_a_page_behind_a_redirect_hears_nothing_that_it_shows(broker: Broker, tmp_path: Path) -> None:
    """Two workers: what one has written and has in the log, a page of the other shows, and doesn't hear again."""
    environment = {"NITRO_BROKER_URL": broker.url, "ROWS_DB": str(tmp_path / "rows.db")}
    every_request_anew = httpx.Limits(max_keepalive_connections=0)  # to whichever worker takes it
    with (
        Server("tests.apps.redirects:app", options=("--workers", "2"), environment=environment) as server,
        httpx.Client(base_url=server.url, limits=every_request_anew, verify=False) as browser,
    ):
        workers = set()
        for n in range(0, 4 * ROUNDS, 2):
            added = browser.post(f"/rows?id={n}")
            page = browser.get("/thread" if n % 4 else added.headers["location"]).json()
            workers.add(page["worker"])
            assert page["ids"] == list(range(n + 1))
            path = (
                f"/events?last_event_id={page['position']}" if n % 3 else "/events"
            )  # without one it begins there, too
            with Stream(server.port, path) as stream:
                stream.read_until(b"id: ")
                browser.post(f"/rows?id={n + 1}")
                assert stream.events(1) == [n + 1]
                assert b"event: gap" not in stream.body
        assert len(workers) == 2
