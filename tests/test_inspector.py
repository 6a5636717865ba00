"""The inspector on real servers: who may look, what is seen of whom, what can be done, and that looking changes
nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request

import nitro
from nitro.errors import ConfigurationError
from nitro.inspection.gate import is_reloading
from tests.brokers import BROKERS, STORES
from tests.inspecting import ADMIN, ITS_OWN, Looking
from tests.servers import Server, wait_for
from tests.sse import Stream
from tests.workers import Workers

APP = "tests.apps.inspector:app"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One process, whose log is in its memory."""
    with Workers(APP, {}, 1) as workers:
        yield workers.servers[0]


@contextlib.contextmanager
def streams(server: Server, count: int, query: str = "") -> Iterator[list[Stream]]:
    """Clients of a server, of users u0, u1, …"""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(Stream(server.port, f"/events?user=u{n}{query}")) for n in range(count)]
        for stream in found:
            stream.read_head()
        yield found


def ids(report: dict[str, Any]) -> set[str]:
    return {worker["id"] for worker in report["workers"]}


def users(report: dict[str, Any]) -> list[str | None]:
    return [row and row["user"] for row in report["clients"]["rows"]]


# Who may look.


@pytest.mark.parametrize("path", ["", "/", "/events", "/tail?pattern=todo.*", "/inspector.js"])
def test_without_a_login_nothing_is_answered(server: Server, path: str) -> None:
    answer = httpx.get(f"{server.url}/inspector{path}", follow_redirects=True)
    assert (answer.status_code, answer.json()["status"]) == (401, 401)


def test_a_reader_that_forgets_to_answer_lets_nobody_in_and_one_that_answers_is_followed(server: Server) -> None:
    def get(answer: str) -> httpx.Response:
        return httpx.get(f"{server.url}/answers/", headers={"x-answer": answer})

    assert [get(answer).status_code for answer in ("nothing", "zero", "someone")] == [401, 401, 200]
    assert get("login").headers["location"] == "/login"
    assert get("raise").headers["www-authenticate"] == 'Basic realm="admins"'


def test_what_is_no_function_is_refused_where_it_is_written() -> None:
    with pytest.raises(ConfigurationError, match=r"authenticate is 'ada', and not a function"):
        nitro.inspector(authenticate="ada")  # type: ignore[arg-type]


def test_a_generator_and_a_user_without_a_login_let_nobody_in(server: Server) -> None:
    def generator(request: Request) -> Iterator[int]:
        yield 1

    async def async_generator(request: Request) -> AsyncIterator[int]:
        yield 1

    class Answers:
        def __call__(self, request: Request) -> Iterator[int]:
            yield 1

    for authenticate in (generator, async_generator, Answers()):
        with pytest.raises(ConfigurationError, match="is true before it has run"):
            nitro.inspector(authenticate=authenticate)
    for answer in ("generator", "unauthenticated"):
        assert httpx.get(f"{server.url}/answers/", headers={"x-answer": answer}).status_code == 401


def test_without_authenticate_nobody_is_answered_unless_the_server_reloads(server: Server, tmp_path: Path) -> None:
    refused = httpx.get(f"{server.url}/open/")
    assert refused.status_code == 403
    assert "nitro.inspector(authenticate=" in refused.json()["detail"]
    options = ("--reload", "--reload-dir", str(tmp_path))
    reloading = Server(APP, options=options).wait_until_up()
    try:
        for name in ("127.0.0.1", "localhost"):
            assert httpx.get(f"{reloading.url}/open/", headers={"host": f"{name}:{reloading.port}"}).status_code == 200
        assert httpx.get(f"{reloading.url}/open/", headers={"host": "evil.example"}).status_code == 403
        assert httpx.get(f"{reloading.url}/open/", headers={"x-forwarded-for": "10.0.0.1"}).status_code == 403
        assert httpx.get(f"{reloading.url}/inspector/").status_code == 401
        old = f"GET /open/ HTTP/1.0\r\nHost: 127.0.0.1:{reloading.port}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", reloading.port)) as proxied:
            proxied.sendall(old)
            assert proxied.recv(100).startswith(b"HTTP/1.1 403"), "as nginx asks what it stands before"
    finally:
        reloading.end()


