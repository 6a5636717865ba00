"""For whom a stream is, as its opening in an envelope says; the probe, which asks for that alone; topics by header."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Iterator
from hashlib import sha256
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Response
from starlette.background import BackgroundTask

import nitro
from nitro import (
    ANY,
    Client,
    EventSourceResponse,
    Grant,
    active_clients,
    client_event,
    disconnect_user,
    event_stream,
    on,
    requested_topics,
)
from nitro.datastar import DatastarResponse
from nitro.delivery.hub import Hub
from nitro.delivery.outbox import Outbox
from nitro.errors import ConfigurationError, InvalidTopic, TooManyTopics
from nitro.fastapi import EventStream
from nitro.testing.conformance import eventually
from tests.servers import Server
from tests.sse import Stream
from tests.wire import Wire

APP = "tests.apps.greetings:app"
RIGHTS = [
    "/granted?allow=t.*",
    "/granted?allow=t.*&allow=u.*",
    "/granted?allow=t.*&sender=7",
    "/granted?allow=t.*&sender=8",
    "/granted?allow=t.*&sender=7&sender=8",
    "/granted?allow=t.*&deny=t.a",
    "/granted?allow=t.*&deny=t.b",
    "/granted?allow=t.*&mute=t.a",
    "/granted?allow=t.*&own=t.a",
    "/granted?allow=t.*&own=t.a&own=t.b",
    "/granted",
    "/granted?deny=t.a",
    "/granted?user=7",
    "/granted?user=8",
    "/by-hand?own=t.a",
    "/by-hand?own=t.a&own=t.b",
    "/by-hand?topic=t.a&sender=7",
    "/by-hand?topic=t.a&sender=8",
]
"""Streams no two of which are for the same."""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(APP) as running:
        yield running


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


def in_envelope(path: str) -> str:
    return path + ("&" if "?" in path else "?") + "envelope=1"


def news(body: bytes) -> dict[str, Any]:
    """What the opening event says, which is all of `body`."""
    lines = body.removesuffix(b"\n\n").split(b"\n")
    assert lines[0] == b":"
    assert lines[1].startswith(b"retry: ")
    assert lines[-2:-1] == [b"data: nitro.stream"]
    return dict(json.loads(lines[-1].removeprefix(b"data: ")))


def greeting(server: Server, path: str, headers: str = "") -> dict[str, Any]:
    """Of a stream, which is closed then."""
    with Stream(server.port, in_envelope(path), headers).read_until(b"\n\n") as stream:
        assert b"\nid: " in stream.body
        return news(stream.body)


def probe(server: Server, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    url = f"{server.url}{in_envelope(path)}&probe=1"
    return httpx.get(url, headers=headers, timeout=10, trust_env=False, verify=False)


def topic_headers(patterns: list[str], count: int) -> list[tuple[str, str]]:
    """The patterns in so many headers, as the browser client sends them."""
    each = -(-len(patterns) // count)
    parts = [patterns[place : place + each] for place in range(0, len(patterns), each)]
    return [(f"Nitro-Topics{f'-{n}' if n > 1 else ''}", ",".join(part)) for n, part in enumerate(parts, 1)]


def as_lines(headers: list[tuple[str, str]]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers)


# --- for whom


def test_a_stream_of_a_user_is_for_that_user_whatever_it_hears(server: Server) -> None:
    whom = "u416a007a7f45c467"
    assert whom == "u" + sha256(b"nitro user 7").hexdigest()[:16]
    for rights in ("", "&allow=t.*", "&topic=t.a", "&allow=t.*&topic=t.b", "&own=t.a"):
        assert greeting(server, f"/granted?user=7{rights}")["for"] == whom
    assert greeting(server, "/granted?user=8")["for"] != whom


def test_streams_without_a_user_are_for_those_of_whom_the_server_decided_the_same(server: Server) -> None:
    found = {path: greeting(server, path)["for"] for path in RIGHTS}
    assert len(set(found.values())) == len(RIGHTS), found
    assert all(len(whom) == 17 and whom[0] in "ut" for whom in found.values())


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("/granted?allow=t.*&allow=u.*", ["&topic=t.a", "&topic=u.*&topic=t.*", "&topic=t.*", "&topic=t.b&topic=t.b"]),
        ("/granted?allow=u.*&allow=t.*", ["&topic=t.a"]),
        ("/granted?allow=t.*&sender=8&sender=7", ["&topic=t.a", "&topic=t.*"]),
        ("/granted?deny=t.a", ["&topic=t.*", "&topic=*"]),
        ("/by-hand?own=own.x", ["&topic=t.a", "&topic=t.a&topic=u.*"]),
        ("/by-hand?own=own.x&own=own.y", ["&topic=own.z"]),
    ],
)
def test_what_a_page_asks_for_is_nothing_that_the_server_decided(server: Server, path: str, same: list[str]) -> None:
    whom = greeting(server, path)["for"]
    assert [greeting(server, path + asked)["for"] for asked in same] == [whom] * len(same)
    by_header = greeting(server, path, "Nitro-Topics: t.b\r\n") if "by-hand" not in path else {"for": whom}
    assert by_header["for"] == whom


def test_the_senders_that_the_server_chose_for_what_was_asked_for_are_its_decision(server: Server) -> None:
    one, other = (greeting(server, f"/by-hand?topic=t.a&sender={sender}")["for"] for sender in (7, 8))
    assert one != other
    assert greeting(server, "/by-hand?topic=t.a&topic=t.b&sender=7")["for"] == one


def test_where_the_server_decided_nothing_nobody_is_named(server: Server) -> None:
    for asked in ("?topic=t.a", "?topic=t.a&topic=t.*", ""):
        assert greeting(server, f"/by-hand{asked}").keys() == {"retry", "heartbeat"}


def test_another_process_says_the_same() -> None:
    found = []
    for seed in ("1", "2"):
        with Server(APP, environment={"PYTHONHASHSEED": seed}) as running:
            found.append([greeting(running, path)["for"] for path in RIGHTS])
    assert found[0] == found[1]


def test_whom_a_stream_is_for_is_written_as_the_documentation_of_the_format_has_it(server: Server) -> None:
    def written(text: str) -> str:
        return "t" + sha256(f"nitro topics {text}".encode()).hexdigest()[:16]

    own = '[[["t.a",false,[]],["t.b",false,[]]],null,[],[]]'
    granted = '[[],[["t.*",true,["7","8"]]],[["t.a",false,[]]],["t.b"]]'
    assert greeting(server, "/by-hand?own=t.b&own=t.a")["for"] == written(own)
    assert greeting(server, "/granted?allow=t.*&sender=8&sender=7&deny=t.a&mute=t.b")["for"] == written(granted)


@pytest.mark.usefixtures("hub")
def test_a_sender_that_is_no_text_makes_a_greeting_too() -> None:
    client = Client(topics={"t": ["\ud800", "é"]})
    assert client.greeting({})["for"] != Client(topics={"t": ["\ud801", "é"]}).greeting({})["for"]


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("headers", [(), ((b"nitro-topics", b"t.a"),)])
@pytest.mark.parametrize("query", [b"", b"probe=1", b"probe=1&topic=t.b", b"envelope=2&probe=1"])
@pytest.mark.parametrize("make", [EventSourceResponse, DatastarResponse])
def test_the_plain_form_says_nothing_of_it(
    make: type[EventSourceResponse], query: bytes, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    async def scenario() -> None:
        for user in (None, "7"):
            wire = Wire(query, headers)
            task = wire.answer(make(Client(topics=["t.a"], user_id=user)))
            await wire.until(b"\n\n")
            assert len(active_clients) == 1
            assert wire.body == f":\nretry: 2000\nid: {nitro.position()}\n\n".encode()
            wire.gone.set()
            await task

    run(scenario)


class Foreign:
    """A subscriber of an application's own, which knows no greeting."""

    def __init__(self) -> None:
        self.inner = Client(topics=["t"], user_id="7")
        self.address: str | None = None
        self.streamed: Outbox | None = None

    def resume(self, last_event_id: str) -> None:
        self.inner.resume(last_event_id)

    def reserve_slot(self) -> None:
        self.inner.reserve_slot()

    def release_slot(self) -> None:
        self.inner.release_slot()

    def connect(self) -> Any:
        return self.inner.connect()

    def close_outbox(self, outbox: Outbox) -> None:
        self.inner.close_outbox(outbox)

    def open_outbox(self) -> Outbox:
        return self.inner.open_outbox()


