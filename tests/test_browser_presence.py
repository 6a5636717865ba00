"""Who is in a room, as `live.presence` tells it to the tabs of several browsers, against a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from nitro.testing.conformance import eventually
from tests.servers import Server
from tests.tabs import blank_tab, connect, wait_for
from tests.test_browser_client import EACH_WAY, QUICK, SHARED, WITHOUT_LOCKS, WITHOUT_WORKER

pytestmark = pytest.mark.browser
APP = "tests.apps.rooms:app"
LEAVE_SECONDS = 0.5
SETTINGS = {
    **QUICK,
    "NITRO_HEARTBEAT_SECONDS": "5",
    "NITRO_PRESENCE_LEAVE_SECONDS": str(LEAVE_SECONDS),
    "NITRO_PRESENCE_MAX_MEMBERS": "3",
}
LOOK = """(room) => { window.seen ??= [];
    window.lookAway = live.presence(room, (members, count) =>
      seen.push(`${members.map(({ user_id, state }) => state?.name ?? user_id)}: ${count}`)); }"""


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with Server(APP, environment=SETTINGS) as started:
        yield started


@pytest.fixture
def server(shared_server: Server) -> Server:
    """One without clients, whose rooms are empty."""
    eventually(lambda: clients(shared_server) == 0, "those of the test before are gone")
    eventually(lambda: not any(shared_server.get(f"/members/{room}").json() for room in "abc"), "the rooms are empty")
    return shared_server


@pytest.fixture
def way() -> str:
    return "worker"


@pytest.fixture
def someone(browser: Browser, way: str) -> Iterator[Callable[[], BrowserContext]]:
    """Another browser each time."""
    opened: list[BrowserContext] = []

    def open() -> BrowserContext:
        context = browser.new_context()
        opened.append(context)
        if way != "worker":
            context.add_init_script(WITHOUT_WORKER if way == "leader" else WITHOUT_LOCKS)
        return context

    yield open
    for context in opened:
        context.close()


def clients(server: Server) -> int:
    return int(server.get("/state").json()["clients"])


def enter(context: BrowserContext, server: Server, user: str, room: str = "a", look: str = "a") -> Page:
    """A tab of that user's, who is in `room` and looks into another, or the same one."""
    tab = connect(
        blank_tab(context, server.url), url=f"/events?user={user}&room={room}&state={user.title()}", topics=["note"]
    )
    if look:
        tab.evaluate(LOOK, look)
    return tab


def sees(tab: Page, who: str) -> None:
    wait_for(tab, f"window.seen.at(-1) === {who!r}")
    assert tab.evaluate("errors") == []


@EACH_WAY
def test_each_tab_sees_who_is_there_and_who_comes_changes_and_goes(
    server: Server, someone: Callable[[], BrowserContext], way: str
) -> None:
    anns = someone()
    tabs = [enter(anns, server, "ann")]
    sees(tabs[0], "Ann: 1")
    bobs = someone()
    bob = enter(bobs, server, "bob")
    sees(bob, "Ann,Bob: 2")
    tabs += [enter(anns, server, "ann"), enter(anns, server, "ann")]
    for tab in tabs:
        sees(tab, "Ann,Bob: 2")
    server.post("/state/bob?name=Robert")
    for tab in (*tabs, bob):
        sees(tab, "Ann,Robert: 2")
    assert server.post("/note?text=hello").status_code == 200
    wait_for(tabs[-1], "heard.at(-1)?.[1] === 'hello'")
    assert all(topic == "note" for topic, *_ in tabs[-1].evaluate("heard")), "no star hears who is in a room"
    if way != "alone":
        eventually(lambda: clients(server) == 2, "one connection for each browser")
    bobs.close()
    for tab in tabs:
        sees(tab, "Ann: 1")


@SHARED
def test_a_tab_that_looks_later_or_again_is_told_at_once_and_no_stream_is_read_anew(
    server: Server, someone: Callable[[], BrowserContext]
) -> None:
    context = someone()
    first, second = [enter(context, server, "ann", look="a") for _ in range(2)]
    sees(second, "Ann: 1")
    connects = server.get("/state").json()["connects"]
    second.evaluate(LOOK, "a")
    sees(second, "Ann: 1")
    told = second.evaluate("seen.length")
    assert told >= 2
    second.evaluate("lookAway()")
    second.evaluate("lookAway()")
    server.post("/state/ann?name=Anna")
    for tab in (first, second):
        sees(tab, "Anna: 1")
    assert server.get("/state").json()["connects"] == connects


def test_who_looks_away_hears_no_more_and_who_looks_again_sees_who_is_there_now(
    server: Server, someone: Callable[[], BrowserContext]
) -> None:
    tab = enter(someone(), server, "ann")
    sees(tab, "Ann: 1")
    tab.evaluate("lookAway()")
    bob = enter(someone(), server, "bob")
    sees(bob, "Ann,Bob: 2")
    assert server.post("/note?text=hello").status_code == 200
    wait_for(tab, "heard.at(-1)?.[1] === 'hello'")
    assert tab.evaluate("seen.at(-1)") == "Ann: 1"
    tab.evaluate(LOOK, "a")
    sees(tab, "Ann,Bob: 2")


def test_of_a_crowd_only_the_count_is_told(server: Server, someone: Callable[[], BrowserContext]) -> None:
    tab = enter(someone(), server, "ann")
    others = [someone() for _ in range(3)]
    for name, context in zip(("bob", "cid", "dan"), others, strict=True):
        enter(context, server, name, look="")
    sees(tab, ": 4")
    others[0].close()
    sees(tab, "Ann,Cid,Dan: 3")


def test_who_may_not_see_a_room_is_refused_and_the_other_tabs_stay(
    server: Server, someone: Callable[[], BrowserContext]
) -> None:
    context = someone()
    first, second = [enter(context, server, "ann") for _ in range(2)]
    second.evaluate(LOOK, "of.bob")
    wait_for(second, "live.state === 'closed'")
    assert second.evaluate("live.error.status") == 403
    server.post("/state/ann?name=Anna")
    sees(first, "Anna: 1")
    refused = first.evaluate(
        "(room) => { try { live.presence(room, () => {}) } catch (error) { return error.name } }", "*"
    )
    assert refused == "TypeError"


@SHARED
def test_a_server_that_starts_again_tells_anew_who_is_there(someone: Callable[[], BrowserContext]) -> None:
    with Server(APP, environment=SETTINGS) as first:
        context = someone()
        tabs = [enter(context, first, "ann"), enter(context, first, "ann", look="a")]
        for tab in tabs:
            sees(tab, "Ann: 1")
            tab.evaluate("seen.length = 0")
        port = first.port
    with Server(APP, environment=SETTINGS, port=port) as again:
        for tab in tabs:
            sees(tab, "Ann: 1")
        enter(someone(), again, "bob", look="")
        for tab in tabs:
            sees(tab, "Ann,Bob: 2")