@pytest.mark.parametrize(
    ("command", "reloads"),
    [
        ("uvicorn app:app --reload", True),
        ("/venv/lib/nitro/__main__.py run --reload app:app", True),
        ("/venv/bin/fastapi dev app.py", True),
        ("/venv/lib/fastapi/__main__.py dev app.py", True),
        ("/venv/bin/fastapi run app.py", False),
        ("uvicorn app:app", False),
        ("uvicorn dev:app", False),
        ("dev.py dev", False),
    ],
)
def test_a_server_that_reloads_is_known_by_its_command(command: str, reloads: bool) -> None:
    assert is_reloading(command.split()) is reloads


def test_only_the_page_itself_can_change_something(server: Server) -> None:
    body = {"topic": "todo.created", "payload": 1}
    for headers in (ADMIN, {**ITS_OWN, "sec-fetch-site": "same-site"}, {**ITS_OWN, "sec-fetch-site": "cross-site"}):
        assert httpx.post(f"{server.url}/inspector/emit", json=body, headers=headers).status_code == 403
    assert httpx.post(f"{server.url}/inspector/emit", json=body, headers=ITS_OWN).status_code == 200
    others = [
        ("post", "emit", {"origin": "http://other.example"}),
        ("get", "events", {"origin": "http://other.example"}),
        ("get", "events", {"sec-fetch-site": "cross-site", "sec-fetch-dest": "empty"}),
        ("get", "inspector.css", {"sec-fetch-site": "same-site", "sec-fetch-dest": "style"}),
    ]
    for method, path, headers in others:
        sent = httpx.request(method, f"{server.url}/inspector/{path}", headers={**ITS_OWN, **headers})
        assert sent.status_code == 403, (method, path, headers)
    of_own = {"origin": server.url}
    assert httpx.post(f"{server.url}/inspector/emit", json=body, headers={**ITS_OWN, **of_own}).status_code == 200
    link = {"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}
    assert httpx.get(f"{server.url}/inspector/", headers={**ADMIN, **link}).status_code == 200
    careful = httpx.post(f"{server.url}/careful/emit", json=body, headers=ITS_OWN)
    assert (careful.status_code, careful.json()["detail"]) == (
        403,
        "this inspector only shows; mount it with actions=True",
    )


# What is seen.


def test_clients_are_seen_with_all_that_matters_of_them(server: Server) -> None:
    with streams(server, 1, "&topics=todo.*,room.*&room=kitchen"), Looking(server.url) as page:
        report = page.report(lambda report: report["clients"]["rows"])
        (row,) = report["clients"]["rows"]
        assert row["user"] == "u0"
        assert row["address"] == "127.0.0.1"
        assert row["topics"] == ["room.*", "todo.*"]
        assert row["rights"] == ["order.*", "presence.*", "room.*", "todo.*", "user.*"]
        assert row["way"] == "inline"
        assert row["state"] == "idle"
        assert row["waiting"] == [0, 0]
        assert abs(row["since"] - time.time()) < 20
        (worker,) = report["workers"]
        assert worker["pid"] == server.process.pid
        assert worker["clients"] == 1
        assert worker["broker"]["name"] == "memory://"
        assert report["problem"] is None


def test_a_client_that_does_not_read_is_among_the_slowest(server: Server) -> None:
    with (
        streams(server, 3, "&topics=news"),
        Stream(server.port, "/events?user=slow", receive_buffer=1024),
        Looking(server.url) as page,
    ):
        for count in (3000, 300):  # what is written at once is the server's
            httpx.post(f"{server.url}/emit?count={count}&size=1000", timeout=60)
        slow = page.report(lambda report: report["clients"]["slowest"])["clients"]["slowest"][0]
        assert slow["user"] == "slow"
        page.show(sort="waiting", descending=True, count=2)
        report = page.report(lambda report: len(report["clients"]["rows"]) == 2)
        assert users(report)[0] == "slow"


def test_topics_are_counted_and_messages_are_followed(server: Server) -> None:
    with Looking(server.url) as page, Stream(server.port, "/inspector/tail?pattern=todo.*", "x-admin: ada\r\n") as tail:
        tail.read_head()
        tail.read_until(b":\n\n")
        page.report()
        httpx.post(f"{server.url}/emit?topic=todo.created&count=3")
        httpx.post(f"{server.url}/emit?topic=news&count=2")
        seen: dict[str, int] = {}

        def counted(report: dict[str, Any]) -> bool:
            for topic, count, _ in report["topics"]["top"]:
                seen[topic] = seen.get(topic, 0) + count
            return sum(seen.values()) >= 5

        page.report(counted)
        assert seen == {"todo.created": 3, "news": 2}
        messages = tail.events(3)
        assert [message["topic"] for message in messages] == ["todo.created"] * 3
        assert [json.loads(message["payload"])["n"] for message in messages] == [0, 1, 2]
        assert messages[0]["sender"] == "anna"
        assert messages[0]["bytes"] == len(messages[0]["payload"])


def test_payloads_are_shown_where_that_is_allowed_and_a_wrong_pattern_says_why(server: Server) -> None:
    with Stream(server.port, "/careful/tail?pattern=*", "x-admin: ada\r\n") as tail:
        tail.read_until(b":\n\n")
        httpx.post(f"{server.url}/emit")
        (message,) = tail.events(1)
        assert "payload" not in message
        assert message["bytes"] > 10
    with Stream(server.port, "/inspector/tail?pattern=todo..x", "x-admin: ada\r\n") as tail:
        tail.read_to_end()
        assert b"event: refused" in tail.body
        assert "todo..x" in tail.data()[0]["detail"]


def test_of_very_many_messages_some_are_shown_and_the_others_counted() -> None:
    """On a server of its own, since a room that an earlier test has left adds a message to the log seconds later."""
    with (
        Workers(APP, {}, 1) as workers,
        Stream(workers.servers[0].port, "/inspector/tail?pattern=*", "x-admin: ada\r\n") as tail,
    ):
        tail.read_until(b":\n\n")
        httpx.post(f"{workers.servers[0].url}/emit?count=20000", timeout=60)
        shown, missed, deadline = 0, 0, time.monotonic() + 20
        while shown + missed < 20_000:
            assert time.monotonic() < deadline, (shown, missed)
            tail.read_more()
            shown = sum("topic" in event for event in tail.data())
            missed = sum(event.get("messages", 0) + event.get("unread", 0) for event in tail.data())
        assert (shown + missed, 0 < shown <= 200) == (20_000, True)


def test_a_list_of_many_clients_is_sent_as_far_as_it_is_seen(server: Server) -> None:
    with streams(server, 60), Looking(server.url) as page:
        page.show(sort="user", count=5, **{"from": 20})
        report = page.report(lambda report: report["clients"]["from"] == 20)
        order = sorted(f"u{n}" for n in range(60))
        assert users(report) == order[20:25]
        assert report["clients"]["matching"] == 60
        page.show(filter="U5", sort="user", descending=True, count=5)
        report = page.report(lambda report: report["clients"]["matching"] < 60)
        assert report["clients"]["matching"] == 11
        assert users(report) == ["u59", "u58", "u57", "u56", "u55"]
        page.show(sort="user", count=5, **{"from": 58})
        assert users(page.report(lambda report: report["clients"]["from"] == 58)) == order[58:]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"{", "the request holds no JSON"),
        (b"[]", "the request is no JSON object"),
        (b'{"sort": "height"}', "that is no view: sort"),
        (b'{"from": -1}', "that is no view: window.first"),
        (b'{"count": 5000}', "that is no view: window.length"),
        (b'{"filter": "' + b"x" * 300 + b'"}', "that is no view: filter"),
        (b'{"x": "' + b"x" * 70_000 + b'"}', "more than 65536 bytes"),
    ],
)
def test_what_no_page_asks_is_told_in_words(server: Server, body: bytes, detail: str) -> None:
    answer = httpx.post(f"{server.url}/inspector/view", content=body, headers=ITS_OWN)
    assert answer.status_code in (413, 422)
    assert answer.json()["detail"].startswith(detail)