@pytest.mark.usefixtures("hub")
def test_a_subscriber_that_says_nothing_of_itself_is_greeted_without() -> None:
    async def scenario() -> None:
        for query in (b"envelope=1", b"envelope=1&probe=1"):
            wire = Wire(query)
            task = wire.answer(EventSourceResponse(Foreign()))
            await wire.until(b"\n\n")
            assert news(wire.body) == {"retry": 2000, "heartbeat": 15.0}
            wire.gone.set()
            await task

    run(scenario)


# --- the probe


def test_a_probe_is_greeted_as_a_stream_would_be_and_ends(server: Server) -> None:
    for path in RIGHTS:
        answer = probe(server, path)
        assert answer.status_code == 200
        assert b"\nid: " not in answer.content
        assert news(answer.content) == greeting(server, path)
        with Stream(server.port, in_envelope(path)).read_head() as stream:
            head = {line.partition(":")[0].lower(): line.partition(": ")[2] for line in stream.head.split("\r\n")[1:]}
        assert {name: answer.headers[name] for name in head if name != "date"} == {
            name: value for name, value in head.items() if name != "date"
        }


def test_a_probe_takes_no_slot_and_is_no_client() -> None:
    limits = {"NITRO_MAX_CLIENTS": "1", "NITRO_MAX_CLIENTS_PER_USER": "1", "NITRO_MAX_CLIENTS_PER_ADDRESS": "1"}
    path = "/granted?user=7"
    with Server(APP, environment=limits) as running:
        assert probe(running, path).status_code == 200
        assert running.get("/left").json() == {"clients": 0, "lifecycle": []}
        with Stream(running.port, in_envelope(path)).read_until(b"\n\n") as stream:
            assert probe(running, path).content.endswith(b"\n\n")
            assert probe(running, path).status_code == 200
            assert running.get("/left").json() == {"clients": 1, "lifecycle": ["connect"]}
            assert running.get(in_envelope(path)).status_code == 429
            running.post("/emit", json=["t.a"])
            stream.read_until(b't.a\ndata: "t.a"')
        eventually(
            lambda: running.get("/left").json() == {"clients": 0, "lifecycle": ["connect", "disconnect"]}, "it left"
        )


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/granted?nobody", 401),
        ("/granted?allow=t.*&until=1", 401),
        ("/granted?allow=t.*&topic=u.a", 403),
        ("/granted?topic=a+b", 422),
        ("/granted?topic=", 422),
        ("/granted?" + "&".join(f"topic=t.{n}" for n in range(1_001)), 422),
    ],
)
def test_a_probe_is_refused_as_a_stream_is(server: Server, path: str, status: int) -> None:
    answer, streams = probe(server, path), server.get(in_envelope(path))
    assert (answer.status_code, answer.json()) == (status, streams.json())
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.usefixtures("hub")
def test_a_probe_whose_rights_ended_after_its_client_was_made_is_refused() -> None:
    async def scenario() -> None:
        over_at = time.time() + 0.1
        expired = Client(topics=["t"], expires_at=over_at)
        dismissed = Client(topics=["t"], user_id="7")
        disconnect_user("7")
        while time.time() <= over_at + 0.01:
            await asyncio.sleep(0.01)
        for client, status, headers in ((expired, 401, {}), (dismissed, 503, {"retry-after": "5"})):
            transport = httpx.ASGITransport(app=EventSourceResponse(client))
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                answer = await http.get("/?envelope=1&probe=1")
            assert answer.status_code == status
            assert answer.json()["status"] == status
            assert answer.headers.items() >= headers.items()

    run(scenario)


