"""Row 38 of docs/reference/bad-inputs.md: clients that misbehave while they listen, and are to leave nothing behind."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from nitro.testing.conformance import eventually
from tests.bad_inputs.raw import RawStream, get
from tests.bad_inputs.witnesses import APP, Neighbour
from tests.servers import Server
from tests.sse import Stream

LEAVING: dict[str, Callable[[Stream], None]] = {
    "closes": lambda stream: stream.socket.close(),
    "closes its half": lambda stream: stream.socket.shutdown(socket.SHUT_WR),
    "resets": lambda stream: stream.reset(),
}
BODIES = {
    "no body": b"\r\n",
    "a body": b"Content-Length: 5\r\n\r\nhello",
    "a large body": b"Content-Length: 300000\r\n\r\n" + b"x" * 300_000,
    "half of a body": b"Content-Length: 300000\r\n\r\n" + b"x" * 150_000,
    "a body in chunks": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunks without an end": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
}


@pytest.mark.bad_input(38)
@pytest.mark.parametrize("leaving", LEAVING)
@pytest.mark.parametrize("body", BODIES)
def test_a_client_that_sends_a_body_is_cleaned_up_within_a_second(
    body: str, leaving: str, neighbour: Neighbour
) -> None:
    request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n" + BODIES[body]
    with RawStream(neighbour.server.port, request).read_until(b"\nid: ") as stream:
        neighbour.emit(("t.x", "heard"))
        stream.read_until(b'data: "heard"\n')
        assert neighbour.clients() == 2
        LEAVING[leaving](stream)
        neighbour.is_alone_within(1)
    neighbour.lives_on()


@pytest.mark.bad_input(38)
@pytest.mark.parametrize("leaving", ["closes", "resets"])
def test_a_client_that_leaves_during_a_write_is_cleaned_up_within_a_second(leaving: str, neighbour: Neighbour) -> None:
    with Stream(neighbour.server.port, "/events", receive_buffer=4096).read_until(b"\nid: ") as stream:

        def is_behind() -> bool:
            neighbour.emit(("t.big", "x" * 100_000))
            return int(neighbour.http.get("/waiting").text) >= 100_000

        eventually(is_behind, "a write to it is blocked")
        assert neighbour.clients() == 2
        LEAVING[leaving](stream)
        neighbour.is_alone_within(1)
    neighbour.lives_on()


@pytest.fixture(scope="module", params=["httptools", "h11"])
def apart(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of their own for clients that stay for some heartbeats.

    uvicorn stops reading at a second request, and httptools' protocol then forgets the first. Its transport notices at
    a write; the one of asyncio's own loop keeps that to itself, so there such a client stays.
    """
    options = ("--loop", "uvloop", "--http", request.param)
    with Server(APP, options=options, environment={"NITRO_HEARTBEAT_SECONDS": "0.2"}) as started:
        yield started


SECONDS = {
    "GET": get(b"/clients"),
    "POST": b"POST /emit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]",
    "garbage": b"\0garbage\r\n\r\n",
}


@pytest.mark.bad_input(38)
@pytest.mark.parametrize(
    ("second", "leaving"), [("GET", "closes"), ("GET", "resets"), ("POST", "closes"), ("garbage", "resets")]
)
def test_a_client_that_pipelines_is_cleaned_up_within_some_heartbeats(second: str, leaving: str, apart: Server) -> None:
    def clients() -> int:
        return int(apart.get("/clients").text)

    before, printed = clients(), len(apart.output)
    with Stream(apart.port, "/everything").read_until(b"\nid: ") as other:
        with RawStream(apart.port, get(b"/events")).read_until(b"\nid: ") as stream:
            stream.socket.sendall(SECONDS[second])
            assert clients() >= before + 1
            LEAVING[leaving](stream)
            eventually(lambda: clients() <= before + 1, "it is cleaned up", 5)
        assert apart.post("/emit", json=[["t.x", "next"]]).status_code == 200
        other.read_until(b'data: "next"\n')
    assert "Traceback" not in apart.output[printed:], apart.output[printed:]
