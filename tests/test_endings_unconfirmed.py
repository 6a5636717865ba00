"""Over HTTP/2, what a server holds for a reader that stops is bounded, also where it never makes a stream wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvicorn

import nitro
from nitro import Client, EventSourceResponse, emit
from nitro.delivery.hub import Hub
from tests.h2c import H2Stream
from tests.servers import Server
from tests.sse import Stream

APP = "tests.apps.streams:app"
LIMIT = 4 << 20
NEVER_WAIT = {
    "hypercorn": ("hypercorn", ("--workers", "0")),
    "uvicorn with zttp": ("uvicorn", ("--http", "zttp", "--http2", "--no-access-log")),
}
WARNING = "over HTTP/2 it doesn't push back"


def start(runner: str, options: tuple[str, ...], **settings: object) -> Server:
    if "--http2" in options and all(known.name != "http2" for known in uvicorn.main.params):
        pytest.skip("OLD UVICORN: it has no HTTP/2")
    environment = {f"NITRO_{name.upper()}": str(value) for name, value in settings.items()}
    return Server(APP, runner=runner, options=options, environment=environment)


@pytest.mark.parametrize("name", NEVER_WAIT)
def test_a_reader_that_stops_costs_no_more_than_the_limit_and_hurts_nobody(name: str) -> None:
    with (
        start(*NEVER_WAIT[name], max_unconfirmed_bytes=LIMIT, history_bytes=1 << 20) as server,
        H2Stream(server.port, "/events", opens_window=False) as stopped,
        Stream(server.port, "/events") as other,
    ):
        stopped.read_until(b"id: ")
        other.read_until(b"id: ")
        before = server.get("/left").json()["resident_kib"]
        for n in range(300):
            server.post(f"/emit?start={n}&pad=200000")
            other.read_until(b'"n":%d,' % n).body = b""
        left = server.get("/left").json()
        assert left["resident_kib"] - before < 24 << 10, "of 60 MB"
        assert left["clients"] == 1
        assert server.get("/statistics").json()["ended"] == {"unconfirmed": 1}
    assert server.output.count(WARNING) == 1
    assert "Traceback" not in server.output, server.output


@pytest.mark.parametrize("name", NEVER_WAIT)
def test_a_reader_that_reads_is_ended_at_the_limit_too_and_hears_every_event_once_in_order(name: str) -> None:
    with start(*NEVER_WAIT[name], max_unconfirmed_bytes=LIMIT // 4) as server:
        heard: list[int] = []
        last_event_id, connections = "", 0
        emitted = 0
        while len(heard) < 100:
            connections += 1
            with H2Stream(server.port, "/events", last_event_id=last_event_id) as stream:
                stream.read_until(b"id: ")
                while not stream.is_complete and len(heard) + len(stream.data()) < 100:
                    if emitted == len(heard) + len(stream.data()):  # one at a time: a write takes all that waits
                        server.post(f"/emit?start={emitted}&pad=100000")
                        emitted += 1
                    stream.read_more()
                heard += [event["n"] for event in stream.data()]
                assert len(stream.body) < LIMIT // 4 + 200_000
                last_event_id = stream.last_event_id
                if stream.is_complete:
                    assert stream.body.rsplit(b"\n\n", 1)[-1].startswith(b"retry: ")
        assert heard == list(range(100))
        assert connections >= 9
        assert server.get("/statistics").json()["gaps"] == {}
        assert server.output.count(WARNING) == 1


def test_a_server_that_waits_over_http2_is_not_bounded_and_ends_a_reader_that_stops_as_slow() -> None:
    with (
        start("granian", ("--http", "auto"), max_unconfirmed_bytes=LIMIT // 4, history_bytes=1 << 20) as server,
        H2Stream(server.port, "/events", opens_window=False) as stopped,
        H2Stream(server.port, "/events") as reading,
    ):
        stopped.read_until(b"id: ")
        reading.read_until(b"id: ")
        for n in range(200):
            server.post(f"/emit?start={n}&pad=100000")
            reading.read_until(b'"n":%d,' % n).body = b""
        assert not reading.is_complete
        assert server.get("/statistics").json()["ended"] == {"slow": 1}
    assert WARNING not in server.output


@pytest.mark.parametrize(("version", "waits", "ends"), [("2", 0.0, True), ("2", 0.001, False), ("1.1", 0.0, False)])
def test_a_send_that_waits_confirms_what_was_handed_over_before(
    hub_with: Callable[..., Hub], version: str, waits: float, ends: bool
) -> None:
    hub_with(max_unconfirmed_bytes=100_000)

    async def scenario() -> None:
        sent: list[bytes] = []

        async def send(message: Any) -> None:
            await asyncio.sleep(waits)
            sent.append(message.get("body", b""))

        async def receive() -> Any:
            await asyncio.sleep(3600)

        scope = {"type": "http", "method": "GET", "http_version": version, "headers": [], "query_string": b""}
        client = Client(topics=["a"])
        streaming = asyncio.create_task(EventSourceResponse(client)(scope, receive, send))
        while not client.is_connected or len(sent) < 2:
            await asyncio.sleep(0)
        for n in range(50):
            emit("a", result=[n, "x" * 10_000])
            await asyncio.sleep(0.005)
        assert client.is_connected is not ends
        assert nitro.statistics().ended == ({"unconfirmed": 1} if ends else {})
        if ends:
            assert sum(map(len, sent)) < 120_000
            assert b"retry: " in sent[-1]
        client.disconnect()
        await streaming

    asyncio.run(scenario())
