"""Requests of durable streams: who may make them, which are refused, and that none, whatever it holds, is a fault."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount
from starlette.types import Message, Scope

from nitro.delivery import process
from nitro.delivery.hub import Hub
from nitro.durable_streams import DurableStreams
from nitro.errors import ConfigurationError
from nitro.sse.problem import AWAY
from nitro.streams.items import json_items
from tests.apps import durable_streams as apps
from tests.servers import ROOT, Server

ENVIRONMENT = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
TEXT = {"content-type": "text/plain"}


@pytest.fixture(scope="module", params=["app", "fastapi_app", "alone"])
def base(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where streams are, under each of the applications."""
    with Server(f"tests.apps.durable_streams:{request.param}", environment=ENVIRONMENT) as server:
        yield server.url + ("" if request.param == "alone" else "/v1/stream")
    assert "Traceback" not in server.output, server.output


@pytest.fixture
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, verify=False, timeout=10) as client:
        yield client


def problem(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.json()["status"] == response.status_code
    return str(response.json()["detail"])


def test_without_somebody_who_authorizes_there_are_no_streams() -> None:
    with pytest.raises(TypeError):
        DurableStreams()  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match=r"DurableStreams\(authorize=authorize\)"):
        DurableStreams(authorize=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("action", "method", "headers", "content"),
    [
        ("create", "PUT", TEXT, b"x"),
        ("append", "POST", TEXT, b"x"),
        ("append", "POST", {**TEXT, "stream-closed": "true"}, b"x"),
        ("close", "POST", {**TEXT, "stream-closed": "true"}, b"x"),
        ("close", "POST", {"stream-closed": "true"}, b""),
        ("delete", "DELETE", {}, b""),
        ("read", "HEAD", {}, b""),
        ("read", "GET", {}, b""),
    ],
)
def test_who_may_not_is_told_so_and_nothing_happens(
    base: str, http: httpx.Client, action: str, method: str, headers: dict[str, str], content: bytes
) -> None:
    url = f"{base}/guarded/{action}{len(headers)}{len(content)}"
    for path in (url, f"{url}/nothing"):  # whether there is a stream is not told either
        http.put(url, headers=TEXT)
        refused = http.request(method, path, headers={**headers, "x-refuse": action}, content=content)
        assert refused.status_code == 403
        if method != "HEAD":
            assert f"may not {action} the stream" in problem(refused)
    assert http.get(url).content == b""
    assert "stream-closed" not in http.head(url).headers
    assert http.get(f"{url}/nothing").status_code == 404


def test_what_a_function_raises_is_the_answer(base: str, http: httpx.Client) -> None:
    refused = http.get(f"{base}/a", headers={"x-refuse": "login"})
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert problem(refused) == "who are you?"


def test_who_forks_has_to_be_allowed_to_read_the_source(base: str, http: httpx.Client) -> None:
    source, fork = f"{base}/forked/source", f"{base}/forked/fork"
    http.put(source, headers=TEXT, content=b"secret")
    forks = {"stream-forked-from": httpx.URL(source).path}
    refused = http.put(fork, headers={**forks, "x-refuse": "read forked/source"})
    assert refused.status_code == 403
    assert http.get(fork).status_code == 404
    assert http.put(fork, headers=forks).status_code == 201
    assert http.get(fork).content == b"secret"


def test_an_error_calls_a_stream_by_its_path(base: str, http: httpx.Client) -> None:
    assert problem(http.get(f"{base}/called/none")) == "there is no stream 'called/none'"
    http.put(f"{base}/called/one", headers=TEXT)
    again = http.put(f"{base}/called/one", headers={"content-type": "text/html"})
    assert problem(again).startswith("there is a stream 'called/one' of another type")


def test_who_names_what_it_has_in_several_headers_gets_it_not_again(base: str, http: httpx.Client) -> None:
    http.put(f"{base}/known", headers=TEXT, content=b"x")
    etag = http.get(f"{base}/known").headers["etag"]
    for names in (['"x"', etag], [f'"x", W/{etag}'], ["*"]):
        assert http.get(f"{base}/known", headers=[("if-none-match", name) for name in names]).status_code == 304
    assert http.get(f"{base}/known", headers={"if-none-match": '"x"'}).content == b"x"


def test_a_preflight_is_answered_without_asking(base: str, http: httpx.Client) -> None:
    answer = http.options(f"{base}/a", headers={"x-refuse": "login", "origin": "https://else.where"})
    assert answer.status_code == 204
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "path",
    ["", "a//b", "a/", "a/%2E%2E/b", "a/%2e/b", "a%00b", "%ff", "__ds/subscriptions/a", "a" * 1_001, "%E6%97%A5" * 667],
)
def test_paths_that_no_stream_can_have(base: str, http: httpx.Client, path: str) -> None:
    sent = http.build_request("PUT", base + "/x", headers=TEXT)
    sent.url = sent.url.copy_with(raw_path=f"{httpx.URL(base).path.rstrip('/')}/{path}".encode())
    problem(answer := http.send(sent))
    assert answer.status_code == 400


