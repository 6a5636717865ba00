"""Direct streams: when uvicorn hands a connection over, what is written to it, and what is left when it goes."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, MutableSet
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message

import nitro
from nitro.__main__ import main
from nitro.delivery.frame import unnamed
from nitro.delivery.hub import Hub
from nitro.sse.direct import DirectStream, Handed
from nitro.sse.last_bytes import last_bytes_of
from tests.servers import ROOT, Server, wait_for
from tests.sse import Stream

APP = "tests.apps.direct:app"
PROTOCOLS = {
    "httptools, uvloop": ("--http", "nitro.uvicorn:HttpProtocol"),
    "httptools, asyncio": ("--http", "nitro.uvicorn:HttpProtocol", "--loop", "asyncio"),
    "h11, uvloop": ("--http", "nitro.uvicorn:H11Protocol"),
    "h11, asyncio": ("--http", "nitro.uvicorn:H11Protocol", "--loop", "asyncio"),
}


ENVIRONMENT = {"TEST_MIDDLEWARE": "base cors", "NITRO_HEARTBEAT_SECONDS": "1"}


@pytest.fixture(scope="module", params=PROTOCOLS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(APP, options=PROTOCOLS[request.param], environment=ENVIRONMENT) as started:
        yield started
    assert "Traceback" not in started.output.replace(EXPECTED, ""), started.output
    assert "Warning" not in started.output, started.output


EXPECTED = "the background task of a stream failed\nTraceback"


def left(server: Server) -> dict[str, Any]:
    return server.get("/left").json()  # type: ignore[no-any-return]


@contextlib.contextmanager
def stream(server: Server, path: str = "/events", **options: Any) -> Iterator[Stream]:
    wait_for(lambda: left(server)["clients"] == 0)
    with Stream(server.port, path, **options) as opened:
        opened.read_until(b"\n\n")
        wait_for(lambda: left(server)["clients"] == 1)
        yield opened


def direct(server: Server, path: str = "/events", **options: Any) -> Stream:
    """A stream whose connection was handed over."""
    so_far = left(server)["direct"]
    opened = Stream(server.port, path, **options).read_until(b"\n\n")
    wait_for(lambda: left(server)["direct"] == so_far + 1)
    return opened


def numbers(opened: Stream, count: int) -> list[int]:
    return [event["n"] for event in opened.events(count)]


def test_a_stream_is_handed_over_and_hears_everything(server: Server) -> None:
    with stream(server, headers="Origin: http://a.example\r\n") as opened:
        assert left(server)["direct"] == 1
        assert "access-control-allow-origin" in opened.head.lower(), "headers may be added"
        assert "x-time: 1" in opened.head.lower()
        server.post("/emit?count=200&ticks=true")
        assert numbers(opened, 200) == list(range(200))
    wait_for(lambda: left(server)["direct"] == 0)


@pytest.mark.parametrize("path", ["/rewritten", "/announced", "/kept"])
def test_a_stream_whose_body_a_middleware_wants_to_see_is_not_handed_over(server: Server, path: str) -> None:
    with stream(server, path) as opened:
        assert left(server)["direct"] == 0
        server.post("/emit?count=3&ticks=true")
        assert numbers(opened, 3) == [0, 1, 2]
        assert (b": signed" in opened.body) == (path == "/rewritten")
        server.post("/disconnect-all")
        assert opened.read_to_end().body.splitlines()[-1].startswith((b"retry: ", b": signed"))


@pytest.mark.parametrize("path", ["/events", "/announced"])
def test_http_1_0_gets_a_body_without_chunks_that_ends_with_the_connection(server: Server, path: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain:
        plain.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        got = _until(plain, b"id: ")
        assert left(server)["direct"] == (path == "/events")
        server.post("/emit?count=2")
        got = _until(plain, b'"n":1', got)
        server.post("/disconnect-all")
        head, body = _to_end(plain, got).split(b"\r\n\r\n", 1)
        assert b"transfer-encoding" not in head.lower()
        assert body.startswith(b":\nretry: 2000\nid: ")
        assert b"\r" not in body
        assert body.splitlines()[-1].startswith(b"retry: ")


def test_a_head_request_a_probe_and_a_refusal_are_answered_as_ever(server: Server) -> None:
    for path in ("/events?envelope=1&probe=1", "/events?last_event_id=stop"):
        assert server.get(path).status_code in (200, 204)
    assert left(server)["direct"] == 0


def test_a_second_request_on_the_connection_keeps_the_first_one_where_it_is(server: Server) -> None:
    with Stream(server.port, "/events") as opened:
        opened.read_until(b"\n\n")
        assert left(server)["direct"] == 1
    pipelined = "\r\nGET /left HTTP/1.1\r\nHost: localhost\r\n"
    with Stream(server.port, "/events", headers=pipelined) as opened:
        opened.read_until(b"\n\n")
        wait_for(lambda: left(server)["clients"] == 1)
        assert left(server)["direct"] == 0
        server.post("/emit")
        assert numbers(opened, 1) == [0]
        server.post("/disconnect-all")
        opened.read_to_end()


def test_a_part_of_a_second_request_keeps_the_first_one_where_it_is(server: Server) -> None:
    with Stream(server.port, "/events", headers="\r\nGET /le") as opened:
        opened.read_until(b"\n\n")
        wait_for(lambda: left(server)["clients"] == 1)
        assert left(server)["direct"] == 0


def test_a_request_whose_body_is_still_on_its_way_keeps_its_connection(server: Server) -> None:
    with Stream(server.port, "/events", headers="Content-Length: 100000\r\n", method="POST") as opened:
        opened.read_until(b"\n\n")
        assert left(server)["direct"] == 0
        server.post("/emit")
        assert numbers(opened, 1) == [0]


def test_what_a_client_sends_after_its_request_is_dropped_and_too_much_of_it_cuts_it_off(server: Server) -> None:
    with direct(server) as opened:
        opened.socket.sendall(b"GET /left HTTP/1.1\r\n\r\n" * 100)
        server.post("/emit")
        assert numbers(opened, 1) == [0]
        assert opened.body.count(b"HTTP") == 0
        with contextlib.suppress(OSError):
            for _ in range(20):
                opened.socket.sendall(b"x" * 8192)
        wait_for(lambda: left(server)["clients"] == 0)


def test_a_client_that_has_closed_its_sending_half_goes_on_hearing(server: Server) -> None:
    with direct(server) as opened:
        opened.socket.shutdown(socket.SHUT_WR)
        opened.read_until(b":\n\n:\n\n:\n\n:\n\n")  # all comments that ask whether it has gone
        for n in range(3):
            server.post(f"/emit?start={n}")
            assert numbers(opened, n + 1)[-1] == n
        assert left(server)["direct"] == 1
    wait_for(lambda: left(server)["clients"] == 0)


def test_a_connection_whose_stream_has_failed_ends_with_its_client(server: Server) -> None:
    with Stream(server.port, "/failing") as opened:
        assert opened.socket.recv(1 << 16).endswith(b"instead")
        opened.socket.shutdown(socket.SHUT_WR)
        opened.socket.settimeout(3)  # uvicorn closes what is idle after 5
        assert opened.socket.recv(1) == b""


@pytest.mark.parametrize(
    ("go", "at_once"),
    [
        ("close", 1),
        ("reset", 1),
        ("half, then close", 10),  # each waits for two comments
    ],
)
def test_a_client_that_goes_leaves_nothing(server: Server, go: str, at_once: int) -> None:
    before = left(server)
    for _ in range(20 // at_once):
        crowd = [direct(server) for _ in range(at_once)]
        for opened in crowd:
            if go == "reset":
                opened.reset()
            elif go == "half, then close":
                opened.socket.shutdown(socket.SHUT_WR)
        for opened in crowd:
            if go == "half, then close":
                opened.read_until(b":\n\n:\n\n")
            opened.socket.close()
        wait_for(lambda: left(server)["clients"] == 0, seconds=2)
    for what in ("fds", "tasks", "direct", "objects"):
        wait_for(lambda what=what: left(server)[what] <= before[what])  # type: ignore[misc]


def test_much_at_once_reaches_a_client_that_reads_slowly_whole_and_in_order(server: Server) -> None:
    with Stream(server.port, "/events", receive_buffer=4096) as opened:
        opened.read_until(b"\n\n")
        server.post("/emit?count=40&pad=100000")  # the socket takes some of it, then nothing
        server.post("/emit?count=5&start=40")
        assert numbers(opened, 45) == list(range(45))


def test_a_client_that_resets_while_much_is_written_leaves_nothing(server: Server) -> None:
    before = left(server)
    for _ in range(10):
        opened = Stream(server.port, "/events", receive_buffer=4096).read_until(b"\n\n")
        server.post("/emit?count=20&pad=50000&ticks=true")
        opened.reset()
    wait_for(lambda: left(server)["clients"] == 0)
    wait_for(lambda: left(server)["fds"] <= before["fds"])
    assert left(server)["objects"] <= before["objects"]


def test_the_request_ends_when_the_stream_stands_and_its_background_runs_when_it_ends(server: Server) -> None:
    came = len(left(server)["happened"])
    with stream(server, "/of-a-session"):
        wait_for(lambda: "the middleware is through with /of-a-session" in left(server)["happened"][came:])
        so_far = left(server)["happened"][came:]
        assert "the session is closed" in so_far
        assert so_far.count("disconnect") == 0
        assert not [each for each in so_far if each.startswith("the background")]
    wait_for(lambda: "the background ran for ada" in left(server)["happened"][came:])
    assert left(server)["happened"][came:].index("disconnect") < left(server)["happened"][came:].index(
        "the background ran for ada"
    )


def test_a_background_task_that_fails_is_logged(server: Server) -> None:
    with stream(server, "/failing-background"):
        pass
    wait_for(lambda: "ZeroDivisionError" in server.output)


@pytest.mark.parametrize("stop", [False, True])
def test_a_client_that_is_disconnected_gets_its_last_bytes_and_the_end(server: Server, stop: bool) -> None:
    with stream(server) as opened:
        server.post(f"/disconnect-all?stop={stop}")
        last = opened.read_to_end().body.split(b"\n\n")
        assert last[-1].startswith(b"retry: ") if not stop else last[-2] == b"id: stop"
        assert opened.socket.recv(1) == b"", "the connection is closed, too"


def test_streams_count_as_connections_and_stand_in_the_access_log() -> None:
    options = ("--http", "nitro.uvicorn:HttpProtocol", "--limit-concurrency", "3")
    with Server(APP, options=options) as server, contextlib.ExitStack() as streams:
        for _ in range(2):
            streams.enter_context(Stream(server.port, "/events")).read_until(b"\n\n")
        with Stream(server.port, "/events") as refused:
            assert refused.read_head().head.startswith("HTTP/1.1 503")
    assert server.output.count('"GET /events HTTP/1.1" 200 OK') == 2, server.output


@pytest.mark.timed
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_server_that_stops_ends_its_streams_without_a_signal_handler_of_ours(protocol: str) -> None:
    with Server(APP, options=PROTOCOLS[protocol]) as server, contextlib.ExitStack() as open_streams:
        streams = [open_streams.enter_context(Stream(server.port, "/events")) for _ in range(20)]
        for each in streams:
            each.read_until(b"\n\n")
        wait_for(lambda: left(server)["direct"] == 20)
        assert not left(server)["signal"]
        stalled = open_streams.enter_context(Stream(server.port, "/events", receive_buffer=4096)).read_until(b"\n\n")
        with ThreadPoolExecutor(20) as pool:
            reading = [pool.submit(each.read_to_end) for each in streams]
            server.post("/emit?count=30&pad=100000")
            took = server.end()
        for future in reading:
            assert numbers(future.result(), 30) == list(range(30))
            assert future.result().body.rsplit(b"\n\n", 1)[-1].startswith(b"retry: ")
        assert took < 3, "a reader that takes nothing is cut off"
        stalled.socket.close()
    assert "Traceback" not in server.output, server.output


def test_a_stream_that_comes_when_the_server_stops_already_is_ended_at_once() -> None:
    with Server(APP, options=PROTOCOLS["httptools, uvloop"]) as server, Stream(server.port, "/stopping") as opened:
        opened.read_to_end()
        assert opened.body.rsplit(b"\n\n", 1)[-1].startswith(b"retry: ")
        server.process.wait(3)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of localhost, in a file with its key."""
    file = tmp_path_factory.mktemp("tls") / "localhost.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = subprocess.run([*request, *names, "-keyout", str(file), "-out", "-"], check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + made.stdout)
    return file