@pytest.mark.usefixtures("hub", "no_handlers")
def test_no_background_task_runs_behind_a_probe() -> None:
    ran: list[str] = []

    async def scenario() -> None:
        on(client_event)(lambda sender, action, **_: ran.append(action))
        wire = Wire(b"probe=1&topic=t&envelope=1")
        task = BackgroundTask(ran.append, "background")
        await wire.answer(EventSourceResponse(Client(topics=["t"]), background=task, status_code=203))
        assert wire.is_complete
        assert ran == []
        wire = Wire(b"envelope=1")
        answered = wire.answer(EventSourceResponse(Client(topics=["t"]), background=task))
        await wire.until(b"\n\n")
        wire.gone.set()
        await answered
        assert ran == ["connect", "disconnect", "background"]

    run(scenario)


# --- topics by header


class Request:
    def __init__(self, query: bytes, *headers: tuple[bytes, bytes]) -> None:
        self.scope = {"query_string": query, "headers": headers}


@pytest.mark.parametrize(
    ("query", "headers", "topics"),
    [
        (b"", [(b"nitro-topics", b"a")], ["a"]),
        (b"", [(b"nitro-topics", b"a,b.*,a")], ["a", "b.*"]),
        (b"topic=c&topic=a", [(b"nitro-topics", b"a,b.*")], ["c", "a", "b.*"]),
        (
            b"",
            [(b"nitro-topics", b"a"), (b"accept", b"x,,y"), (b"nitro-topics-2", b"b,c"), (b"nitro-topics-3", b"d")],
            [*"abcd"],
        ),
        (b"", [(b"nitro-topics", b"a"), (b"nitro-topics", b"b")], ["a", "b"]),
        (b"", [(b"nitro-topics", b"ANY")], ["*"]),
        (b"", [(b"nitro-topic", b"a b"), (b"x-nitro-topics", b"a b")], ["ANY"]),
    ],
)
def test_headers_are_asked_for_beside_the_query(
    query: bytes, headers: list[tuple[bytes, bytes]], topics: list[str]
) -> None:
    found = requested_topics(Request(query, *headers))
    assert found == topics
    assert found.in_header is any(name.startswith(b"nitro-topics") for name, _ in headers)


