"""Two tenants on one broker, each by its namespace, and users who are ended in every process of their tenant alone."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from nitro.messages.message import Position
from tests.brokers import BROKERS, Broker
from tests.servers import Server
from tests.sse import Stream

ADA = "Cookie: user=ada\r\n"


@pytest.fixture(params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    with BROKERS[request.param](tmp_path / "broker") as started:
        yield started


def emit(server: Server, result: str) -> None:
    server.post("/test/emit", params={"topic": "todo.a", "result": result})


def newest_id(stream: Stream) -> str:
    found: list[bytes] = re.findall(rb"^id: (\S+)$", stream.body, re.MULTILINE)
    return found[-1].decode()


def newest_place(stream: Stream) -> Position:
    place = Position.parse(newest_id(stream))
    assert place is not None
    return place


def test_tenants_see_nothing_of_each_other_and_a_user_is_ended_everywhere_in_one(broker: Broker) -> None:
    environment = {"NITRO_BROKER_URL": broker.url, "NITRO_RECIPE": "Starlette", "NITRO_RETRY_MILLISECONDS": "100"}
    names = ("one", "one", "two")
    with ExitStack() as stack:
        servers = [
            stack.enter_context(Server("tests.apps.access:app", environment={**environment, "NITRO_NAMESPACE": name}))
            for name in names
        ]
        mine, beside, theirs = servers
        streams = [stack.enter_context(Stream(server.port, "/events", ADA).read_until(b"id: ")) for server in servers]
        before = newest_place(streams[2])
        for n in range(20):
            emit(mine, f"tenant one's {n}")
        assert streams[0].events(20) == streams[1].events(20) == [f"tenant one's {n}" for n in range(20)]
        emit(theirs, "tenant two's")
        assert streams[2].events(1) == ["tenant two's"]
        now = newest_place(streams[2])
        assert now[:2] == (before.epoch, before.sequence + 1), "no count of another's"
        assert now.epoch != newest_place(streams[0]).epoch

        with Stream(theirs.port, "/events", f"{ADA}Last-Event-ID: {newest_id(streams[0])}\r\n") as stranger:
            stranger.read_until(b'"reason":"epoch"')
            emit(theirs, "and nothing of the other's")
            assert stranger.read_until(b"nothing of").data()[1:] == ["and nothing of the other's"]

        bob = stack.enter_context(Stream(beside.port, "/events", "Cookie: user=bob\r\n").read_until(b"id: "))
        beside.post("/test/disconnect?user=ada")
        for stream in streams[:2]:
            stream.read_to_end()
        emit(mine, "after")
        assert bob.events(1) == ["after"]
        emit(theirs, "still there")
        streams[2].read_until(b"still there")
        assert "after" not in streams[0].data() + streams[1].data()
        assert not streams[2].is_complete


def test_a_browser_that_shall_stay_away_is_told_so() -> None:
    environment = {"NITRO_RECIPE": "Starlette"}
    with Server("tests.apps.access:app", environment=environment) as server:
        with Stream(server.port, "/events", ADA).read_until(b"id: ") as stream:
            server.post("/test/disconnect?user=ada&stop=true")
            assert stream.read_to_end().body.endswith(b"id: stop\n\n")
        with Stream(server.port, "/events", f"{ADA}Last-Event-ID: stop\r\n") as stream:
            assert stream.read_head().head.startswith("HTTP/1.1 204")
        deadline = time.monotonic() + 5
        while server.get("/test/clients").json():
            assert time.monotonic() < deadline
            time.sleep(0.01)
