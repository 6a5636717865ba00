"""Publishing from outside: who may, what is taken, and what is sent again is published once."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive

from nitro import Grant, on
from nitro.delivery.hub import Hub
from nitro.errors import AccessDenied, ConfigurationError
from nitro.publisher import Publisher
from nitro.sse.problem import AWAY
from tests.apps.keys import BILLING
from tests.brokers import BROKERS
from tests.documents import Document
from tests.servers import Server
from tests.sse import Stream

RUNS_BLOCKS = {"docs/how-to/publishing.md": ["sh"]}
APP = "tests.apps.publisher:app"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(APP, environment={"NITRO_MAX_PAYLOAD_BYTES": "1000"}) as started:
        yield started
    assert "Traceback" not in started.output, started.output


@pytest.fixture
def stream(server: Server) -> Iterator[Stream]:
    with Stream(server.port, "/events") as opened:
        opened.read_until(b"id: ")
        yield opened


def publish(server: Server, body: Any, key: str = BILLING, idempotency_key: str = "", **headers: str) -> httpx.Response:
    fields = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers}
    if idempotency_key:
        fields["Idempotency-Key"] = idempotency_key
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(
        f"{server.url}/publish/", content=content, headers=fields, timeout=20, trust_env=False, verify=False
    )


def check_problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def test_an_event_from_outside_is_emitted_with_its_handlers(server: Server, stream: Stream) -> None:
    answer = publish(server, {"topic": "todo.a", "result": {"n": 2**53 + 1}, "sender": "curl"})
    assert (answer.status_code, answer.json()) == (200, {"published": True})
    stream.read_until(b"event: todo.a\ndata: " + b'{"n":9007199254740993}\n')
    assert ["curl", {"n": 2**53 + 1}] in server.get("/handled").json()
    assert publish(server, {"topic": "todo.a", "result": "cancel"}).json() == {"published": False}
    assert publish(server, {"topic": "todo.a", "result": False}).json() == {"published": True}
    assert stream.read_until(b"data: false").data() == [{"n": 2**53 + 1}, False]


def test_an_event_is_as_long_as_clients_get_it_however_it_is_written(server: Server, stream: Stream) -> None:
    def written(characters: int) -> bytes:
        return (b'{"topic":"todo.a","result":"%b"}' % (b"\\u0041" * characters)).ljust(13_000)

    assert publish(server, written(998)).json() == {"published": True}
    assert stream.read_until(b"A" * 998).data() == ["A" * 998]
    assert "1001 bytes of JSON, limit 1000" in check_problem(publish(server, written(999)), 413)


@pytest.mark.parametrize(
    "key", ["", "x", BILLING[:-1], BILLING + "x", "a key that has expired", "a key that expired in 1970", "é" * 20]
)
def test_a_key_that_is_not_known_publishes_nothing(server: Server, key: str) -> None:
    header = f"Bearer {key}".strip().encode("latin-1")
    answer = httpx.post(
        f"{server.url}/publish/",
        content=b'{"topic":"todo.a","result":1}',
        headers=[(b"authorization", header), (b"content-type", b"application/json")],
        trust_env=False,
        verify=False,
    )
    check_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "body",
    [
        {"topic": "user.a", "result": 1},
        {"topic": "order.a", "result": 1},
        {"topic": "order.a", "result": 1, "sender": "somebody"},
        {"topic": "todo.secret", "result": 1},
    ],
)
def test_a_key_publishes_what_it_is_granted_and_nothing_else(server: Server, body: Any) -> None:
    assert check_problem(publish(server, body), 403) == "this key may not publish that topic with that sender"
    assert publish(server, {"topic": "order.a", "result": 1, "sender": "billing"}).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"topic":"todo.a","result":NaN}', 400),
        (b"\xff\xfe", 400),
        (b"[" * 20_000, 413),
        (b"[" * 5000, 400),
        ([], 422),
        ({}, 422),
        ({"topic": "todo.a"}, 422),
        ({"topic": "todo.a", "result": None}, 422),
        ({"topic": "todo.a", "result": 1, "extra": 1}, 422),
        ({"topic": 1, "result": 1}, 422),
        ({"topic": "todo.*", "result": 1}, 422),
        ({"topic": "nitro.dismissal", "result": {"user_id": "7", "for_good": True}}, 422),
        ({"topic": "a..b", "result": 1}, 422),
        ({"topic": "todo.a\nevent: x", "result": 1}, 422),
        ({"topic": "todo.a", "result": 1, "sender": 7}, 422),
        ({"topic": "todo.a", "result": "x" * 1000}, 413),
        ({"topic": "todo.a", "result": 1, "sender": "x" * 8000}, 422),
        (b"x" * 20_000, 413),
    ],
)
def test_what_is_no_event_is_refused_and_says_why(server: Server, stream: Stream, body: Any, status: int) -> None:
    detail = check_problem(publish(server, body, "the key of the warehouse"), status)
    assert detail.isascii()
    assert "\n" not in detail
    publish(server, {"topic": "after", "result": "it"}, "the key of the warehouse")
    assert stream.read_until(b"event: after").data() in ([], ["it"])


def test_other_methods_and_forms_are_refused(server: Server) -> None:
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        answer = httpx.request(method, f"{server.url}/publish/", trust_env=False, verify=False)
        assert (check_problem(answer, 405), answer.headers["allow"]) == ("publish by POST", "POST")
    for kind in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", ""):
        check_problem(publish(server, b'{"topic":"todo.a","result":1}', **{"Content-Type": kind}), 415)


def test_a_body_is_measured_while_it_comes(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        head = (
            f"POST /publish/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {BILLING}\r\n"
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        connection.sendall(head.encode() + b"1000\r\n" + b"x" * 4096 + b"\r\n" + b"4000\r\n" + b"x" * 16_384 + b"\r\n")
        assert b" 413 " in connection.recv(1000).split(b"\r\n")[0]


def test_what_is_sent_again_is_published_once(server: Server, stream: Stream) -> None:
    event = {"topic": "todo.once", "result": 1}
    first = publish(server, event, idempotency_key="k1")
    again = publish(server, event, idempotency_key='"k1"')
    assert (first.json(), again.json()) == ({"published": True}, {"published": True})
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert "another event" in check_problem(publish(server, {**event, "result": 2}, idempotency_key="k1"), 422)
    order = {"topic": "order.once", "result": 3}
    for key in ("the new key of billing", "the key of the warehouse"):  # keys of one owner share them, others don't
        publish(server, order, key, idempotency_key="k2")
        publish(server, order, key, idempotency_key="k2")
    publish(server, {"topic": "todo.last", "result": "last"})
    assert stream.read_until(b"event: todo.last").data() == [1, 3, 3, "last"]
    assert server.get("/handled").json().count([None, 1]) == 1
    for wrong in ("x" * 256, "a b", ""):
        answer = publish(server, event, **{"Idempotency-Key": wrong})
        check_problem(answer, 400)


def test_a_websocket_is_turned_away(server: Server) -> None:
    head = "GET /publish/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        connection.sendall((head + key).encode())
        assert int(connection.recv(1000)[9:12]) in (400, 403, 404, 405)


def test_another_event_under_a_key_that_another_process_has_just_used_is_refused(tmp_path: Path) -> None:
    environment = {"NITRO_BROKER_URL": f"sqlite:///{tmp_path / 'events.db'}"}
    with Server(APP, environment=environment) as one, Server(APP, environment=environment) as other:
        stream = Stream(other.port, "/events").read_until(b"id: ")
        for n in range(20):
            publish(one, {"topic": "todo.n", "result": n}, idempotency_key=f"k{n}")
            check_problem(publish(other, {"topic": "todo.n", "result": -n - 1}, idempotency_key=f"k{n}"), 422)
        assert stream.events(20) == list(range(20))
        stream.socket.close()


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_what_is_sent_to_two_processes_at_once_is_heard_once_in_each(kind: str, tmp_path: Path) -> None:
    with BROKERS[kind](tmp_path) as broker:
        environment = {"NITRO_BROKER_URL": broker.url, "NITRO_NAMESPACE": "once"}
        with Server(APP, environment=environment) as one, Server(APP, environment=environment) as other:
            streams = [Stream(server.port, "/events").read_until(b"id: ") for server in (one, other)]
            start = re.findall(rb"id: (\S+)", streams[0].body)[-1].decode()

            with ThreadPoolExecutor(20) as threads:  # two at a time have the same key
                answers = list(
                    threads.map(
                        lambda at: publish(at[1], {"topic": "todo.n", "result": at[0]}, idempotency_key=f"k{at[0]}"),
                        [(n, server) for n in range(20) for server in (one, other)],
                    )
                )
            assert {answer.status_code for answer in answers} == {200}
            publish(one, {"topic": "todo.last", "result": "last"})
            for stream in streams:
                heard = stream.read_until(b"event: todo.last").data()
                assert sorted(heard[:-1]) == list(range(20))
                stream.socket.close()
        with Server(APP, environment=environment) as late:
            with Stream(late.port, "/events", f"Last-Event-ID: {start}\r\n") as stream:
                assert sorted(stream.read_until(b"event: todo.last").data()[:-1]) == list(range(20))
            assert publish(late, {"topic": "todo.n", "result": 3}, idempotency_key="k3").status_code in (200, 422)


def test_the_line_for_curl_in_the_documentation_works(server: Server, stream: Stream) -> None:
    command = Document("docs/how-to/publishing.md").the("sh").source
    command = command.replace("https://app.example", server.url).replace("$BILLING_KEY", BILLING)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=20, check=True)
    assert json.loads(done.stdout) == {"published": True}
    stream.read_until(b"event: order.placed")


def publish_here(*events: Any, idempotency_key: str = "k") -> list[httpx.Response]:
    """What a publisher of this process answers."""

    async def scenario() -> list[httpx.Response]:
        publisher = Publisher({BILLING: Grant(["*"], user_id="x")})
        headers = {"Authorization": f"Bearer {BILLING}", "Idempotency-Key": idempotency_key}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(publisher), base_url="http://test") as client:
            return [await client.post("/", json=event, headers=headers) for event in events]

    return asyncio.run(scenario())


@pytest.mark.usefixtures("hub", "no_handlers")
def test_what_a_required_handler_raises_is_a_problem_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    @on("todo.failed", required=True)
    def fail(sender: Any, result: Any) -> None:
        raise PermissionError("not for the answer")

    @on("todo.refused", required=True)
    def refuse(sender: Any, result: Any) -> None:
        raise AccessDenied("not today")

    failed, refused = publish_here({"topic": "todo.failed", "result": 1}, {"topic": "todo.refused", "result": 1})
    assert check_problem(failed, 500) == "this event failed in the server, whose log says why"
    assert check_problem(refused, 403) == "not today"
    (record,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], PermissionError)


@pytest.mark.usefixtures("no_handlers")
def test_an_idempotency_key_keeps_no_handler_from_running_again_until_the_broker_has_the_event(
    hub_with: Callable[..., Hub],
) -> None:
    hub_with(broker_url="redis://127.0.0.1:1/0", publish_timeout_seconds=0.1)
    handled: list[Any] = []

    @on("todo.placed")
    def note(sender: Any, result: Any) -> None:
        handled.append(result)

    event = {"topic": "todo.placed", "result": 1}
    for answer in publish_here(event, event):
        assert check_problem(answer, 503) == str(AWAY), "nobody is told where the broker is"
    assert handled == [1, 1]


@pytest.mark.parametrize("key", ["short", "", "é" * 20, " " * 20, "x" * 20 + "\n"])
def test_a_key_that_could_be_guessed_or_not_be_sent_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="16 ASCII characters"):
        Publisher({key: Grant(["*"], user_id="x")})


def test_a_grant_without_an_owner_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs its owner"):
        Publisher({BILLING: Grant(["*"])})


def status_of(app: ASGIApp, receive: Receive) -> int:
    """What a request is answered with, whose body is what `receive` says."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {BILLING}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers, "query_string": b""}
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return int(sent[0]["status"])


@pytest.mark.timed
def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nitro.publisher._BODY_SECONDS", 0.2)

    async def receive() -> Any:
        await asyncio.sleep(3600)

    began = time.monotonic()
    assert status_of(Publisher({BILLING: Grant(["*"], user_id="x")}), receive) == 408
    assert time.monotonic() - began < 2


def test_a_client_that_goes_before_its_body_is_whole_is_no_fault_under_any_middleware() -> None:
    messages = [{"type": "http.disconnect"}, {"type": "http.request", "body": b'{"to', "more_body": True}]

    async def receive() -> Any:
        return messages.pop() if messages else await asyncio.sleep(3600)

    async def dispatch(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    publisher = Publisher({BILLING: Grant(["*"], user_id="x")})
    assert status_of(BaseHTTPMiddleware(publisher, dispatch), receive) == 400