@pytest.mark.parametrize(
    "value",
    [b"", b",", b"a,", b",a", b"a,,b", b"a, b", b" a", b"a b", b"a%2C", b"\xff", b"nitro.x", b"a" * 256, b"[a]"],
)
def test_a_header_with_what_is_no_topic_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidTopic):
        requested_topics(Request(b"topic=t", (b"nitro-topics", b"t"), (b"nitro-topics-2", value)))


@pytest.mark.parametrize("count", [4, 150])
def test_more_in_headers_than_the_limit_are_refused(hub_with: Callable[..., Hub], count: int) -> None:
    hub_with(max_topics_per_client=3)
    assert len(requested_topics(Request(b"topic=t0", (b"nitro-topics", b"t0,t1"), (b"nitro-topics-2", b"t2")))) == 3
    with pytest.raises(TooManyTopics, match="3 topics"):
        requested_topics(Request(b"", *[(b"nitro-topics-%d" % n, b"t%d" % n) for n in range(count)]))
    with pytest.raises(TooManyTopics, match="3 topics"):
        requested_topics(Request(b"topic=t0", (b"nitro-topics", b"t1,t2,t3")))


@pytest.mark.timed
@pytest.mark.usefixtures("hub")
def test_a_header_of_a_million_commas_is_refused_at_once() -> None:
    began = time.monotonic()
    for value in (b"," * 1_000_000, b"a," * 500_000):
        with pytest.raises(TooManyTopics):
            requested_topics(Request(b"", (b"nitro-topics", value)))
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_a_page_asks_for_hundreds_of_topics_by_header_and_hears_those(http: str) -> None:
    topics = [f"list.item-{n:06}.changed" for n in range(900)]
    with Server(APP, options=("--http", http)) as running:
        for asked, count in ((topics[:1], 1), (topics[:50], 3), (topics, 8)):
            headers = topic_headers(asked, count)
            assert len(headers) == count
            path = in_envelope("/granted?allow=list.*&allow=query.*&topic=query.x")
            with Stream(running.port, path, as_lines(headers)).read_until(b"\n\n") as stream:
                assert news(stream.body)["topics"] == len(asked) + 1
                said = len(stream.body)
                others = ["list.item-000900.changed", "query.y"]
                running.post("/emit", json=[*others, *topics, *others, "query.x"])
                stream.read_until(b'"query.x"\n\n')
                heard = [event.split(b"\n")[2] for event in stream.body[said:].split(b"\n\n")[:-1]]
                assert [json.loads(line.removeprefix(b"data: ")) for line in heard] == [*asked, "query.x"]