def _over_tls(certificate: Path, loop: str) -> tuple[str, ...]:
    return (
        *PROTOCOLS["httptools, uvloop"],
        "--loop",
        loop,
        "--ssl-keyfile",
        str(certificate),
        "--ssl-certfile",
        str(certificate),
    )


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_who_closes_tls_and_reads_nothing_more_is_let_go_of(certificate: Path, loop: str) -> None:
    context = ssl.create_default_context(cafile=certificate)
    request = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Server(APP, options=_over_tls(certificate, loop)) as server, _tls(context, server.port, request) as connection:
        _until(connection, b"\n\n\r\n")
        connection.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):  # its close_notify is sent, and the answer not read
            connection.unwrap()
        left = f"https://localhost:{server.port}/left"
        wait_for(lambda: httpx.get(left, verify=context, trust_env=False).json()["clients"] == 0)
    assert "Traceback" not in server.output, server.output


def test_over_tls(certificate: Path) -> None:
    context = ssl.create_default_context(cafile=certificate)
    for loop in ("uvloop", "asyncio"):
        with Server(APP, options=_over_tls(certificate, loop)) as server:
            with _tls(context, server.port, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n") as connection:
                got = _until(connection, b"\n\n\r\n")
                post = b"POST /emit?count=30&pad=30000 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
                with _tls(context, server.port, post) as emitting:
                    _until(emitting, b"30")
                got = _until(connection, b'"n":29', got)
                with _tls(context, server.port, b"GET /left HTTP/1.1\r\nHost: localhost\r\n\r\n") as looking:
                    assert b'"direct":1' in _until(looking, b"signal")
            server.end()
        assert [got.count(b'"n":%d,' % n) for n in range(30)] == [1] * 30
        assert "Traceback" not in server.output, server.output


def test_the_command_serves_with_direct_streams_and_passes_options_on(tmp_path: Path) -> None:
    with Server(APP, runner="nitro", options=("--log-level", "info")) as server, stream(server):
        assert left(server)["direct"] == 1
    assert "Uvicorn running on" in server.output
    with Server(APP, runner="nitro", options=("--http", "h11", "--no-access-log")) as server, stream(server):
        assert left(server)["direct"] == 0
    assert "GET /events" not in server.output


def test_the_command_says_what_it_wants(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["walk"]) == 2
    assert "No such command 'walk'" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "direct streams: nitro run main:app" in " ".join(re.sub("[│\\s]+", " ", capsys.readouterr().out).split())
    missing = subprocess.run(
        [sys.executable, "-m", "nitro", "run", "no_such:app"], cwd=ROOT, capture_output=True, text=True, timeout=20
    )
    assert missing.returncode != 0
    assert 'Could not import module "no_such"' in missing.stderr


class Given:
    """A hand-over of one end of a pair of sockets, as a server makes it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.connections: MutableSet[Any] = set()
        self.tasks: MutableSet[Any] = set()
        self.total_requests = 0
        self._transport = transport

    def expect(self, start: Message, opening: Message) -> None:
        """They are here already."""

    async def arrived(self) -> bool:
        return True

    def take(self, stream: asyncio.Protocol) -> Handed:
        self._transport.set_protocol(stream)
        return Handed(self._transport, self, is_chunked=True, is_paused=False, is_half_closed=False, is_stopping=False)


@contextlib.asynccontextmanager
async def given() -> AsyncIterator[tuple[asyncio.Transport, DirectStream, socket.socket]]:
    """A transport, a direct stream of `t.*` on it, and the client's end."""
    near, far = socket.socketpair()
    far.settimeout(5)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, near)
    client = nitro.Client(topics=["t.*"]).connect()
    outbox = client.open_outbox()
    server = Given(transport)
    yield transport, DirectStream(server, outbox, unnamed, last_bytes_of(unnamed, 2000), client), far
    far.close()
    async with asyncio.timeout(5):
        while client.is_connected:
            await asyncio.sleep(0.01)
    assert server.total_requests == 1


