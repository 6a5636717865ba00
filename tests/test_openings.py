"""What a stream sends beside events: its first write, its heartbeats, and its last bytes."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from playwright.sync_api import Page

import nitro
from nitro import Client, EventSourceResponse, emit
from nitro.datastar import DatastarResponse
from nitro.delivery.hub import Hub
from tests.servers import Server
from tests.test_frame import parsed
from tests.wire import Wire

RESPONSES: list[Callable[..., EventSourceResponse]] = [EventSourceResponse, DatastarResponse]
LONG_HEADER = {"x-long": "x" * 4000, "cache-control": "no-store"}
LONGEST_OPENING = 512
"""Caddy's `encode` begins to compress, and to hold back, at a first write of that many bytes."""


class Writes(Wire):
    """Keeps each write of the body by itself."""

    def __init__(self, query: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(query, headers)
        self.writes: list[bytes] = []

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "http.response.body":
            self.writes.append(message["body"])


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.mark.parametrize("query", [b"", b"envelope=1", b"envelope=1&" + b"topic=a.*&" * 500])
@pytest.mark.parametrize("options", [{}, {"named": True}, {"text": True}, {"named": True, "text": True}], ids=str)
@pytest.mark.parametrize("make", RESPONSES)
def test_the_opening_is_one_small_write_whatever_was_asked_for(
    make: Callable[..., EventSourceResponse], options: dict[str, bool], query: bytes, hub_with: Callable[..., Hub]
) -> None:
    if make is DatastarResponse:
        options = {}
    hub_with(heartbeat_seconds=1234567.890123456)

    async def scenario() -> None:
        longest = f"{'z' * 32}-{'9' * 18}"
        for last_id in (b"", nitro.position().encode(), longest.encode()):
            wire = Writes(query, ((b"last-event-id", last_id),))
            client = Client(topics=["a.*"], client_id="c" * 4000)
            response = make(client, retry_milliseconds=2**31 - 1, headers=LONG_HEADER, **options)
            task = wire.answer(response)
            await wire.until(b"\n\n")
            first = wire.writes[0]
            assert first.startswith(b":\nretry: 2147483647\n")
            assert len(first) < LONGEST_OPENING // 2
            assert first.count(b"\n\n") <= 1
            wire.gone.set()
            await task

    run(scenario)


@pytest.mark.usefixtures("hub")
def test_the_opening_is_one_block_that_moves_the_id_and_dispatches_nothing() -> None:
    async def scenario() -> None:
        wire = Writes()
        task = wire.answer(Client(topics=["a"]))
        await wire.until(b"\n\n")
        assert wire.body == f":\nretry: 2000\nid: {nitro.position()}\n\n".encode()
        reading = parsed(wire.body, [])
        assert (reading.events, reading.last_id, reading.retry) == ([], nitro.position(), 2000)
        wire.gone.set()
        await task

    run(scenario)


@pytest.mark.usefixtures("hub")
def test_an_opening_before_a_gap_and_the_last_retry_leave_clients_that_count_blocks_nothing_to_count() -> None:
    async def scenario() -> None:
        wire = Wire(headers=((b"last-event-id", b"nobodys"),))
        client = Client(topics=["a"])
        task = wire.answer(client)
        await wire.until(b"event: gap")
        emit("a", result=1)
        await wire.until(b"data: 1\n\n")
        client.disconnect()
        await task
        *blocks, rest = wire.body.split(b"\n\n")
        assert all(b"data: " in block for block in blocks)
        assert re.fullmatch(rb"retry: \d+\n", rest)

    run(scenario)


@pytest.mark.usefixtures("hub")
def test_the_end_of_a_stream_with_the_longest_retry_is_still_a_number_that_a_browser_takes() -> None:
    async def scenario() -> None:
        for query in (b"", b"envelope=1"):
            wire = Wire(query)
            client = Client(topics=["a"])
            task = wire.answer(EventSourceResponse(client, retry_milliseconds=2**31 - 1))
            await wire.until(b"id: ")
            client.disconnect()
            await task
            assert wire.is_complete
            assert re.findall(rb"^retry: (\d+)$", wire.body, re.MULTILINE)[-1] == b"2147483647"

    run(scenario)


@pytest.mark.usefixtures("hub")
def test_in_an_envelope_the_opening_and_the_end_are_one_event_each() -> None:
    async def scenario() -> None:
        for stop, last in ((False, {"retry": 0}), (True, {"stop": True})):
            wire = Wire(b"envelope=1")
            client = Client(topics=["a"])
            task = wire.answer(EventSourceResponse(client, retry_milliseconds=0))
            await wire.until(b"id: ")
            position = nitro.position()
            client.disconnect(stop=stop)
            await task
            reading = parsed(wire.body, [])
            news = [json.loads(data.removeprefix("nitro.stream\n")) for _, data, _ in reading.events]
            assert news[0].pop("for").startswith("t")
            assert news == [{"retry": 0, "heartbeat": 15.0}, last]
            assert reading.events[0][2] == position
            assert reading.last_id == ("stop" if stop else position)


@pytest.mark.browser
def test_a_browser_takes_a_retry_whose_line_is_all_that_comes_before_the_end(page: Page) -> None:
    """The opening says a minute, the last line, without a blank one behind it, some milliseconds."""
    with Server("tests.apps.streams:app", environment={"NITRO_RETRY_MILLISECONDS": "60000"}) as server:
        server.open_in(page)
        page.evaluate("source.close()")
        page.evaluate(
            """() => {
                window.opened = 0;
                window.other = new EventSource("/events?soon=true");
                other.onopen = () => opened++;
                other.onmessage = (event) => heard.push(JSON.parse(event.data).n);
            }"""
        )
        page.wait_for_function("opened === 1")
        server.post("/emit?start=1")
        page.wait_for_function("heard.length === 1")
        began = time.monotonic()
        server.post("/disconnect-all")
        server.post("/emit?start=2")
        page.wait_for_function("opened === 2 && heard.length === 2", timeout=20_000)
        assert time.monotonic() - began < 20
        assert page.evaluate("heard") == [1, 2]
        page.goto("about:blank")
