"""Servers that are told to stop end at once, with all streams open, and run their lifespan's shutdown."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.brokers import BROKERS
from tests.servers import Server, free_port
from tests.sse import Stream

BOTH_WAYS = True

APP = "tests.apps.streams:app"


@pytest.mark.timed
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("path", ["/events", "/by-hand"])
@pytest.mark.parametrize("options", [(), ("--loop", "asyncio", "--http", "h11")])
def test_uvicorn_with_a_hundred_open_streams_ends_within_two_seconds(
    signum: signal.Signals, path: str, options: tuple[str, ...]
) -> None:
    with Server(APP, options=("--no-access-log", *options)) as server:
        streams = [Stream(server.port, path).read_head() for _ in range(100)]
        server.post("/emit")
        for stream in streams:
            stream.read_until(b'"n":0')
        assert server.end(signum) < 2
        for stream in streams:
            stream.read_to_end()
            stream.socket.close()
    assert "lifespan shutdown ran" in server.output
    assert "Traceback" not in server.output, server.output
    assert "ERROR" not in server.output, server.output


@pytest.mark.parametrize("inline", ["true", "false"])
def test_what_was_emitted_just_before_the_signal_is_delivered(inline: str) -> None:
    with (
        Server(APP, environment={"NITRO_INLINE_SEND": inline}) as server,
        Stream(server.port, "/events") as stream,
    ):
        stream.read_until(b"\n\n")
        server.post("/emit?count=100")
        server.end()
        stream.read_to_end()
        assert [event["n"] for event in stream.data()] == list(range(100))


@pytest.mark.timed
def test_a_stream_that_comes_after_the_signal_when_none_was_open_is_ended_too() -> None:
    with Server(APP) as server:
        with Stream(server.port, "/events") as earlier:
            earlier.read_until(b"\n\n")
        deadline = time.monotonic() + 5
        while server.get("/left").json()["clients"]:
            assert time.monotonic() < deadline
        server.process.send_signal(signal.SIGTERM)
        late = []
        try:
            while True:  # until the server takes no more
                late.append(Stream(server.port, "/events"))
                late[-1].read_head()
        except OSError:
            pass
        assert server.end() < 3
        for stream in late:
            stream.socket.close()
    assert "lifespan shutdown ran" in server.output


@pytest.mark.timed
def test_a_stream_that_comes_after_the_signal_is_ended_too() -> None:
    with Server(APP) as server:
        held = Stream(server.port, "/events").read_until(b"\n\n")
        stop = threading.Event()

        def keep_coming() -> None:
            while not stop.is_set():
                try:
                    with Stream(server.port, "/events") as late:
                        late.read_until(b"\n\n")
                except OSError:
                    return

        threads = [threading.Thread(target=keep_coming) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert server.end() < 3
        stop.set()
        for thread in threads:
            thread.join()
        held.socket.close()
    assert "Traceback" not in server.output, server.output


@pytest.mark.timed
def test_the_first_stream_of_all_that_comes_after_the_signal_is_ended_too() -> None:
    with Server(APP) as server:
        with Stream(server.port, "/events-of-a-server-that-stops") as stream:
            began = time.monotonic()
            stream.read_to_end()
        server.process.wait(5)
        assert time.monotonic() - began < 2
        server.end()
    assert "lifespan shutdown ran" in server.output


@pytest.mark.timed
def test_a_stream_that_waits_for_a_log_that_is_not_there_lets_the_server_end() -> None:
    nowhere = {"NITRO_BROKER_URL": f"redis://127.0.0.1:{free_port()}"}
    with Server(APP, environment=nowhere) as server, Stream(server.port, "/events") as stream:
        server.get("/left")
        assert server.end() < 4
        stream.read_to_end()
    assert "lifespan shutdown ran" in server.output


@pytest.mark.timed
def test_a_reader_that_stopped_and_goes_on_after_the_signal_lets_the_server_end() -> None:
    with Server(APP) as server:
        stalled = Stream(server.port, "/events", receive_buffer=4096).read_until(b"\n\n")
        with Stream(server.port, "/events") as quick:
            server.post("/emit?count=20&pad=30000")
            quick.events(20)
        process_ended = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1.5)  # how long its last bytes are waited for; then it goes on reading, as a sleeper that wakes
        stalled.socket.settimeout(5)
        while True:
            try:
                if not stalled.socket.recv(1 << 20):
                    break
            except OSError:
                break
        server.process.wait(5)
        assert time.monotonic() - process_ended < 5
        stalled.socket.close()
    assert "lifespan shutdown ran" in server.output


@pytest.mark.timed
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_readers_that_take_nothing_hold_up_a_stop_for_the_servers_own_limit_and_miss_nothing(
    kind: str, tmp_path: Path
) -> None:
    with BROKERS[kind](tmp_path) as broker, contextlib.ExitStack() as streams:
        environment = {"NITRO_BROKER_URL": broker.url, "NITRO_CLIENT_MAX_BYTES": str(64 << 20)}
        workers = ("--workers", "2", "--timeout-graceful-shutdown", "2")
        with Server(APP, options=workers, environment=environment) as server:

            def opened(receive_buffer: int = 0) -> Stream:
                stream = Stream(server.port, "/events", receive_buffer=receive_buffer)
                return streams.enter_context(stream).read_until(b"id: ")

            stuck, lively = [opened(4096) for _ in range(4)], [opened() for _ in range(4)]
            for n in range(6):
                server.post(f"/emit?start={n}&pad=1000000")
                for stream in lively:
                    stream.events(n + 1)
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            for stream in lively:
                stream.read_to_end()
            assert time.monotonic() - began < 1.5, "others are not held up"
            server.process.wait(10)
            took = time.monotonic() - began
        assert 2 <= took < 4, "uvicorn waits for what they don't read, and nobody waits for the broker besides"
        assert server.output.count("took nothing of its last bytes") == len(stuck)
        assert "Traceback" not in server.output, server.output
        with Server(APP, environment=environment) as after:
            for stream in stuck:
                with contextlib.suppress(OSError):
                    stream.read_to_end()
                assert not stream.is_complete, "all of them were blocked"
                there = [event["n"] for event in stream.data()]
                newest = re.findall(rb"id: (\S+)\n", stream.body.rpartition(b"\n\n")[0] + b"\n")[-1].decode()
                back = streams.enter_context(Stream(after.port, "/events", f"Last-Event-ID: {newest}\r\n"))
                assert there + [event["n"] for event in back.events(6 - len(there))] == list(range(6))


def test_the_default_handlers_of_python_are_left_alone() -> None:
    import subprocess
    import sys

    script = (
        "import asyncio, signal\n"
        "from nitro import Client\n"
        "before = [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]\n"
        "async def main():\n"
        "    with Client(): pass\n"
        "asyncio.run(main())\n"
        "assert before == [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_a_port_is_free_again_after_the_end() -> None:
    with Server(APP) as server:
        stream = Stream(server.port, "/events").read_until(b"\n\n")
        server.end()
        stream.socket.close()
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", server.port))


def test_shutdown_ends_the_streams_as_a_signal_does_and_whoever_comes_after() -> None:
    with Server(APP) as server, Stream(server.port, "/events") as stream:
        stream.read_until(b"id: ")
        server.post("/emit?count=3")
        server.post("/shutdown")
        stream.read_to_end()
        assert [event["n"] for event in stream.data()] == [0, 1, 2]
        assert re.search(rb"\n\nretry: \d+\n\Z", stream.body)
        with Stream(server.port, "/events") as late:
            late.read_to_end()
        assert server.get("/left").json()["clients"] == 0


def test_a_client_that_is_stopped_is_told_to_stay_away_and_its_next_request_gets_204() -> None:
    with Server(APP) as server:
        with Stream(server.port, "/events") as stream:
            stream.read_until(b"id: ")
            assert server.post("/disconnect-all?stop=true").json() == 1
            stream.read_to_end()
            last_id = stream.body.rsplit(b"id: ", 1)[1].strip().decode()
        with Stream(server.port, "/events", f"Last-Event-ID: {last_id}\r\n") as stream:
            stream.read_head()
            assert stream.head.startswith("HTTP/1.1 204")
        assert server.get("/left").json()["clients"] == 0


@pytest.mark.browser
def test_a_browser_that_is_stopped_does_not_come_back(page: Page) -> None:
    with Server(APP, environment={"NITRO_RETRY_MILLISECONDS": "50"}) as server:
        server.open_in(page)
        server.post("/emit")
        page.wait_for_function("heard.length === 1")
        server.post("/disconnect-all?stop=true")
        page.wait_for_function("source.readyState === EventSource.CLOSED")
        page.goto("about:blank")


@pytest.mark.browser
def test_a_browser_that_is_cut_again_and_again_misses_nothing(page: Page) -> None:
    with Server(APP, environment={"NITRO_RETRY_MILLISECONDS": "20"}) as server:
        server.open_in(page)
        for n in range(0, 300, 10):
            server.post(f"/emit?count=10&start={n}")
            if n % 30 == 0:
                server.post("/disconnect-all")
        page.wait_for_function("heard.length >= 300")
        assert page.evaluate("heard") == list(range(300))
        assert page.evaluate("gaps") == []
        page.goto("about:blank")


@pytest.mark.browser
def test_a_browser_whose_server_was_killed_gets_one_gap_and_then_every_event(page: Page) -> None:
    with Server(APP, environment={"NITRO_RETRY_MILLISECONDS": "50"}) as server:
        server.open_in(page)
        server.post("/emit?count=50")
        page.wait_for_function("heard.length === 50")
        server.end(signal.SIGKILL)
        port = server.port
    again = Server(APP, port=port, environment={"NITRO_RETRY_MILLISECONDS": "50"})
    with again:
        page.wait_for_function("gaps.length === 1", timeout=20_000)
        again.post("/emit?count=50&start=100")
        page.wait_for_function("heard.length === 100")
        assert page.evaluate("heard") == [*range(50), *range(100, 150)]
        assert page.evaluate("gaps") == ["epoch"]
        page.goto("about:blank")