def test_a_page_that_is_gone_and_a_path_that_is_none_are_told_too(server: Server) -> None:
    def post(path: str, **body: Any) -> int:
        return httpx.post(f"{server.url}/inspector/{path}", json=body, headers=ITS_OWN).status_code

    assert (post("view", viewer="gone"), post("nothing"), post("disconnect"), post("emit", topic="a")) == (
        *(409, 404, 422, 422),
    )
    assert post("emit", topic="a b", payload=1) == 422
    assert httpx.get(f"{server.url}/inspector/../app.py", headers=ADMIN).status_code == 404


# What can be done.


def test_a_client_and_a_user_are_disconnected(server: Server) -> None:
    with streams(server, 3) as clients, Looking(server.url) as page:
        row = next(row for row in page.report(lambda report: len(report["clients"]["rows"]) == 3)["clients"]["rows"])
        answer = page.post("disconnect", client=row["key"], stop=True)
        assert answer.json() == {"done": "The client is ended."}
        place = int(row["user"][1:])
        clients[place].read_to_end()
        other = (place + 1) % 3
        assert page.post("disconnect", user=f"u{other}").status_code == 200
        clients[other].read_to_end()
        left = page.report(lambda report: report["clients"]["total"] == 1)
        assert users(left) == [f"u{({0, 1, 2} - {place, other}).pop()}"]