def test_nothing_is_written_to_the_descriptor_of_a_transport_that_closes(hub: Hub) -> None:
    async def run() -> None:
        async with given() as (transport, stream, far):
            nitro.emit("t.a", result="before")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            transport.abort()
            nitro.emit("t.a", result="after")
            hub._lanes[asyncio.get_running_loop()].route()
            assert stream.ready() is True, "what is queued is taken, and nothing is written"
            await asyncio.sleep(0.05)
            got = b""
            with contextlib.suppress(OSError):
                while more := far.recv(1000):
                    got += more
            assert b"before" in got
            assert b"after" not in got

    asyncio.run(run())


def test_a_full_socket_leaves_the_rest_to_the_transport(hub: Hub) -> None:
    async def run() -> None:
        async with given() as (transport, stream, far):
            nitro.emit("t.a", result="x" * 200_000)  # more than the socket takes, in part
            nitro.emit("t.a", result="y" * 200_000)
            await asyncio.sleep(0.01)
            assert transport.get_write_buffer_size() > 0
            assert repr(stream).startswith("<DirectStream paused")
            nitro.emit("t.a", result="z")
            got = b""
            async with asyncio.timeout(5):
                while b"z" not in got:
                    got += await asyncio.to_thread(far.recv, 1 << 16)
            assert got.count(b"x") == got.count(b"y") == 200_000
            assert got.index(b"x") < got.index(b"y") < got.index(b"z")

    asyncio.run(run())


