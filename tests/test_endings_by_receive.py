"""A `receive` that answers at once, again and again, takes nothing from anybody else."""

from __future__ import annotations

import socket
import time

import pytest

from tests.apps.keys import BILLING
from tests.servers import Server
from tests.sse import Stream

BOTH_WAYS = True

APP = "tests.apps.replays:app"


def wait_until_gone(server: Server, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while server.get("/left").json()["clients"]:
        assert time.monotonic() < deadline, "the server still counts a client that has gone"
        time.sleep(0.05)


@pytest.mark.timed
@pytest.mark.parametrize("options", [(), ("--loop", "asyncio", "--http", "h11")])
@pytest.mark.parametrize("times", ["1000", "endless"])
def test_a_receive_that_answers_at_once_leaves_the_loop_to_others(times: str, options: tuple[str, ...]) -> None:
    with (
        Server(APP, environment={"TEST_REPLAYS": times}, options=options) as server,
        Stream(server.port, "/events") as stream,
        Stream(server.port, "/events") as other,
    ):
        stream.read_until(b"id: ")
        other.read_until(b"id: ")
        for n in range(20):
            server.post(f"/emit?start={n}")
        assert [event["n"] for event in stream.events(20)] == list(range(20))
        assert [event["n"] for event in other.events(20)] == list(range(20))
        began = time.monotonic()
        while "a middleware replays the request's body" not in server.output:
            assert time.monotonic() - began < 10
        assert server.end() < 2
        stream.read_to_end()
        assert b"retry: " in stream.body.rsplit(b"data: ", 1)[1]
    assert "lifespan shutdown ran" in server.output
    assert server.output.count("a middleware replays") == 1
    assert "Traceback" not in server.output, server.output


@pytest.mark.parametrize("times", ["100", "1000"])
def test_a_receive_that_behaves_in_the_end_is_heard_when_it_says_that_the_client_is_gone(times: str) -> None:
    with Server(APP, environment={"TEST_REPLAYS": times}) as server:
        with Stream(server.port, "/events") as stream:
            stream.read_until(b"id: ")
            assert server.get("/left").json()["clients"] == 1
        wait_until_gone(server, 10)


def test_a_published_body_that_never_ends_is_given_up_and_takes_the_loop_from_nobody() -> None:
    with Server(APP) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as publishing:
        head = f"POST /publish/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {BILLING}\r\n"
        publishing.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        for _ in range(20):
            assert server.get("/left").status_code == 200
        assert publishing.recv(100).startswith(b"HTTP/1.1 408")