def test_a_greeting_tells_of_topics_only_where_a_header_was_understood(server: Server) -> None:
    asked = "Nitro-Topics: t.a,t.b\r\n"
    assert greeting(server, "/granted", asked)["topics"] == 2
    assert greeting(server, "/granted?topic=t.b&topic=t.c", asked)["topics"] == 3
    for path, headers in (("/granted?topic=t.a", ""), ("/by-hand?topic=t.a", asked), ("/granted?own=t.a", asked)):
        assert "topics" not in greeting(server, path, headers)
    assert news(probe(server, "/granted", {"nitro-topics": "t.a,t.b", "nitro-topics-2": "t.c"}).content)["topics"] == 3


def test_a_thousand_topics_by_header_are_taken_and_one_more_is_refused(server: Server) -> None:
    topics = [f"t.{n}" for n in range(1_001)]
    assert news(probe(server, "/granted", dict(topic_headers(topics[1:], 4))).content)["topics"] == 1_000
    for headers in (dict(topic_headers(topics, 4)), dict(topic_headers(topics * 2, 4))):
        answer = probe(server, "/granted", headers)
        assert answer.status_code == 422
        assert "1000 topics" in answer.json()["detail"]


def test_fastapis_dependency_reads_the_header_and_tells_of_it() -> None:
    async def scenario() -> None:
        app = FastAPI()
        live = EventStream(lambda: Grant(["t.*"]))
        depends = Depends(live)

        @app.get("/events", **live.openapi)
        async def events(stream: Any = depends) -> Response:
            return stream  # type: ignore[no-any-return]  # what the dependency made

        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            for value, status in (("t.a,t.b", 200), ("u.a", 403), ("t.a,", 422)):
                answer = await http.get("/events?envelope=1&probe=1", headers={"Nitro-Topics": value})
                assert answer.status_code == status
                if status == 200:
                    assert news(answer.content)["topics"] == 2
            parameters = (await http.get("/openapi.json")).json()["paths"]["/events"]["get"]["parameters"]
        assert [parameter["name"] for parameter in parameters] == ["topic", "Last-Event-ID", "last_event_id"]
        assert "Nitro-Topics" in parameters[0]["description"]

    run(scenario)


@pytest.mark.usefixtures("hub")
def test_topics_of_a_header_are_a_strangers_and_need_a_grant() -> None:
    request = Request(b"", (b"nitro-topics", b"t.a,u.a"))
    with pytest.raises(ConfigurationError):
        Client(topics=requested_topics(request))
    answer = event_stream(request, Grant(["t.*"]))
    assert answer.status_code == 403
    assert list(Client(topics=requested_topics(request), allowed=ANY).topics) == ["t.a", "u.a"]
