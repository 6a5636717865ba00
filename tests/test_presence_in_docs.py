"""Every block of `docs/how-to/presence.md` as it stands there: its application with two browsers, and the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, expect
from starlette.requests import Request

import nitro
from nitro.testing.conformance import eventually
from tests.documents import Document
from tests.servers import Server
from tests.sse import Stream

PAGE = Document("docs/how-to/presence.md")
RUNS_BLOCKS = {"docs/how-to/presence.md": ["python", "html"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("room")
    (directory / "room.html").write_text(PAGE.all("html", "A room")[0].source)
    environment = {"NITRO_PRESENCE_LEAVE_SECONDS": "0.5", "NITRO_PRESENCE_MAX_MEMBERS": "2"}
    with Server("tests.apps.rooms_in_docs:app", directory=directory, environment=environment) as server:
        yield server
    assert "Traceback" not in server.output, server.output


@pytest.mark.usefixtures("hub")
def test_the_other_blocks_run_as_they_stand() -> None:
    others = PAGE.all("python")[2:]
    assert [block.heading for block in others] == ["Who may see it", "On the server"]

    def asks(query: str) -> Request:
        return Request({"type": "http", "query_string": query.encode(), "headers": []})

    names: dict[str, Any] = {"asks": asks, "Grant": nitro.Grant, "event_stream": nitro.event_stream}
    for block in others:
        asyncio.run(PAGE.run_async(block, names))


@pytest.mark.browser
@pytest.mark.parametrize("path", ["/", "/plain"])
def test_two_browsers_see_each_other_come_and_go(server: Server, browser: Browser, path: str) -> None:
    contexts = [browser.new_context() for _ in range(2)]
    ann, bob = (context.new_page() for context in contexts)
    for page, user in ((ann, "ann"), (bob, "bob")):
        page.goto(f"{server.url}/login/{user}")
        page.goto("about:blank")
    eventually(lambda: not httpx.get(f"{server.url}/rooms/lobby/members").json(), "nobody is there")
    ann.goto(server.url + path)
    expect(ann.locator("#names")).to_have_text("Ann")
    bob.goto(server.url + path)
    for page in (ann, bob):
        expect(page.locator("#names")).to_have_text("Ann, Bob")
    assert httpx.get(f"{server.url}/rooms/lobby/members").json() == ["ann", "bob"]
    ann.reload()
    expect(ann.locator("#names")).to_have_text("Ann, Bob")
    contexts[0].close()
    expect(bob.locator("#names")).to_have_text("Bob")
    contexts[1].close()
    eventually(lambda: not httpx.get(f"{server.url}/rooms/lobby/members").json(), "nobody is there")


@pytest.mark.browser
def test_pages_show_the_count_of_a_crowd_in_place_of_its_names(server: Server, browser: Browser) -> None:
    eventually(partial(_is_empty, server, "lobby"), "nobody is there")
    bob, cid = (f"Cookie: user={user}\r\n" for user in ("bob", "cid"))
    with closing(browser.new_context()) as context:
        context.add_cookies([{"name": "user", "value": "ann", "url": server.url}])
        tabs = [context.new_page() for _ in range(3)]
        for tab, path in zip(tabs, ("/", "/plain", "/one-stream#lobby"), strict=True):
            tab.goto(server.url + path)
            expect(tab.locator("#names")).to_have_text("Ann")
        with Stream(server.port, "/rooms/lobby/events", bob), Stream(server.port, "/rooms/lobby/events", cid):
            for tab in tabs:
                expect(tab.locator("#names")).to_have_text("3 people")
        for tab in tabs:
            expect(tab.locator("#names")).to_have_text("Ann")


@pytest.mark.browser
def test_a_page_whose_address_names_another_room_shows_that_one(server: Server, browser: Browser) -> None:
    for room in ("lobby", "ticket-1"):
        eventually(partial(_is_empty, server, room), "nobody is there")
    bob = Stream(server.port, "/viewers?topic=presence.ticket-1", "Cookie: user=bob\r\n")
    with bob, closing(browser.new_context()) as context:
        context.add_cookies([{"name": "user", "value": "ann", "url": server.url}])
        tab = context.new_page()
        tab.goto(f"{server.url}/one-stream#lobby")
        expect(tab.locator("#names")).to_have_text("Ann")
        tab.evaluate("location.hash = 'ticket-1'")
        expect(tab.locator("#names")).to_have_text("Bob, Ann")


def test_a_worker_that_was_never_asked_knows_the_members_of_another_one(tmp_path: Path) -> None:
    environment = {"NITRO_BROKER_URL": f"sqlite:///{tmp_path}/events.db"}
    with (
        Server("tests.apps.rooms_in_docs:app", environment=environment) as one,
        Server("tests.apps.rooms_in_docs:app", environment=environment) as other,
        httpx.stream("GET", f"{one.url}/rooms/lobby/events", cookies={"user": "ann"}) as stream,
    ):
        next(stream.iter_lines())
        eventually(lambda: one.get("/rooms/lobby/members").json() == ["ann"], "ann is there")
        assert other.get("/rooms/lobby/members").json() == ["ann"]


def test_without_a_login_there_is_no_stream(server: Server) -> None:
    assert server.get("/rooms/lobby/events").status_code == server.get("/viewers").status_code == 401


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("", 200),
        ("?topic=presence.lobby", 200),
        ("?topic=presence.ticket-2", 403),
        ("?topic=presence.lobby&topic=presence.ticket-2", 403),
        ("?topic=presence.*", 422),
        ("?topic=a%20b", 422),
    ],
)
def test_what_may_be_asked_for_at_the_stream_for_all_rooms(server: Server, asked: str, status: int) -> None:
    with httpx.stream("GET", f"{server.url}/viewers{asked}", cookies={"user": "bob"}) as response:
        assert response.status_code == status


def test_a_request_without_topics_is_in_no_room_and_sees_those_that_its_grant_names(server: Server) -> None:
    for room in ("lobby", "ticket-1"):
        eventually(partial(_is_empty, server, room), "nobody is there")
    with Stream(server.port, "/viewers", "Cookie: user=bob\r\n") as stream:
        stream.read_until(b'{"room":"ticket-1","count":0,"members":[]}')
    assert b'{"room":"lobby","count":0,"members":[]}' in stream.body
    assert b"ticket-2" not in stream.body


def _is_empty(server: Server, room: str) -> bool:
    members: list[str] = httpx.get(f"{server.url}/rooms/{room}/members").json()
    return not members


@pytest.mark.parametrize("room", ["v1.2", "caf\u00e9", "*"])
def test_a_room_may_have_any_name(server: Server, room: str) -> None:
    path = f"/rooms/{quote(room)}"
    topic = quote(f"presence.{nitro.segment(room)}")
    with Stream(server.port, f"{path}/events?topic={topic}", "Cookie: user=ann\r\n") as stream:
        stream.read_until(b'"joined":[{"user_id":"ann"')
        assert httpx.get(f"{server.url}{path}/members").json() == ["ann"]


@pytest.mark.browser
def test_tabs_in_several_rooms_share_one_stream_and_each_enters_what_its_user_may(
    server: Server, browser: Browser
) -> None:
    contexts = dict(zip(("ann", "bob"), (browser.new_context(), browser.new_context()), strict=True))
    tabs = {}
    for user, context in contexts.items():
        context.add_cookies([{"name": "user", "value": user, "url": server.url}])
        for room in ("lobby", "ticket-1", "ticket-2"):
            tabs[user, room] = context.new_page()
            tabs[user, room].goto(f"{server.url}/one-stream#{room}")
            if user == "ann":  # she is there first
                expect(tabs[user, room].locator("#names")).to_have_text("Ann")
    for (user, room), tab in tabs.items():
        if (user, room) != ("bob", "ticket-2"):
            expect(tab.locator("#names")).to_have_text("Ann" if room == "ticket-2" else "Ann, Bob")
    eventually(lambda: '" 403 ' in server.output, "Bob's tab in a room that isn't his is refused")
    expect(tabs["bob", "ticket-2"].locator("#names")).to_be_empty()
    assert httpx.get(f"{server.url}/rooms/ticket-2/members").json() == ["ann"]
    tabs["ann", "ticket-1"].close()
    expect(tabs["bob", "ticket-1"].locator("#names")).to_have_text("Bob", timeout=10_000)
    expect(tabs["bob", "lobby"].locator("#names")).to_have_text("Ann, Bob")
    for context in contexts.values():
        context.close()
