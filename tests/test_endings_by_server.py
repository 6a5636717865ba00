"""Each server that is told to stop, with two hundred open streams: at once, cleanly, and browsers come back."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page

from tests.servers import Server
from tests.sse import Stream

APP = "tests.apps.streams:app"
STREAMS = 200
DIRECT = ("--http", "nitro.uvicorn:HttpProtocol")
RELOAD = ("--reload", "--reload-dir", "tests/apps")
SERVERS = {
    "uvicorn with workers": ("uvicorn", ("--workers", "2")),
    "uvicorn with reload": ("uvicorn", RELOAD),
    "uvicorn, direct": ("uvicorn", DIRECT),
    "uvicorn, direct, with workers": ("uvicorn", (*DIRECT, "--workers", "2")),
    "uvicorn, direct, with reload": ("uvicorn", (*DIRECT, *RELOAD)),
    "granian": ("granian", ("--backpressure", "1000")),
    "hypercorn": ("hypercorn", ("--workers", "0")),
}
GRANIANS_OWN = "Cannot drop pointer into Python heap without the thread being attached"
"""granian 2.8 ends its runtime without waiting for applications that have sent all, and may then panic in it."""


@pytest.mark.timed
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
            assert stream.body.rsplit(b"\n\n", 1)[-1].startswith(b"retry: ")
    assert took < 3, server.output[-3000:]
    if runner != "granian" or GRANIANS_OWN not in server.output:
        assert "lifespan shutdown ran" in server.output
    assert "Traceback" not in server.output, server.output


@dataclass(frozen=True)
class Way:
    """How a server is told to stop, or tells itself.

    Attributes:
        runner, options: how it is started.
        signum: what its process is sent; None lets it stop by itself, after a few requests.
        comes_back: whether a supervisor starts a worker anew.
        skips_lifespan: whether it stops without a word to the application.
        seconds: the longest that the streams may last; the server's own interval between two looks is in it.
    """

    runner: str
    options: tuple[str, ...]
    signum: signal.Signals | None
    comes_back: bool = False
    skips_lifespan: bool = False
    seconds: float = 1.5


LIMIT = 20
REQUESTS = ("--max-requests", str(LIMIT))
UVICORN_REQUESTS = ("--limit-max-requests", str(LIMIT))
UVICORNS = ("-k", "uvicorn_worker.UvicornWorker")
UVICORNS_ON_ASYNCIO = ("-k", "uvicorn_worker.UvicornH11Worker")
OWN = ("-k", "asgi")
WAYS = {
    "uvicorn, requests": Way("uvicorn", UVICORN_REQUESTS, None),
    "uvicorn, direct, requests": Way("uvicorn", (*DIRECT, *UVICORN_REQUESTS), None),
    "uvicorn on asyncio, requests": Way("uvicorn", ("--loop", "asyncio", "--http", "h11", *UVICORN_REQUESTS), None),
    "uvicorn with workers, requests": Way(
        "uvicorn", ("--workers", "2", *UVICORN_REQUESTS), None, comes_back=True, seconds=20
    ),
    "uvicorn, direct, with workers, requests": Way(
        "uvicorn", (*DIRECT, "--workers", "2", *UVICORN_REQUESTS), None, comes_back=True, seconds=20
    ),
    "gunicorn with uvicorn, SIGTERM": Way("gunicorn", UVICORNS, signal.SIGTERM),
    "gunicorn with uvicorn, SIGINT": Way("gunicorn", UVICORNS, signal.SIGINT),
    "gunicorn with uvicorn, SIGQUIT": Way("gunicorn", UVICORNS, signal.SIGQUIT),
    "gunicorn with uvicorn on asyncio, SIGQUIT": Way("gunicorn", UVICORNS_ON_ASYNCIO, signal.SIGQUIT),
    "gunicorn with uvicorn, SIGHUP": Way("gunicorn", UVICORNS, signal.SIGHUP, comes_back=True),
    "gunicorn with uvicorn, requests": Way("gunicorn", (*UVICORNS, *REQUESTS), None, comes_back=True),
    "gunicorn, SIGTERM": Way("gunicorn", OWN, signal.SIGTERM),
    "gunicorn, SIGINT": Way("gunicorn", OWN, signal.SIGINT, skips_lifespan=True),
    "gunicorn, SIGQUIT": Way("gunicorn", OWN, signal.SIGQUIT, skips_lifespan=True),
    "gunicorn, SIGHUP": Way("gunicorn", OWN, signal.SIGHUP, comes_back=True),
    "gunicorn, requests": Way("gunicorn", (*OWN, *REQUESTS), None, comes_back=True, seconds=2.5),
    "hypercorn in one process, requests": Way("hypercorn", ("--workers", "0", *REQUESTS), None),
    "hypercorn with a worker, SIGTERM": Way("hypercorn", ("--workers", "1"), signal.SIGTERM),
    "hypercorn with a worker, SIGINT": Way("hypercorn", ("--workers", "1"), signal.SIGINT),
    "hypercorn with a worker, requests": Way("hypercorn", ("--workers", "1", *REQUESTS), None, comes_back=True),
    "granian, SIGHUP": Way("granian", ("--respawn-interval", "0.1"), signal.SIGHUP, comes_back=True, seconds=5),
    "granian, memory": Way(
        "granian", ("--workers-max-rss", "1", "--rss-sample-interval", "4"), None, comes_back=True, seconds=30
    ),
}


def ask(server: Server, path: str = "/left") -> Any:
    """What it answers; None if it doesn't."""
    try:
        return server.get(path).json()
    except httpx.HTTPError:
        return None


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.05)


def stop(server: Server, way: Way, streams: list[Stream]) -> float:
    """Stop it, or let it stop itself; for how long the streams went on."""

    def read(stream: Stream) -> float:
        stream.read_to_end()
        return time.monotonic()

    with ThreadPoolExecutor(len(streams)) as pool:
        reading = [pool.submit(read, stream) for stream in streams]
        if way.signum is not None:
            server.process.send_signal(way.signum)
        else:
            for _ in range(LIMIT):
                ask(server)
        began = time.monotonic()
        while not all(future.done() for future in reading):
            if way.signum is None:
                ask(server)
            time.sleep(0.02)
        return max(future.result() for future in reading) - began


@pytest.mark.parametrize("name", WAYS)
def test_however_a_server_stops_its_streams_are_ended_at_once_and_told_when_to_come_back(name: str) -> None:
    way = WAYS[name]
    with Server(APP, runner=way.runner, options=way.options) as server, contextlib.ExitStack() as open_streams:
        wait_until(lambda: ask(server) is not None, 10)
        paths = ["/events", "/by-hand"] if "uvicorn" in name else ["/events"]
        streams = [open_streams.enter_context(Stream(server.port, path)).read_head() for path in paths]
        streams[0].read_until(b"id: ")
        server.post("/emit")
        assert stop(server, way, streams) < way.seconds, server.output
        assert streams[0].body.rsplit(b"\n\n", 1)[-1].startswith(b"retry: ")
        if way.comes_back:
            wait_until(lambda: (ask(server, "/statistics") or {}).get("messages_in") == 0, 20)
            with Stream(server.port, "/events") as again:
                again.read_until(b"id: ")
        else:
            server.process.wait(5)
    if not way.skips_lifespan and (way.runner != "granian" or GRANIANS_OWN not in server.output):
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
