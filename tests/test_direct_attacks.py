"""Direct streams behind applications and middleware that do what ASGI allows and no framework does, and servers that
stop at a bad moment.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.servers import ROOT, Server, wait_for
from tests.sse import Stream

APP = "tests.apps.direct_attacks:app"
DIRECT = ("--http", "nitro.uvicorn:HttpProtocol")


@pytest.fixture(scope="module", params=["nitro.uvicorn:HttpProtocol", "nitro.uvicorn:H11Protocol"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(APP, options=("--http", request.param)) as started:
        yield started


def numbers(opened: Stream, count: int) -> list[int]:
    return [event["n"] for event in opened.events(count)]


def test_an_application_may_send_a_head_of_its_own_and_the_body_of_the_response(server: Server) -> None:
    with Stream(server.port, "/own-head") as opened:
        opened.read_until(b"\n\n")
        assert "x-own: 1" in opened.head
        server.post("/emit?count=2")
        assert numbers(opened, 2) == [0, 1]


def test_headers_may_be_an_iterable_that_can_be_read_once(server: Server) -> None:
    with Stream(server.port, "/iterator") as opened:
        opened.read_until(b"\n\n")
        assert "content-type: text/event-stream" in opened.head
        assert "x-last: 1" in opened.head


def test_a_response_that_a_middleware_has_ended_is_not_written_to(server: Server) -> None:
    with Stream(server.port, "/final") as opened:
        opened.read_to_end()
        server.post("/emit?count=2")
        opened.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            assert opened.socket.recv(100) == b"", "the connection may be closed or kept, but nothing follows the end"


@pytest.mark.parametrize("path", ["/fails-late", "/failing-session", "/cancels/events", "/returns-something"])
def test_what_fails_after_the_stream_stands_leaves_it(server: Server, path: str) -> None:
    """Under any other server it fails when the stream has ended; here a browser would reconnect for ever."""
    with Stream(server.port, path) as opened:
        opened.read_until(b"\n\n")
        time.sleep(0.3)
        server.post("/emit?count=2")
        assert numbers(opened, 2) == [0, 1]


def test_a_second_response_to_one_request_is_refused_in_words(server: Server) -> None:
    with Stream(server.port, "/twice") as opened:
        opened.read_until(b"\n\n")
        wait_for(lambda: "a request is answered once" in server.output)
        server.post("/emit?count=2")
        assert numbers(opened, 2) == [0, 1]


@pytest.mark.timed
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_server_stops_although_a_request_failed_whose_client_reads_nothing(loop: str) -> None:
    stalled = "/fails-late?0.5"
    with (
        Server(APP, options=(*DIRECT, "--loop", loop)) as server,
        Stream(server.port, stalled, receive_buffer=4096) as opened,
    ):
        opened.read_until(b"\n\n")
        server.post("/emit?count=60&pad=100000")
        time.sleep(1)
        assert server.end() < 4


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_server_stops_that_accepts_connections_as_it_is_told_to(loop: str) -> None:
    """They are made once uvicorn has told all others to end."""
    with Server(APP, options=(*DIRECT, "--loop", loop)) as server, contextlib.ExitStack() as streams:
        streams.enter_context(Stream(server.port, "/events")).read_until(b"\n\n")
        blocked = streams.enter_context(Stream(server.port, "/block"))
        time.sleep(0.3)
        for _ in range(50):
            streams.enter_context(Stream(server.port, "/events"))
        server.process.send_signal(signal.SIGTERM)
        blocked.read_head()
        server.process.wait(6)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--help",), 0, "--limit-concurrency"),
        (("--version",), 0, "Running uvicorn"),
        ((), 2, "Missing argument 'APP'"),
        (("--no-such-option", APP), 2, "No such option"),
        (("--port", "many", APP), 2, "is not a valid integer"),
    ],
)
def test_the_command_answers_as_uvicorn_does(arguments: tuple[str, ...], code: int, said: str) -> None:
    command = [sys.executable, "-m", "nitro", "run", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert "Traceback" not in done.stderr
    assert done.returncode == code
    assert said in done.stdout + done.stderr


@pytest.mark.timed
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_gunicorn_with_direct_streams_stops_at_once(signum: int) -> None:
    options = ("-k", "tests.apps.direct_worker.DirectWorker")
    with Server(APP, runner="gunicorn", options=options) as server, Stream(server.port, "/events") as opened:
        opened.read_until(b"\n\n")
        assert server.get("/left").json()["direct"] == 1
        assert server.end(signum) < 4
