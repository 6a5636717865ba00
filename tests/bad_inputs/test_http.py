"""Rows 32 to 37 of docs/reference/bad-inputs.md: what HTTP allows a stranger to ask, of a server.

Row 38, about those who misbehave while they listen, is in `test_http_leaving.py`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from nitro import Client, EventSourceResponse
from nitro.delivery.hub import Hub
from nitro.testing.conformance import eventually
from tests.bad_inputs.raw import get
from tests.bad_inputs.witnesses import OF_ONE_USER, Bystander, Neighbour
from tests.specification.hearing import run
from tests.sse import Stream

AT_ONCE_SECONDS = 0.5


def check_problem(answer: httpx.Response, status: int) -> str:
    """That it is a problem of RFC 9457 that says nothing but why; its detail."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json()
    assert problem.keys() == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert problem["detail"].isprintable()
    return str(problem["detail"])


@pytest.mark.bad_input(32)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/events", "/everything"])
def test_a_method_that_is_not_get_is_refused(method: str, path: str, neighbour: Neighbour) -> None:
    answer = neighbour.http.request(method, path, content=b"x" * 1000)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
    assert neighbour.clients() == 1
    neighbour.lives_on()


@pytest.mark.bad_input(33)
@pytest.mark.parametrize(
    "path", ["/events", "/events?topic=t.x&user=7", "/everything", "/everything?last_event_id=abc"]
)
def test_head_gets_the_head_of_the_stream_and_connects_nobody(path: str, neighbour: Neighbour) -> None:
    head = neighbour.http.head(path)
    assert head.status_code == 200
    assert head.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert head.headers["cache-control"] == "no-store, no-transform"
    assert head.content == b""
    assert neighbour.clients() == 1
    with Stream(neighbour.server.port, path).read_head() as stream:
        names = {line.partition(":")[0].lower() for line in stream.head.split("\r\n")[1:]}
        assert names - {"transfer-encoding"} == set(head.headers.keys()) - {"transfer-encoding"}
        eventually(lambda: neighbour.clients() == 2, "which GET does")
    neighbour.lives_on()


@pytest.mark.bad_input(34)
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("topic=a%00", "character 2"),
        ("topic=a%0d%0ab", "character 2"),
        ("topic=a+b", "character 2"),
        ("topic=t.a,t.b", "character 4"),
        ("topic=%FF", "character 1"),
        ("topic=t.%ZZ", "character 3"),
        ("topic=%E2%80%AEt", "character 1"),
        ("topic=", "is empty"),
        ("topic", "is empty"),
        ("topic=t.a&topic=", "is empty"),
        ("topic=t..a", "empty segment at character 3"),
        ("topic[]=t.a", "without brackets"),
        ("topic%5B%5D=t.a", "without brackets"),
        ("topic[0]=t.a", "without brackets"),
        ("topic=t.a&topic[]=t.b", "without brackets"),
        ("topic=nitro.x", "reserved"),
        ("topic=" + "t" * 256, "at most 255"),
    ],
)
def test_a_topic_that_is_none_is_a_problem_with_its_reason(query: str, says: str, neighbour: Neighbour) -> None:
    detail = check_problem(neighbour.http.get(f"/events?{query}"), 422)
    assert says in detail
    assert detail.isascii()
    assert neighbour.clients() == 1
    neighbour.lives_on()


@pytest.mark.bad_input(34)
@pytest.mark.parametrize(
    ("query", "heard"),
    [
        ("", ["t.a", "t.b", "user.7.x"]),
        ("topics=t.a", ["t.a", "t.b", "user.7.x"]),
        ("topic=t.a", ["t.a"]),
        ("topic=t.a&topic=user.7.*", ["t.a", "user.7.x"]),
        ("topic=t.a&topic=t.a&topic=t.*", ["t.a", "t.b"]),
        ("topic=t.%2A", ["t.a", "t.b"]),
    ],
)
def test_topic_may_be_repeated_and_without_it_all_that_is_allowed_is_meant(
    query: str, heard: list[str], neighbour: Neighbour
) -> None:
    with Stream(neighbour.server.port, f"/events?user=7&{query}").read_until(b"\nid: ") as stream:
        neighbour.emit(*[(topic, topic) for topic in ("t.a", "t.b", "t.denied", "user.7.x", "user.8.x", "x")])
        assert stream.events(len(heard)) == heard
        assert neighbour.clients() == 2
    neighbour.lives_on()


@pytest.mark.bad_input(34)
@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"t.a t.b", "character 4"),
        (b"t.a, t.b", "character 1"),
        (b"t.a,,t.b", "holds an empty topic"),
        (b"t.a,", "holds an empty topic"),
        (b"", "holds an empty topic"),
        (b"t.\xe9", "character 3"),
        (b"t.\xff\xfe", "character 3"),
        (b"t.%00", "character 3"),
        (b"nitro.x", "reserved"),
        (b"t" * 256, "at most 255"),
        (b"," * 10_000, "1000 topics"),
        (b"t.a," * 10_000, "1000 topics"),
    ],
    ids=lambda value: ascii(value[:12]),
)
@pytest.mark.parametrize("name", [b"Nitro-Topics", b"nitro-topics-2"])
def test_a_header_of_topics_that_are_none_is_a_problem_with_its_reason(
    name: bytes, value: bytes, says: str, neighbour: Neighbour
) -> None:
    detail = check_problem(neighbour.http.get("/events?topic=t.a", headers={name: value}), 422)
    assert says in detail
    assert detail.isascii()
    assert neighbour.clients() == 1
    neighbour.lives_on()