def test_a_path_is_decoded_once(base: str, http: httpx.Client) -> None:
    answer = http.put(f"{base}/d%C3%A9j%C3%A0/100%2525/%20", headers=TEXT, content=b"x")
    assert answer.status_code == 201
    assert http.get(answer.headers["location"]).content == b"x"
    assert http.get(f"{base}/d%C3%A9j%C3%A0/100%25/%20").status_code == 404
    source = httpx.URL(f"{base}/d%C3%A9j%C3%A0/100%2525/%20").raw_path.decode()
    assert http.put(f"{base}/fork", headers={"stream-forked-from": source}).status_code == 201


@pytest.mark.parametrize(
    ("method", "headers", "content"),
    [
        ("PUT", {"content-type": "no type"}, b""),
        ("PUT", {"stream-ttl": "9" * 17}, b""),
        ("PUT", {"stream-expires-at": "2026-02-30T00:00:00Z"}, b""),
        ("PUT", {"stream-expires-at": "tomorrow"}, b""),
        ("PUT", {"content-type": "application/json"}, b"[1e999]"),
        ("PUT", {"content-type": "application/json"}, b"[" * 100_000 + b"]" * 100_000),
        ("POST", {"content-type": "application/json"}, b"NaN"),
        ("POST", {**TEXT, "stream-seq": ""}, b"x"),
        ("POST", {**TEXT, "producer-id": "p" * 257, "producer-epoch": "0", "producer-seq": "0"}, b"x"),
        ("POST", {**TEXT, "producer-id": "p", "producer-epoch": str(2**53), "producer-seq": "0"}, b"x"),
        ("POST", [*TEXT.items(), ("stream-seq", "1"), ("stream-seq", "2")], b"x"),
    ],
)
def test_headers_and_bodies_that_can_not_be(
    base: str, http: httpx.Client, method: str, headers: Any, content: bytes
) -> None:
    answer = http.request(method, f"{base}/bad", headers=headers, content=content)
    assert answer.status_code == 400, problem(answer)


def test_nothing_of_a_body_that_is_too_long_is_stored() -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(64):
            yield b"x" * 100

    with (
        Server("tests.apps.durable_streams:app", environment=ENVIRONMENT) as server,
        httpx.Client(trust_env=False, timeout=10) as http,
    ):
        url = f"{server.url}/small/a"
        http.put(url, headers=TEXT, content=b"x" * 1_000)
        assert http.post(url, headers=TEXT, content=b"x" * 1_001).status_code == 413
        assert http.post(url, headers=TEXT, content=parts()).status_code == 413
        assert len(http.get(url).content) == 1_000
    assert "Traceback" not in server.output, server.output


NAMES = """
    content-type stream-seq stream-ttl stream-expires-at stream-closed stream-forked-from stream-fork-offset
    stream-fork-sub-offset producer-id producer-epoch producer-seq if-none-match content-length host
"""
SENSIBLE = """
    application/json text/plain image/png true 0 1 2 3600 -1 now * /v1/stream/a /v1/stream/b /elsewhere
    2030-01-01T00:00:00Z 0001-01-01T00:00:00+23:59 00000000000001 00000000000001.000001 ffffffffffffff
"""
VALUES = st.one_of(st.sampled_from(SENSIBLE.split()), st.text(st.characters(max_codepoint=255), max_size=20))
BODIES = st.one_of(
    st.sampled_from([b"", b"[]", b"[1,[2]]", b'{"a":"\\ud800"}', b"\xef\xbb\xbf1", b"1e999", b"[", b"\xff", b" "]),
    st.binary(max_size=50),
)
REQUESTS = st.tuples(
    st.sampled_from(["PUT", "POST", "GET", "GET", "HEAD", "DELETE", "OPTIONS", "PATCH", ""]),
    st.one_of(st.sampled_from(["a", "b"]), st.text(max_size=10)),
    st.lists(st.tuples(st.sampled_from(["offset", "live", "cursor", "x"]), VALUES | st.just("sse")), max_size=3),
    st.lists(st.tuples(st.sampled_from(NAMES.split()), VALUES), max_size=5),
    BODIES,
)


async def answered(app: DurableStreams, request: Any) -> tuple[int, bytes]:
    method, path, query, headers, body = request
    scope: Scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": f"/v1/stream/{path}",
        "root_path": "/v1/stream",
        "query_string": "&".join(f"{name}={value}" for name, value in query).encode("latin-1"),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    sent: list[Message] = []
    messages = [{"type": "http.request", "body": body}]

    async def receive() -> Message:
        if messages:
            return messages.pop()
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    head, *rest = sent
    assert all(isinstance(part, bytes) and b"\n" not in part for header in head["headers"] for part in header)
    assert not rest[-1].get("more_body")
    content = b"".join(part["body"] for part in rest)
    if (b"content-type", b"application/json") in head["headers"] and method == "GET" and head["status"] == 200:
        assert isinstance(json.loads(content), list)
    return head["status"], content