def test_without_httptools_it_is_over_h11_and_without_the_option_uvicorn_is_not_imported() -> None:
    for code in (
        "import sys; sys.modules['httptools'] = None; from nitro.uvicorn import *; assert HttpProtocol is H11Protocol",
        "import sys; from nitro import Client, EventSourceResponse; assert 'uvicorn' not in sys.modules",
    ):
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=20)


def test_streams_that_are_killed_frozen_reset_and_half_closed_at_random_leave_nothing() -> None:
    """`tests/soak.py` does it with ten thousand of them for ten minutes."""
    chance = random.Random(7)
    environment = {**ENVIRONMENT, "NITRO_CLIENT_MAX_BYTES": "200000", "NITRO_SEND_TIMEOUT_SECONDS": "1"}
    with Server(APP, options=("--http", "nitro.uvicorn:HttpProtocol"), environment=environment) as server:
        with stream(server):
            pass
        wait_for(lambda: left(server)["clients"] == 0)
        before = left(server)
        streams: list[Stream] = []
        until = time.monotonic() + 6
        while time.monotonic() < until:
            streams.append(Stream(server.port, "/events", receive_buffer=4096).read_head())
            if len(streams) > 150 or chance.random() < 0.3:
                chosen = streams.pop(chance.randrange(len(streams)))
                way = chance.choice(["close", "reset", "half", "freeze"])
                if way == "half":
                    chosen.socket.shutdown(socket.SHUT_WR)
                    streams.append(chosen)
                elif way == "reset":
                    chosen.reset()
                elif way == "close":
                    chosen.socket.close()
                else:
                    streams.insert(0, chosen)
            if chance.random() < 0.2:
                server.post("/emit?count=5&pad=20000")
        for each in streams:
            each.socket.close()
        wait_for(lambda: left(server)["clients"] == 0, seconds=10)
        wait_for(lambda: left(server)["fds"] <= before["fds"])
        for what in ("tasks", "direct", "objects"):
            wait_for(lambda what=what: left(server)[what] <= before[what])  # type: ignore[misc]
        server.end(signal.SIGINT)
    assert "Traceback" not in server.output, server.output


@contextlib.contextmanager
def _tls(context: ssl.SSLContext, port: int, request: bytes) -> Iterator[ssl.SSLSocket]:
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    with context.wrap_socket(plain, server_hostname="localhost") as connection:
        connection.sendall(request)
        yield connection


def _until(connection: socket.socket, wanted: bytes, got: bytes = b"") -> bytes:
    while wanted not in got:
        more = connection.recv(1 << 16)
        assert more, f"{wanted!r} did not come: {got[-300:]!r}"
        got += more
    return got


def _to_end(connection: socket.socket, got: bytes) -> bytes:
    while more := connection.recv(1 << 16):
        got += more
    return got
