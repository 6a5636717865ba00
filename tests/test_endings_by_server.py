"""Each server that is told to stop, with two hundred open streams: at once, cleanly, and browsers come back."""

from __future__ import annotations

import contextlib
import signal

import pytest
from playwright.sync_api import Page

from tests.servers import Server
from tests.sse import Stream

APP = "tests.apps.streams:app"
STREAMS = 200
SERVERS = {
    "uvicorn with workers": ("uvicorn", ("--workers", "2")),
    "uvicorn with reload": ("uvicorn", ("--reload", "--reload-dir", "tests/apps")),
    "granian": ("granian", ("--backpressure", "1000")),
    "hypercorn": ("hypercorn", ("--workers", "0")),
}
GRANIANS_OWN = "Cannot drop pointer into Python heap without the thread being attached"
"""granian 2.8 ends its runtime without waiting for applications that have sent all, and may then panic in it."""


@pytest.mark.alone
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", SERVERS)
def test_a_server_with_two_hundred_open_streams_ends_within_three_seconds(name: str, signum: signal.Signals) -> None:
    runner, options = SERVERS[name]
    with Server(APP, runner=runner, options=options) as server, contextlib.ExitStack() as open_streams:
        streams = [open_streams.enter_context(Stream(server.port, "/events")) for _ in range(STREAMS)]
        for stream in streams:
            stream.read_until(b"id: ")
        took = server.end(signum)
        for stream in streams:
            stream.read_to_end()
            assert b"retry: " in stream.body.rsplit(b"\n\n", 2)[-2]
    assert took < 3, server.output[-3000:]
    if runner != "granian" or GRANIANS_OWN not in server.output:
        assert "lifespan shutdown ran" in server.output
    assert "Traceback" not in server.output, server.output


@pytest.mark.browser
def test_a_browser_comes_back_to_a_server_that_was_restarted(page: Page) -> None:
    environment = {"NITRO_RETRY_MILLISECONDS": "50"}
    with Server(APP, environment=environment) as server:
        server.open_in(page)
        server.post("/emit?count=3")
        page.wait_for_function("heard.length === 3")
    with Server(APP, environment=environment, port=server.port) as again:
        page.wait_for_function("source.readyState === EventSource.OPEN && gaps.length === 1", timeout=20_000)
        again.post("/emit?count=3&start=10")
        page.wait_for_function("heard.length === 6")
        assert page.evaluate("heard") == [0, 1, 2, 10, 11, 12]
        page.goto("about:blank")