@pytest.mark.bad_input(34)
@pytest.mark.bad_input(14)
def test_a_thousand_and_one_topics_are_a_problem_that_names_the_limit(neighbour: Neighbour) -> None:
    answer = neighbour.http.get("/events?" + "&".join(f"topic=t.{n}" for n in range(1_001)))
    assert "1000 topics" in check_problem(answer, 422)
    neighbour.lives_on()


@pytest.mark.bad_input(35)
def test_a_topic_outside_of_the_grant_is_the_same_403_whether_it_exists_or_not(neighbour: Neighbour) -> None:
    neighbour.emit(("user.8.real", "a secret"), ("t.denied", "another"))
    with Stream(neighbour.server.port, "/events?user=8&topic=user.8.real").read_until(b"\nid: "):
        answers = set()
        for topic in ("user.8.real", "user.8.none", "t.denied", "zzz", "*", "user.*", "*.real", "t.x&topic=user.9.x"):
            answer = neighbour.http.get(f"/events?user=7&topic={topic}")
            detail = check_problem(answer, 403)
            asked = topic.rpartition("=")[2]
            assert asked in detail
            headers = {name: value for name, value in answer.headers.items() if name not in ("date", "content-length")}
            answers.add((detail.replace(f"'{asked}'", "…"), *sorted(headers.items())))
        assert len(answers) == 1
        assert "user.7" not in str(answers), "nor does it tell what is granted"
    neighbour.lives_on()


@pytest.mark.bad_input(36)
def test_one_client_more_than_a_user_may_have_is_told_when_to_come_back(neighbour: Neighbour) -> None:
    port, path = neighbour.server.port, "/events?user=greedy"
    with ExitStack() as opened:
        for _ in range(OF_ONE_USER):
            opened.enter_context(Stream(port, path).read_until(b"\nid: "))
        answer = neighbour.http.get(path)
        assert "NITRO_MAX_CLIENTS_PER_USER" in check_problem(answer, 429)
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        opened.enter_context(Stream(port, "/events?user=modest").read_until(b"\nid: "))
    neighbour.is_alone_within(1)
    with Stream(port, path).read_until(b"\nid: "):
        neighbour.lives_on()


@pytest.mark.bad_input(36)
@pytest.mark.parametrize(
    ("limit", "value", "others", "options"),
    [
        ("max_clients", 3, 2, {}),
        ("max_clients_per_user", 2, 2, {"user_id": "7"}),
        ("max_clients_per_address", 2, 2, {"address": "192.0.2.1"}),
        ("max_connects_per_second", 1, 0, {}),
    ],
)
def test_each_limit_is_answered_with_429_and_named(
    limit: str, value: float, others: int, options: dict[str, Any], hub_with: Callable[..., Hub]
) -> None:
    hub_with(**{limit: value})

    async def scenario() -> None:
        clients = [Client(topics=["t"], **options).connect() for _ in range(others)]
        transport = httpx.ASGITransport(app=EventSourceResponse(Client(topics=["t"], **options)))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            answer = await http.get("/")
        assert f"NITRO_{limit.upper()}" in check_problem(answer, 429)
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        for client in clients:
            client.disconnect()

    with Bystander() as bystander:
        run(scenario)
        bystander.lives_on()


def check_stream(connection: socket.socket, began: float, neighbour: Neighbour) -> bytes:
    """That its first bytes came at once, and an event as soon as it is emitted; all of it."""
    got = b""
    while b"\nid: " not in got:
        got += connection.recv(65536)
    assert time.monotonic() - began < AT_ONCE_SECONDS
    neighbour.emit(("t.x", "whole and uncompressed"))
    while b'data: "whole and uncompressed"\n' not in got:
        got += connection.recv(65536)
    return got


UNUSUAL = [
    *(
        b"Range: bytes=0-5",
        b"Range: bytes=-1",
        b"If-None-Match: *",
        b"If-Modified-Since: Wed, 25 Nov 2026 00:00:00 GMT",
    ),
    *(b"Accept-Encoding: gzip, br", b"Accept-Encoding: identity;q=0, *;q=0"),
    *(b"Accept: image/png", b"Accept: text/event-stream;q=0", b"Accept: nonsense", b"Connection: close"),
]


@pytest.mark.alone
@pytest.mark.bad_input(37)
@pytest.mark.parametrize("header", UNUSUAL, ids=bytes.decode)
def test_headers_that_ask_for_something_else_get_the_stream(header: bytes, neighbour: Neighbour) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", neighbour.server.port), timeout=5) as connection:
        connection.sendall(get(b"/events", header))
        head = check_stream(connection, began, neighbour).partition(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"http/1.1 200 ")
    assert b"\r\ncontent-type: text/event-stream" in head
    assert b"\r\ncontent-encoding:" not in head
    assert b"\r\ncontent-range:" not in head
    neighbour.lives_on()


@pytest.mark.alone
@pytest.mark.bad_input(37)
@pytest.mark.parametrize("request_line", [b"GET /events HTTP/1.0", b"GET /events HTTP/1.0\r\nConnection: keep-alive"])
def test_http_1_0_gets_the_stream_without_chunks(request_line: bytes, neighbour: Neighbour) -> None:
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", neighbour.server.port), timeout=5) as connection:
        connection.sendall(request_line + b"\r\n\r\n")
        got = check_stream(connection, began, neighbour)
    assert got.split()[1] == b"200"
    neighbour.lives_on()
