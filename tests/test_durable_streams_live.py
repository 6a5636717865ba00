"""Live readers of durable streams over real sockets: what they are told, and that each ends with what it waits for."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from nitro.durable_streams.events import data as data_of
from nitro.durable_streams.events import is_text as is_sent_as_text
from nitro.streams.items import is_json
from nitro.streams.offsets import BEGINNING, Offset
from nitro.streams.page import Page, Part
from nitro.streams.state import StreamState
from tests.servers import ROOT, Server, wait_for
from tests.sse import Stream

ENVIRONMENT = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "TEST_LONG_POLL_SECONDS": "30"}
TEXT = {"content-type": "text/plain"}
PATH = "/v1/stream/"
BOTH = ("sse", "long-poll")


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    options = ("--no-access-log", "--loop", request.param)
    with Server("tests.apps.durable_streams:app", options=options, environment=ENVIRONMENT) as started:
        yield started
    assert "Traceback" not in started.output, started.output


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=40, base_url=server.url + PATH) as client:
        yield client


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as found:
        yield found


def reader(server: Server, name: str, live: str, offset: str = "now") -> Stream:
    return Stream(server.port, f"{PATH}{name}?offset={offset}&live={live}")


def waiting(server: Server) -> int:
    """How many readers wait."""
    return int(server.get("/left").json()[0])


def events(body: bytes) -> list[tuple[str, str]]:
    """Names and data, as a browser would read them."""
    found = []
    for block in re.split(r"(?:\r\n|\r|\n){2}", body.decode())[:-1]:
        fields = [line.partition(":")[::2] for line in re.split(r"\r\n|\r|\n", block)]
        values = [(name, value.removeprefix(" ")) for name, value in fields]
        data = "\n".join(value for name, value in values if name == "data")
        found.append((next(value for name, value in values if name == "event"), data))
    return found


@pytest.mark.timed
@pytest.mark.parametrize("live", BOTH)
def test_a_client_that_goes_frees_its_reader_at_once(server: Server, http: httpx.Client, live: str) -> None:
    http.put("gone", headers=TEXT)
    with ExitStack() as opened:
        streams = [opened.enter_context(reader(server, "gone", live)) for _ in range(20)]
        wait_for(lambda: waiting(server) == 20)
        for each in streams[::2]:
            each.reset()
    wait_for(lambda: server.get("/left").json() == [0, 0], seconds=2)


def test_all_who_wait_are_told_what_is_appended(server: Server, http: httpx.Client, pool: ThreadPoolExecutor) -> None:
    http.put("told", headers=TEXT)
    polls = [pool.submit(http.get, "told?offset=now&live=long-poll") for _ in range(5)]
    streams = [reader(server, "told", "sse") for _ in range(20)]
    wait_for(lambda: waiting(server) == 25)
    tail = http.post("told", headers=TEXT, content=b"news").headers["stream-next-offset"]
    for poll in polls:
        answer = poll.result(10)
        assert (answer.status_code, answer.content) == (200, b"news")
        assert answer.headers["stream-next-offset"] == tail
        assert answer.headers["cache-control"] == "no-store"  # the end is another place the next time
        assert "etag" not in answer.headers
    again = http.get("told?offset=-1&live=long-poll")
    assert again.headers["cache-control"] == "private, no-cache"
    assert again.headers["etag"] == http.get("told?offset=-1").headers["etag"]
    for stream in streams:
        with stream:
            *_, data, control = events(stream.read_until(tail.encode() + b'"').read_until(b"}\n\n").body)
            assert data == ("data", "news")
            assert json.loads(control[1])["streamNextOffset"] == tail
    wait_for(lambda: waiting(server) == 0)


def test_all_who_wait_are_told_of_the_end(server: Server, http: httpx.Client, pool: ThreadPoolExecutor) -> None:
    http.put("ends", headers=TEXT)
    poll = pool.submit(http.get, "ends?offset=now&live=long-poll")
    with reader(server, "ends", "sse") as stream:
        wait_for(lambda: waiting(server) == 2)
        http.post("ends", headers={"stream-closed": "true"})
        answer = poll.result(10)
        assert (answer.status_code, answer.headers["stream-closed"]) == (204, "true")
        name, data = events(stream.read_to_end().body)[-1]
        assert (name, json.loads(data)["streamClosed"]) == ("control", True)


def test_who_waits_for_a_stream_that_is_deleted_is_let_go(
    server: Server, http: httpx.Client, pool: ThreadPoolExecutor
) -> None:
    http.put("deleted", headers=TEXT)
    poll = pool.submit(http.get, "deleted?offset=now&live=long-poll")
    with reader(server, "deleted", "sse") as stream:
        wait_for(lambda: waiting(server) == 2)
        http.delete("deleted")
        assert poll.result(10).status_code == 404
        stream.read_to_end()


@pytest.mark.parametrize(
    "content", [" a\n  b\n\nc", "a\r\nb\rc\n", "\n", ":", "data: x\n\nevent: control", "é\u2028\u0085", "\n "]
)
def test_text_comes_as_it_was_but_for_the_kinds_of_its_line_ends(
    server: Server, http: httpx.Client, content: str
) -> None:
    name = f"text/{content.encode().hex()}"
    http.put(name, headers={**TEXT, "stream-closed": "true"}, content=content.encode())
    with reader(server, name, "sse", "-1") as stream:
        data, _ = events(stream.read_to_end().body)
    assert data == ("data", re.sub(r"\r\n|\r", "\n", content))


@pytest.mark.parametrize(
    ("content_type", "is_text"),
    [
        ("text/plain", True),
        ("Text/HTML; charset=UTF-8", True),
        ('text/plain;format=flowed; charset="utf-8"', True),
        ("text/plain; charset=us-ascii", True),
        ("text/plain; charset=iso-8859-1", False),
        ('text/csv; CHARSET="windows-1252"', False),
        ("application/json; charset=utf-8", True),
        ("application/octet-stream", False),
    ],
)
def test_what_is_not_in_utf_8_comes_as_base64(content_type: str, is_text: bool) -> None:
    state = StreamState("id", content_type)
    page = Page([Part(BEGINNING, [b"1"], 1)], Offset(1), True, True, state)
    written = data_of(page)
    if is_json(content_type):
        assert written == b"event: data\ndata:[1]\n\n"
    else:
        assert written == (b"event: data\ndata:1\n\n" if is_text else b"event: data\ndata:MQ==\n\n")
    assert is_text == is_sent_as_text(content_type)


def test_a_stream_that_has_much_is_read_in_pages_and_each_has_its_place(server: Server, http: httpx.Client) -> None:
    http.put("much", headers=TEXT)
    for n in range(20):
        http.post("much", headers={**TEXT, "stream-closed": str(n == 19)}, content=str(n % 10).encode() * 300_000)
    with reader(server, "much", "sse", "-1") as stream:
        found = events(stream.read_to_end().body)
    whole = "".join(data for name, data in found if name == "data")
    assert len(found) > 10
    assert [name for name, _ in found] == ["data", "control"] * (len(found) // 2)
    rest = ""
    for name, data in reversed(found):
        if name == "data":
            rest = data + rest
            continue
        pages, offset = b"", json.loads(data)["streamNextOffset"]
        while True:
            page = http.get("much", params={"offset": offset})
            pages, offset = pages + page.content, page.headers["stream-next-offset"]
            if "stream-closed" in page.headers:
                break
        assert pages.decode() == rest
    assert whole == "".join(str(n % 10) * 300_000 for n in range(20))


def test_a_slow_reader_is_written_no_faster_than_it_reads(server: Server, http: httpx.Client) -> None:
    http.put("slow", headers={"content-type": "application/octet-stream"})
    for _ in range(300):
        http.post("slow", headers={"content-type": "application/octet-stream"}, content=bytes(100_000))
    before = memory(server)
    with ExitStack() as opened:
        for _ in range(20):
            opened.enter_context(reader(server, "slow", "sse", "-1")).read_head()
        wait_for(lambda: waiting(server) == 20)
        assert memory(server) - before < 100_000_000  # to hold all that they haven't read would take 800 MB
    wait_for(lambda: server.get("/left").json() == [0, 0])


def memory(server: Server) -> int:
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * 4096


@pytest.mark.timed
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_readers_end_with_their_server(pool: ThreadPoolExecutor, signum: int) -> None:
    with Server("tests.apps.durable_streams:app", environment=ENVIRONMENT) as server:
        httpx.put(f"{server.url}{PATH}a", headers=TEXT, trust_env=False)
        url = f"{server.url}{PATH}a?offset=now&live=long-poll"
        poll = pool.submit(httpx.get, url, trust_env=False, timeout=40)
        with reader(server, "a", "sse") as stream:
            wait_for(lambda: waiting(server) == 2)
            assert server.end(signum) < 3
            stream.read_to_end()
        assert poll.result(10).status_code == 204
        assert "Traceback" not in server.output, server.output


@pytest.mark.timed
def test_a_stream_of_events_ends_after_its_time() -> None:
    environment: dict[str, Any] = {**ENVIRONMENT, "TEST_SSE_SECONDS": "0.5"}
    with Server("tests.apps.durable_streams:app", environment=environment) as server:
        httpx.put(f"{server.url}{PATH}a", headers=TEXT, trust_env=False)
        began = time.monotonic()
        with reader(server, "a", "sse") as stream:
            stream.read_to_end()
            assert 0.4 < time.monotonic() - began < 3
        assert server.get("/left").json() == [0, 0]


def test_what_one_process_has_stored_is_read_at_once_through_another_one(tmp_path: Path) -> None:
    environment = {**ENVIRONMENT, "NITRO_BROKER_URL": f"sqlite:///{tmp_path}/streams.db"}
    app = "tests.apps.durable_streams:app"
    with (
        Server(app, environment=environment) as one,
        Server(app, environment=environment) as other,
        httpx.Client(trust_env=False, base_url=one.url + PATH) as writer,
        httpx.Client(trust_env=False, base_url=other.url + PATH) as looking,
    ):
        writer.put("a", headers=TEXT)
        with reader(other, "a", "sse"):  # so that the other one hears of the stream, a bit later
            wait_for(lambda: waiting(other) == 1)
            for n in range(1, 200):
                tail = writer.post("a", headers=TEXT, content=b"x").headers["stream-next-offset"]
                assert looking.head("a").headers["stream-next-offset"] == tail
                assert len(looking.get("a").content) == n
