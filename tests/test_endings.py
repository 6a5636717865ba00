"""Servers that are told to stop end at once, with all streams open, and run their lifespan's shutdown."""

from __future__ import annotations

import signal
import socket
import threading
import time

import pytest

from tests.servers import Server
from tests.sse import Stream

APP = "tests.apps.streams:app"


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


def test_what_was_emitted_just_before_the_signal_is_delivered() -> None:
    with Server(APP) as server, Stream(server.port, "/events") as stream:
        stream.read_until(b"\n\n")
        server.post("/emit?count=100")
        server.end()
        stream.read_to_end()
        assert [event["n"] for event in stream.data()] == list(range(100))


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


def test_the_default_handlers_of_python_are_left_alone() -> None:
    import subprocess
    import sys

    script = (
        "import asyncio, signal\n"
        "from nitro import Client\n"
        "before = [signal.getsignal(s) for s in (signal.SIGTERM,)]\n"
        "async def main():\n"
        "    with Client(): pass\n"
        "asyncio.run(main())\n"
        "assert before == [signal.getsignal(s) for s in (signal.SIGTERM,)]\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
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