def test_an_event_is_emitted(server: Server) -> None:
    with streams(server, 1) as (client,), Looking(server.url) as page:
        answer = page.post("emit", topic="todo.created", payload={"text": "a test"})
        assert answer.json() == {"done": "todo.created is emitted."}
        assert client.events(1) == [{"text": "a test"}]


def test_a_session_that_ends_ends_what_it_sees(server: Server) -> None:
    with (
        Stream(server.port, "/answers/events", "x-answer: once\r\n") as page,
        Stream(server.port, "/answers/tail?pattern=*", "x-answer: once\r\n") as tail,
    ):
        page.read_until(b"event: hello")
        tail.read_until(b":\n\n")
        assert httpx.post(f"{server.url}/end").status_code == 200
        for stream in (page, tail):
            stream.socket.settimeout(30)
            stream.read_to_end()


def test_a_client_with_an_odd_address_and_a_very_long_user_is_seen(server: Server) -> None:
    httpx.post(f"{server.url}/odd").raise_for_status()
    with Looking(server.url) as page:
        (row,) = page.report(lambda report: report["clients"]["rows"])["clients"]["rows"]
        assert (len(row["user"]), row["is_cut"]) == (500, True)
        assert row["address"] == "?"
    httpx.delete(f"{server.url}/odd").raise_for_status()


# All workers.


@pytest.fixture(scope="module", params=STORES)
def workers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with (
        BROKERS[request.param](tmp_path_factory.mktemp(request.param)) as broker,
        Workers(APP, {"NITRO_BROKER_URL": broker.url}, 2) as workers,
    ):
        yield workers


def test_all_workers_are_on_one_page_whoever_answers(workers: Workers) -> None:
    one, other = workers.servers
    pids = {server.process.pid for server in workers.servers}
    with streams(one, 3), streams(other, 4), Looking(one.url) as here, Looking(other.url) as there:
        for page in (here, there):
            report = page.report(lambda report: report["clients"]["total"] == 7 and all(users(report)))
            assert {worker["pid"] for worker in report["workers"]} == pids
            assert report["workers"][0]["id"] == page.hello["worker"]
            assert sorted(users(report)) == sorted([*["u0", "u1", "u2", "u3"], *["u0", "u1", "u2"]])  # type: ignore[type-var]
            assert report["problem"] is None
            page.show(sort="user", count=3, **{"from": 2})
            report = page.report(lambda report: report["clients"]["from"] == 2 and len(report["clients"]["rows"]) == 3)
            report = page.report(lambda report: all(users(report)))
            own = 3 if page is here else 4
            assert users(report) == [*[f"u{n}" for n in range(own)], "u0", "u1", "u2", "u3"][2:5]
        relayed = {"viewer": here.hello["viewer"], "filter": "u3", "number": 7}
        httpx.post(f"{other.url}/inspector/view", json=relayed, headers=ITS_OWN).raise_for_status()
        here.report(lambda report: report["clients"]["matching"] == 1 and users(report) == ["u3"])
        here.show(filter="u2", number=6)
        here.show(sort="user", number=7)
        assert here.report(lambda report: report["clients"]["matching"] != 1)["clients"]["total"] == 7
        row = next(row for row in report["clients"]["rows"] if row["worker"] != there.hello["worker"])
        answer = there.post("disconnect", client=row["key"])
        assert answer.json() == {"done": "The client's process was told to end it."}
        there.report(lambda report: report["clients"]["total"] == 6)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    url = f"sqlite:///{tmp_path_factory.mktemp('pair')}/events.db"
    with Workers(APP, {"NITRO_BROKER_URL": url}, 2) as workers:
        for server in workers.servers:
            httpx.get(f"{server.url}/statistics")  # a process is seen once it has used Nitro
        yield workers


