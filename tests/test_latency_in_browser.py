"""How long an event is under way, from an endpoint in the threadpool to `onmessage` in the page, by one clock."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Page

import nitro
from tests.servers import Server

pytestmark = [pytest.mark.browser, pytest.mark.alone]

EVENTS: Final = 30
LIMIT_MS: Final = 20.0

APP: Final = '''
import time

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, StreamingResponse

from nitro.infrastructure.events import Client, emit, event
from nitro.clients.client import active_clients

app = FastAPI()
ticked = event("clock.ticked")


@app.get("/", response_class=HTMLResponse)
async def page():
    return """<!doctype html><title>latency</title><script>
    const tookMs = [];
    new EventSource("/events").onmessage = message => {
        const nowMs = performance.timeOrigin + performance.now();
        tookMs.push(nowMs - JSON.parse(message.data).emitted_ms);
    };
    </script>"""


@app.get("/events")
async def events():
    client = Client(topics=["clock.*"])

    async def event_stream():
        with client:
            async for data in client.stream(delay=5):
                yield f"data: {data}\\n\\n"

    return StreamingResponse(event_stream(), media_type="text/event-stream")


@app.get("/active")
async def active():
    return len(active_clients)


@app.post("/tick")
def tick():  # a plain function: FastAPI runs it in a thread
    emit(ticked, "clock", result={"emitted_ms": time.time_ns() / 1e6})
'''


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "app.py").write_text(APP, encoding="utf-8")
    sources = Path(nitro.__file__).parents[1]
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(sources)])}
    with Server("app:app", directory=tmp_path, environment=environment) as server:
        yield server


def test_an_event_from_the_threadpool_is_in_the_page_within_20_milliseconds(server: Server, page: Page) -> None:
    page.goto(server.url)
    deadline = time.monotonic() + 10
    while server.get("/active").json() != 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for number in range(EVENTS):  # each alone: the stream is idle when it comes
        assert server.post("/tick").status_code == 200
        page.wait_for_function("count => tookMs.length === count", arg=number + 1, timeout=10_000)
    took_ms = page.evaluate("tookMs")
    assert len(took_ms) == EVENTS
    assert min(took_ms) > -1, "the clocks of the page and of the server are not one"
    assert statistics.median(took_ms) < LIMIT_MS, f"{sorted(took_ms)}"