@pytest.mark.parametrize(("root", "put_back"), [("", ""), ("/api", "/api"), ("/api", "")])
def test_who_may_use_a_stream_is_asked_with_its_path_whatever_a_proxy_has_cut_off(
    root: str, put_back: str, hub: Hub
) -> None:
    """uvicorn's --root-path puts it back; hypercorn's doesn't."""
    user = f"ann{root}{put_back}".replace("/", "-")  # what others have made in this process is there
    asked: list[str] = []

    async def authorize(_: Request, path: str, action: str) -> bool:
        asked.append(path)
        return True

    async def create(path: str, source: str = "") -> httpx.Response:
        headers = {**TEXT, **({"stream-forked-from": source} if source else {})}
        transport = httpx.ASGITransport(app, root_path=root)
        async with httpx.AsyncClient(transport=transport, base_url="http://nitro") as client:
            return await client.put(f"{put_back}/streams/{path}", headers=headers)

    async def scenario() -> None:
        made = await create(f"{user}/chat")
        assert (made.status_code, made.headers["location"]) == (201, f"http://nitro{root}/streams/{user}/chat")
        forked = await create(f"{user}/copy", source=f"{root}/streams/{user}/chat")
        assert forked.status_code == 201, forked.text
        assert set(asked) == {f"{user}/chat", f"{user}/copy"}
        assert (await create(f"{user}/other", source=f"/elsewhere/{user}/chat")).status_code == 404

    app = Starlette(routes=[Mount("/streams", DurableStreams(authorize=authorize))])
    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["", "*", "elsewhere"])
def test_a_path_that_begins_with_no_slash_is_none_of_a_stream(path: str, hub: Hub) -> None:
    """As of `OPTIONS *`; a scope may leave out its root."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: Scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    asyncio.run(apps.made()(scope, receive, send))
    assert sent[0]["status"] == 400


@pytest.mark.parametrize("status", [503, 500])
def test_who_asks_while_there_is_no_store_is_not_told_where_it_is_and_the_log_says_it(
    status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"sqlite:///{tmp_path}/secret/events.db" + ("" if status == 503 else "?nonsense=1")
    monkeypatch.setattr(process, "_broker", url)

    async def main() -> httpx.Response:
        app = DurableStreams(authorize=lambda request, path, action: True)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answer = await client.put("/a", headers=TEXT)
        async with asyncio.timeout(20):
            while "secret" not in caplog.text:  # by what looks after all streams
                await asyncio.sleep(0.01)
        return answer

    answer = asyncio.run(main())
    assert answer.status_code == status
    assert problem(answer) == (str(AWAY) if status == 503 else "this failed in the server, whose log says why")


def test_a_function_that_returns_what_is_true_and_not_true_permits_nothing_and_is_told(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        app = DurableStreams(authorize=lambda *_: {"member": "ann"})  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://nitro") as client:
            for _ in range(2):
                assert (await client.put("/true", headers=TEXT)).status_code == 403

    asyncio.run(scenario())
    [said] = [record.message for record in caplog.records if record.name == "nitro.streams"]
    assert "(dict)" in said and "is not None" in said


def test_a_long_body_of_json_is_parsed_while_the_loop_goes_on() -> None:
    app, json_type = apps.made(), [("content-type", "application/json")]

    async def steps(body: bytes) -> int:
        """How often the event loop has looked at others until the request was answered."""
        count = 0
        asking = asyncio.ensure_future(answered(app, ("POST", "long", [], json_type, body)))
        while not asking.done():
            await asyncio.sleep(0)
            count += 1
        assert asking.result() == (204, b"")
        return count

    async def ask() -> None:
        await answered(app, ("PUT", "long", [], json_type, b""))
        short, long = await steps(b"[0]"), await steps(b"[" + b"0," * 1_000_000 + b"0]")
        assert long >= short + 5

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (b' [1, -0.0, 1e22, 12345678901234567890123, {"a": [null, true]}] ', None),
        (b'"\\u00e9\xc3\xa9\\u2028\\ud83d\\ude00\\n"', ["éé\u2028😀\n"]),
        (b'["\\ud83d", {"\\ude00": "\xc3\xa9"}]', None),
        (b"[" * 300 + b"]" * 300, None),
        (b"[]", []),
        (b'{"a": 1, "a": 2}', [{"a": 2}]),
    ],
)
def test_messages_are_what_their_json_says(body: bytes, items: list[Any] | None) -> None:
    kept = json_items(body)
    assert [json.loads(item) for item in kept] == (json.loads(body) if items is None else items)
    assert all(b"\n" not in item and b" " not in item for item in kept)


@settings(max_examples=300, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=12))
def test_no_request_is_a_fault_of_ours(requests: list[Any]) -> None:
    app = apps.made(long_poll_seconds=0.001, sse_seconds=0.001)

    async def ask() -> None:
        for path in ("a", "b"):
            await answered(app, ("DELETE", path, [], [], b""))
        for request in [("PUT", "a", [], [("content-type", "application/json")], b"[1,2]"), *requests]:
            status, _ = await answered(app, request)
            assert status < 500, request

    asyncio.run(ask())
