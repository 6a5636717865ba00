"""The recipes of `docs/how-to/access.md`, as they stand there, against real servers: who gets a stream, who not."""

from __future__ import annotations

import ast
import asyncio
import itertools
import re
import shlex
import sys
import time
import tomllib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from importlib.metadata import packages_distributions
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.middleware.gzip import GZipMiddleware
from packaging.requirements import Requirement

from nitro import ANY, Client, EventSourceResponse, Grant, segment
from nitro import emit as emitted
from nitro.errors import StreamRefused
from nitro.testing import stream as stream_of
from nitro.testing.streaming import StreamUnderTest
from nitro.tickets import Tickets
from tests.documents import ROOT, Document
from tests.servers import Server
from tests.specification.blocks import Block
from tests.sse import Stream

PAGE = Document("docs/how-to/access.md")
RUNS_BLOCKS = {
    "docs/how-to/access.md": [
        "FastAPI: python",
        "A room from the path: python",
        "FastAPI, with a token: python",
        "A ticket, for another origin: python",
        "Starlette: python",
        "Litestar: python",
        "Quart: python",
        "A database session: python",
    ]
}
KEY = "a key of the tests, which is long enough"
SECRET = "a secret of the tests, which is long enough"
ENVIRONMENT = {"SECRET": SECRET, "ORIGINS": "http://localhost:1", "NITRO_RETRY_MILLISECONDS": "100"}


def serve(recipe: str, **environment: str) -> Server:
    return Server("tests.apps.access:app", environment={**ENVIRONMENT, "NITRO_RECIPE": recipe, **environment})


@pytest.fixture(scope="module")
def fastapi() -> Iterator[Server]:
    with serve("FastAPI", NITRO_MAX_CLIENTS_PER_USER="2") as server:
        yield server
    assert "Traceback" not in server.output, server.output


def cookie_of(server: Server, user: str) -> str:
    answer = server.post(f"/login?user={user}")
    return f"Cookie: session={answer.cookies['session']}\r\n"


def emit(server: Server, topic: str, result: Any, sender: str = "me") -> str:
    return str(server.post("/test/emit", params={"topic": topic, "result": result, "sender": sender}).json())


def until_clients(server: Server, count: int) -> None:
    deadline = time.monotonic() + 10
    while len(server.get("/test/clients").json()) != count:
        assert time.monotonic() < deadline, f"there are not {count} clients"
        time.sleep(0.01)


def ask(server: Server, query: str = "", headers: str = "") -> httpx.Response:
    fields = dict(line.split(": ", 1) for line in headers.splitlines())
    return httpx.get(f"{server.url}/events?{query}", headers=fields, timeout=10, trust_env=False, verify=False)