def test_looking_leaves_no_trace_and_ends_when_nobody_looks(pair: Workers) -> None:
    one, other = pair.servers

    def at(server: Server) -> dict[str, Any]:
        return dict(httpx.get(f"{server.url}/statistics").json())

    before = at(one)
    with Looking(other.url) as page:
        page.report(lambda report: len(report["workers"]) == 2)
        tail = Stream(one.port, "/inspector/tail?pattern=*", "x-admin: ada\r\n").read_until(b":\n\n")
        seen = at(one)
        assert {**seen, "head": ""} == {**before, "head": ""}
        assert seen["head"] != before["head"], "the log says that somebody looks"
        for server in pair.servers:
            assert "nitro-inspector" in threads(server)
        tail.reset()
    wait_for(lambda: not any("nitro-inspector" in threads(server) for server in pair.servers), seconds=30)
    with Looking(one.url) as page:  # and begins again
        page.report(lambda report: len(report["workers"]) == 2)


def threads(server: Server) -> set[str]:
    """The names of a process's threads."""
    return set(httpx.get(f"{server.url}/threads").json())


def test_a_worker_that_is_killed_grows_silent_and_is_gone_after_a_while(pair: Workers) -> None:
    one, other = pair.servers
    with Looking(one.url) as page:
        both = page.report(lambda r: len(r["workers"]) == 2)["workers"]
        gone = next(worker for worker in both if worker["pid"] == other.process.pid)
        os.kill(other.process.pid, signal.SIGKILL)
        other.process.wait()
        report = page.report(lambda r: any(w["id"] == gone["id"] and w["at"] < r["at"] - 4 for w in r["workers"]))
        assert report["problem"] is None
        new = pair.replace(1)
        httpx.get(f"{new.url}/statistics")
        report = page.report(lambda r: any(w["pid"] == new.process.pid for w in r["workers"]), seconds=30)
        report = page.report(lambda r: gone["id"] not in ids(r), seconds=40)
        assert len(report["workers"]) == 2


def test_a_page_that_looks_holds_up_no_server_that_stops(pair: Workers) -> None:
    one, _ = pair.servers
    with Looking(one.url) as page, Stream(one.port, "/inspector/tail?pattern=*", "x-admin: ada\r\n") as tail:
        tail.read_until(b":\n\n")
        page.report()
        assert one.end(within_seconds=4)
    pair.replace(0)


def test_a_broker_that_is_away_is_told_and_the_own_process_still_seen(tmp_path: Path) -> None:
    with (
        BROKERS["redis"](tmp_path) as broker,
        Workers(APP, {"NITRO_BROKER_URL": broker.url}, 1) as workers,
        Looking(workers.servers[0].url) as page,
    ):
        page.report(lambda report: report["problem"] is None)
        broker.kill()
        report = page.report(lambda report: report["problem"] is not None)
        assert report["problem"].startswith("other processes can't be asked: ")
        (worker,) = page.report(lambda report: report["workers"][0]["broker"]["gone_seconds"] > 0)["workers"]
        assert worker["broker"]["why_gone"]
        broker.start()
        page.report(lambda report: report["problem"] is None)
        workers.servers[0].output = ""
