"""Streams over real sockets, through uvicorn and the middleware that applications put in front."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers import Server, wait_for
from tests.sse import Stream

WAYS = {
    "uvloop": ((), {}),
    "asyncio": (("--loop", "asyncio", "--http", "h11"), {}),
    "by task": ((), {"NITRO_INLINE_SEND": "false"}),
    "BaseHTTPMiddleware": ((), {"TEST_MIDDLEWARE": "base"}),
    "scopes held over sends": ((), {"TEST_MIDDLEWARE": "holds"}),
    "a stack of middleware": ((), {"TEST_MIDDLEWARE": "waits base gzip base waits"}),
    "direct": (("--http", "nitro.uvicorn:HttpProtocol"), {}),
    "direct, asyncio's loop": (("--http", "nitro.uvicorn:HttpProtocol", "--loop", "asyncio"), {}),
    "direct over h11": (("--http", "nitro.uvicorn:H11Protocol"), {}),
    "direct, a stack of middleware": (
        ("--http", "nitro.uvicorn:HttpProtocol"),
        {"TEST_MIDDLEWARE": "waits base gzip base waits"},
    ),
}


@pytest.fixture(scope="module", params=WAYS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    options, environment = WAYS[request.param]
    with Server("tests.apps.streams:app", options=("--no-access-log", *options), environment=environment) as started:
        yield started
    assert "Traceback" not in started.output, started.output
    assert "Warning" not in started.output, started.output


@contextlib.contextmanager
def stream(server: Server, path: str = "/events", **options: Any) -> Iterator[Stream]:
    with Stream(server.port, path, **options) as opened:
        yield opened.read_until(b"\n\n")


def left(server: Server) -> dict[str, Any]:
    return server.get("/left").json()  # type: ignore[no-any-return]


def test_the_head_and_the_first_bytes_come_at_once(server: Server) -> None:
    with stream(server) as opened:
        head = opened.head.lower()
        assert head.startswith("http/1.1 200")
        assert "content-type: text/event-stream; charset=utf-8" in head
        assert "cache-control: no-store, no-transform" in head
        assert "x-accel-buffering: no" in head
        assert "content-length" not in head
        assert "content-encoding" not in head
        assert opened.body.startswith(b":\nretry: 2000\nid: ")


@pytest.mark.parametrize("headers", ["Accept-Encoding: gzip\r\n", "Range: bytes=0-5\r\n", "Accept: image/png\r\n"])
def test_unusual_requests_get_the_stream(server: Server, headers: str) -> None:
    with stream(server, headers=headers) as opened:
        server.post("/emit")
        assert opened.events(1) == [{"n": 0, "pad": ""}]


@pytest.mark.timed
def test_a_middleware_that_compresses_lets_the_stream_pass_as_it_is_and_at_once() -> None:
    with (
        Server("tests.apps.streams:app", environment={"TEST_MIDDLEWARE": "gzip"}) as compressing,
        Stream(compressing.port, "/events", "Accept-Encoding: gzip, deflate, br, zstd\r\n") as opened,
    ):
        opened.read_until(b"id: ")
        assert "content-encoding" not in opened.head.lower()
        began = time.monotonic()
        compressing.post("/emit")
        assert opened.events(1) == [{"n": 0, "pad": ""}]
        assert time.monotonic() - began < 2


def test_http_1_0_gets_the_stream(server: Server) -> None:
    with Stream(server.port, "/events") as raw:
        raw.socket.close()
        import socket

        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain:
            plain.sendall(b"GET /events HTTP/1.0\r\n\r\n")
            got = b""
            while b"retry: 2000" not in got:
                got += plain.recv(1000)


def test_post_is_refused_and_head_leaves_nobody_subscribed(server: Server) -> None:
    wait_for(lambda: left(server)["clients"] == 0)  # those of the tests before are gone
    assert server.post("/events").status_code == 405
    with Stream(server.port, "/head", method="HEAD") as opened:
        assert "text/event-stream" in opened.read_head().head
    assert left(server)["clients"] == 0


@pytest.mark.parametrize("path", ["/events", "/by-hand"])
def test_a_thousand_events_of_one_tick_arrive_complete_and_in_order(server: Server, path: str) -> None:
    with Stream(server.port, path) as opened:
        opened.read_head()
        wait_for(lambda: left(server)["clients"] == 1)
        server.post("/emit?count=1000")
        assert [event["n"] for event in opened.events(1000)] == list(range(1000))
    wait_for(lambda: left(server)["clients"] == 0)


def test_events_of_many_ticks_arrive_complete_and_in_order(server: Server) -> None:
    with stream(server) as first, stream(server) as second:
        server.post("/emit?count=500&ticks=true&pad=300")
        for opened in (first, second):
            assert [event["n"] for event in opened.events(500)] == list(range(500))


def test_eight_threads_with_three_hundred_events_each_keep_their_order(server: Server) -> None:
    with stream(server) as opened:
        threads = [
            threading.Thread(target=server.post, args=(f"/emit-in-thread?count=300&thread={n}",)) for n in range(8)
        ]
        for thread in threads:
            thread.start()
        events = opened.events(2400)
        for thread in threads:
            thread.join()
        for number in range(8):
            assert [event["n"] for event in events if event["thread"] == number] == list(range(300))


def test_what_a_middleware_writes_into_a_message_reaches_its_own_client_alone(server: Server) -> None:
    with stream(server) as first, stream(server) as second:
        server.post("/emit?count=3&ticks=true")
        marks = []
        for opened in (first, second):
            opened.events(3)
            marks.append({line for line in opened.body.split(b"\n") if re.fullmatch(rb":\d+", line)})
        assert not marks[0] & marks[1]
        assert len(marks[0]) == len(marks[1]) <= 1, "one mark each, behind the middleware that makes them"


def test_a_burst_to_readers_that_stopped_is_not_copied_for_each(server: Server) -> None:
    stalled = [Stream(server.port, "/events", receive_buffer=4096).read_until(b"\n\n") for _ in range(20)]
    before = left(server)["resident_kib"]
    server.post("/emit?count=40&pad=500000")  # 20 MB, in one tick
    server.post("/emit?count=1")
    wait_for(lambda: left(server)["clients"] == 0)
    assert left(server)["resident_kib"] - before < 100_000, "20 MB once, and some hundred KB for each"
    for opened in stalled:
        opened.socket.close()


def test_named_events_carry_their_topic(server: Server) -> None:
    with stream(server, "/events?named=true") as opened:
        server.post("/emit?topic=t.created")
        opened.read_until(b"event: t.created\ndata: ")


@pytest.mark.parametrize("text", ["true", "false"])
def test_no_topic_is_taken_for_a_gap_or_for_the_browsers_own_events(server: Server, text: str) -> None:
    topics = ["open", "error", "gap", "message", "t.end"]
    back = "Last-Event-ID: of another log\r\n"
    with stream(server, f"/events?named=true&text={text}&topics=*", headers=back) as opened:
        opened.read_until(b"event: gap\n")
        for topic in topics:
            server.post(f"/emit?topic={topic}")
        opened.read_until(b"event: t.end\ndata: ")
    names = re.findall(rb"^event: (.*)$", opened.body, re.MULTILINE)
    assert names == [b"gap", b".open", b".error", b".gap", b".message", b"t.end"]


def test_a_client_connected_in_a_threadpool_endpoint_misses_nothing(server: Server) -> None:
    with stream(server, "/from-a-thread") as opened:
        server.post("/emit?start=5")
        assert opened.events(2) == ["emitted before the response began", {"n": 5, "pad": ""}]


def test_disconnecting_a_client_ends_its_stream_with_a_jittered_retry(server: Server) -> None:
    with stream(server) as opened:
        assert server.post("/disconnect-all").json() == 1
        opened.read_to_end()
        last = opened.body.split(b"\n\n")[-1]
        assert last.startswith(b"retry: ")
        assert last.endswith(b"\n")
        assert 2000 <= int(last[7:]) <= 4000


def test_a_send_never_runs_in_an_emitters_context(server: Server) -> None:
    with stream(server) as opened:
        server.post("/emit?count=3&ticks=true")
        opened.events(3)
    assert left(server)["seen_by_sends"] == ["nobody"]


@pytest.mark.timed
@pytest.mark.parametrize("path", ["/events", "/by-hand"])
def test_a_client_that_goes_is_noticed_within_a_second(server: Server, path: str) -> None:
    for go in (lambda each: each.socket.close(), Stream.reset):
        opened = Stream(server.port, path).read_head()
        wait_for(lambda: left(server)["clients"] == 1)
        go(opened)
        wait_for(lambda: left(server)["clients"] == 0, seconds=1)


def test_a_client_that_resets_while_much_is_written_leaves_nothing(server: Server) -> None:
    server.get("/left")
    before = left(server)
    for _ in range(5):
        opened = Stream(server.port, "/events", receive_buffer=4096).read_until(b"\n\n")
        server.post("/emit?count=20&pad=50000&ticks=true")
        opened.reset()
    wait_for(lambda: left(server)["clients"] == 0)
    wait_for(lambda: left(server)["tasks"] <= before["tasks"])
    wait_for(lambda: left(server)["fds"] <= before["fds"])


def test_a_reader_that_stops_is_ended_at_its_limit_and_the_others_miss_nothing(server: Server) -> None:
    with stream(server) as quick:
        slow = Stream(server.port, "/events", receive_buffer=4096).read_until(b"\n\n")
        wait_for(lambda: left(server)["clients"] == 2)
        count = 0
        while left(server)["clients"] == 2:
            assert count < 400, "the reader that stopped was never ended"
            server.post(f"/emit?count=20&start={count}&pad=20000")
            count += 20
            quick.events(count)
        assert [event["n"] for event in quick.events(count)] == list(range(count))
        slow.socket.close()
    wait_for(lambda: left(server)["clients"] == 0)