def check_problem(answer: httpx.Response, status: int, wanted: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["title"]
    assert wanted in problem["detail"]


def test_a_user_hears_what_is_granted_and_nobody_elses(fastapi: Server) -> None:
    with Stream(fastapi.port, "/events", cookie_of(fastapi, "ada")) as stream:
        stream.read_until(b"id: ")
        emit(fastapi, "user.bob.mail", "not hers")
        emit(fastapi, "order.a", "not hers")
        emit(fastapi, "user.ada.mail", "hers")
        emit(fastapi, "todo.a", "everybody's")
        assert stream.events(2) == ["hers", "everybody's"]
    until_clients(fastapi, 0)


def test_a_page_may_ask_for_less(fastapi: Server) -> None:
    with Stream(fastapi.port, "/events?topic=todo.*&topic=user.ada.mail", cookie_of(fastapi, "ada")) as stream:
        stream.read_until(b"id: ")
        emit(fastapi, "user.ada.other", 1)
        emit(fastapi, "user.ada.mail", 2)
        assert stream.events(1) == ["2"]
    until_clients(fastapi, 0)


def test_the_answers_come_before_the_stream_as_problem_details(fastapi: Server) -> None:
    cookie = cookie_of(fastapi, "ada")
    check_problem(ask(fastapi), 401, "log in")
    assert ask(fastapi).headers["www-authenticate"] == "Bearer"
    for query in ("topic=*", "topic=user.bob.*", "topic=user.*", "topic=todo.*&topic=order.a", "topic=u*"):
        check_problem(ask(fastapi, query, cookie), 403, "is not allowed for this client")
    for query in ("topic=", "topic=a..b", "topic=a%00", "topic[]=a", "topic=%FF", "topic=nitro.stream"):
        check_problem(ask(fastapi, query, cookie), 422, "t")
    streams = [Stream(fastapi.port, "/events", cookie).read_until(b"id: ") for _ in range(2)]
    refused = ask(fastapi, "", cookie)
    check_problem(refused, 429, "NITRO_MAX_CLIENTS_PER_USER")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    with Stream(fastapi.port, "/events", cookie_of(fastapi, "bob")) as other:
        other.read_until(b"id: ")
    for stream in streams:
        stream.socket.close()
    until_clients(fastapi, 0)
    with Stream(fastapi.port, "/events", cookie) as again:
        again.read_until(b"id: ")
    until_clients(fastapi, 0)


PEOPLE = ["ann@example.org", "a.b", "Jürgen", "*", "ANY", "user.bob.*", "名前", "x" * 300, " "]
"""What people are called, who log in by their address of e-mail or by a name of their choice."""


def test_a_user_of_any_name_hears_what_is_granted_and_nobody_elses() -> None:
    with serve("FastAPI") as server:
        for name in PEOPLE:
            with Stream(server.port, "/events", cookie_of(server, quote(name, safe=""))) as stream:
                stream.read_until(b"id: ")
                for other in ("bob", *(each for each in PEOPLE if each != name)):
                    emit(server, f"user.{segment(other)}.mail", "not theirs")
                emit(server, f"user.{segment(name)}.mail", name)
                assert stream.events(1) == [name]
            until_clients(server, 0)
    assert "Traceback" not in server.output, server.output


def test_the_documentation_shows_the_stream_and_its_refusals(fastapi: Server) -> None:
    operation = fastapi.get("/openapi.json").json()["paths"]["/events"]["get"]
    assert set(operation["responses"]) == {"200", "401", "403", "422", "429"}
    assert set(operation["responses"]["200"]["content"]) == {"text/event-stream"}
    for status in ("401", "403", "422", "429"):
        assert "application/problem+json" in operation["responses"][status]["content"]
    assert [each["name"] for each in operation["parameters"]] == ["topic", "Last-Event-ID", "last_event_id"]


def test_26_rights_withdrawn_while_live_and_while_away(fastapi: Server) -> None:
    cookie = cookie_of(fastapi, "eve")
    with Stream(fastapi.port, "/events", cookie) as stream:
        stream.read_until(b"id: ")
        position = emit(fastapi, "user.eve.a", 1)
        stream.events(1)
        fastapi.post("/test/disconnect?user=eve")
        emit(fastapi, "user.eve.a", 2)
        stream.read_to_end()
        assert stream.data() == ["1"]
    until_clients(fastapi, 0)
    back = f"{cookie_of(fastapi, 'bob')}Last-Event-ID: {position}\r\n"  # who logged in on the same browser
    with Stream(fastapi.port, "/events", back) as stream:
        emit(fastapi, "todo.a", 3)
        assert stream.events(1) == ["3"]
    time.sleep(1)  # for so long after a dismissal rights count as read before it
    with Stream(fastapi.port, "/events", f"{cookie}Last-Event-ID: {position}\r\n") as stream:
        assert stream.events(2) == ["2", "3"]
    until_clients(fastapi, 0)


def test_a_logout_ends_the_users_streams_in_all_tabs_and_a_login_opens_them_again(fastapi: Server) -> None:
    cookie = cookie_of(fastapi, "lea")
    with Stream(fastapi.port, "/events", cookie) as one, Stream(fastapi.port, "/events", cookie) as other:
        for stream in (one, other):
            stream.read_until(b"id: ")
        answer = httpx.post(
            f"{fastapi.url}/logout", headers=dict([cookie.strip().split(": ", 1)]), trust_env=False, verify=False
        )
        assert answer.status_code == 204
        for stream in (one, other):
            stream.read_to_end()
    time.sleep(1)  # for so long after a dismissal rights count as read before it
    with Stream(fastapi.port, "/events", cookie_of(fastapi, "lea")) as stream:
        stream.read_until(b"id: ")
        emit(fastapi, "user.lea.mail", "hers")
        assert stream.events(1) == ["hers"]
    until_clients(fastapi, 0)


@pytest.mark.alone
def test_a_token_opens_a_stream_and_ends_it_when_it_expires() -> None:
    def bearer(**claims: Any) -> str:
        return f"Authorization: Bearer {jwt.encode(claims, KEY, 'HS256')}\r\n"

    with serve("FastAPI, with a token") as server:
        with Stream(server.port, "/events?topic=todo.*", bearer(sub="ada", exp=time.time() + 2)) as stream:
            stream.read_until(b"id: ")
            emit(server, "todo.a", 1)
            assert stream.events(1) == ["1"]
            began = time.monotonic()
            stream.read_to_end()
            assert time.monotonic() - began < 4
        for header in ("", bearer(sub="ada", exp=time.time() - 1), "Authorization: Bearer x\r\n", bearer(sub="ada")):
            check_problem(ask(server, "", header), 401, "log in")
    assert "Traceback" not in server.output, server.output


def preflight(server: Server, header: str) -> httpx.Response:
    """What a browser asks before a page of another origin may send that header."""
    asked = {"Origin": ENVIRONMENT["ORIGINS"], "Access-Control-Request-Method": "GET"}
    headers = {**asked, "Access-Control-Request-Headers": header.lower()}
    return httpx.options(f"{server.url}/events", headers=headers, trust_env=False, verify=False)


def test_a_ticket_opens_a_stream_for_a_minute_and_nothing_else() -> None:
    with serve("A ticket, for another origin") as server:
        assert server.post("/tickets").status_code == 401
        answer = httpx.post(f"{server.url}/tickets", cookies={"user": "ada"}, trust_env=False, verify=False)
        ticket = answer.json()
        with Stream(server.port, f"/events?ticket={ticket}") as stream:
            stream.read_until(b"id: ")
            emit(server, "order.a", 0)
            emit(server, "todo.a", 1)
            assert stream.events(1) == ["1"]
        check_problem(ask(server, f"ticket={ticket}&topic=order.*"), 403, "is not allowed for this client")
        for wrong in ("", "x", ticket[:-1], ticket + "A", ticket.replace(".", ""), "e30.aaaaaa.bbbbbbb"):
            check_problem(ask(server, f"ticket={wrong}"), 401, "log in")
        forged = Tickets("another secret, as long as the right one").issue(Grant(["*"], user_id="ada"))
        check_problem(ask(server, f"ticket={forged}"), 401, "log in")
        over = Tickets(SECRET).issue(Grant(["*"], user_id="ada", expires_at=time.time() - 1))
        check_problem(ask(server, f"ticket={over}"), 401, "expired")
        for header in ("Authorization", "Nitro-Topics-1", "Nitro-Topics-2"):
            assert preflight(server, header).status_code == 200, header
        assert preflight(server, "Nitro-Topics-3").status_code == 400
    assert "Traceback" not in server.output, server.output


def test_a_ticket_that_is_too_old_opens_nothing_and_secrets_can_be_changed() -> None:
    grant = Grant({"order.*": ["7"], "todo.*": ANY}, denied=["todo.x"], user_id=7, expires_at=time.time() + 9)
    old, both = Tickets("an old secret, long enough", seconds=1), Tickets(["an old secret, long enough", SECRET])
    ticket = old.issue(grant)
    assert both.read(ticket) == old.read(ticket) == grant
    assert Tickets(SECRET).read(ticket) is None
    assert Tickets(SECRET).read(both.issue(grant)) == grant
    deadline = time.monotonic() + 5
    while old.read(ticket) is not None:
        assert time.monotonic() < deadline, "it is never too old"
        time.sleep(0.05)


@pytest.mark.parametrize("recipe", ["Starlette", "Litestar", "Quart"])
def test_other_frameworks_say_the_same(recipe: str) -> None:
    with serve(recipe) as server:
        ada = "Cookie: user=ada\r\n"
        with Stream(server.port, "/events?topic=todo.*", ada) as stream:
            stream.read_until(b"id: ")
            emit(server, "order.a", 0)
            emit(server, "todo.a", 1)
            assert stream.events(1) == ["1"]
        check_problem(ask(server), 401, "log in")
        check_problem(ask(server, "topic=*", ada), 403, "is not allowed for this client")
        check_problem(ask(server, "topic=", ada), 422, "?topic= is empty")
        until_clients(server, 0)
        with Stream(server.port, "/events", ada) as stream:
            stream.read_until(b"id: ")
            answer = httpx.post(f"{server.url}/logout", headers={"Cookie": "user=ada"}, trust_env=False, verify=False)
            assert answer.status_code == 204
            assert re.search(r'user=(""|null|);', answer.headers["set-cookie"])
            stream.read_to_end()
    assert "Traceback" not in server.output, server.output


def test_no_stream_holds_a_database_session() -> None:
    """The pool has one connection, and waits a second for it."""
    with serve("A database session") as server:
        streams = [Stream(server.port, "/events?name=ada").read_until(b"id: ") for _ in range(5)]
        assert server.get("/test/checked-out").json() == 0
        emit(server, "user.1.mail", 1)
        assert [stream.events(1) for stream in streams] == [["1"]] * 5
        check_problem(ask(server, "name=nobody"), 401, "log in")
        for stream in streams:
            stream.socket.close()
    assert "Traceback" not in server.output, server.output


@pytest.mark.usefixtures("hub")
def test_members_of_a_room_hear_it_and_who_is_there_and_nobody_else_does() -> None:
    def current_user(request: Request) -> str | None:
        return request.cookies.get("user") or None

    def is_member(user: str, room: str) -> bool:
        return user in {"ada", "bob"} and room == "7"

    names: dict[str, Any] = {"__name__": __name__, "current_user": current_user, "is_member": is_member}
    PAGE.run(PAGE.the("python", "A room from the path"), names)

    def room(number: int, user: str) -> AbstractAsyncContextManager[StreamUnderTest]:
        return stream_of(names["app"], f"/rooms/{number}/events", headers={"Cookie": f"user={user}"})

    async def scenario() -> None:
        async with room(7, "ada") as ada:
            emitted("room.8.said", result="elsewhere")
            emitted("room.7.said", result="here")
            assert (await ada.next("room.7.said")).data == "here"
        async with room(7, "bob") as bob:  # ada's connection has ended, and she counts for some seconds more
            there: set[str] = set()
            while "ada" not in there:  # at once, or as one who came
                told = (await bob.next("presence.7")).data
                there |= {member["user_id"] for kind in ("members", "joined") for member in told.get(kind, ())}
        for number, user, status in ((8, "ada", 403), (7, "eve", 403), (7, "", 401)):
            with pytest.raises(StreamRefused) as refused:
                await room(number, user).__aenter__()
            assert refused.value.status == status

    asyncio.run(scenario())


@pytest.mark.usefixtures("hub")
def test_a_stream_passes_through_middleware_uncompressed() -> None:
    app = FastAPI()
    app.add_middleware(GZipMiddleware, minimum_size=1)
    passed: list[str] = []

    @app.middleware("http")
    async def note(request: Request, answer: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await answer(request)
        passed.append(response.headers["content-type"])
        return response

    @app.get("/events")
    async def events() -> EventSourceResponse:
        return EventSourceResponse(Client(topics=["todo.*"]))

    @app.get("/page")
    async def page() -> str:
        return "a page that is compressed"

    async def scenario() -> None:
        gzip = {"Accept-Encoding": "gzip"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as browser:
            assert (await browser.get("/page", headers=gzip)).headers["content-encoding"] == "gzip"
        async with stream_of(app, "/events", headers=gzip) as page:
            assert passed == ["application/json", "text/event-stream; charset=utf-8"]
            for number in range(3):
                emitted("todo.created", result=number)
                assert (await page.next()).data == number

    asyncio.run(scenario())


RECIPES = [block for block in PAGE.all("python") if block.heading != "Grants"]
ALSO_NEEDS = {"starlette.middleware.sessions": "itsdangerous", "nitro.tickets": "itsdangerous"}
"""What a module needs that its own package doesn't bring."""


@pytest.mark.parametrize("block", RECIPES, ids=str)
def test_a_recipe_names_every_package_that_it_imports(block: Block) -> None:
    section = PAGE.text.partition(f"## {block.heading}\n")[2].partition("\n## ")[0]
    (line,) = re.findall(r"`pip install ([^`]*)`", section)
    named: set[str] = set()
    for requirement in map(Requirement, shlex.split(line)):
        named |= {requirement.name, *brought_by(requirement)}
    nodes = list(ast.walk(ast.parse(block.source)))
    modules = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {each.name for node in nodes if isinstance(node, ast.Import) for each in node.names}
    packages = {**packages_distributions(), "nitro": ["nitro-realtime"]}  # it may be installed as editable
    tops = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names
    wanted = {packages[name][0].lower() for name in tops}
    wanted |= {ALSO_NEEDS[name] for name in modules & ALSO_NEEDS.keys()}
    assert "nitro-realtime" in wanted
    assert wanted <= named, f"{block}: {wanted - named} is imported and not named"


def brought_by(requirement: Requirement) -> set[str]:
    """What nitro-realtime requires, with those extras."""
    if requirement.name != "nitro-realtime":
        return set()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [project["optional-dependencies"][extra] for extra in requirement.extras]
    return {Requirement(each).name for each in [*project["dependencies"], *itertools.chain(*extras)]}
