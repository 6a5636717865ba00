"""The browser client in Firefox and in WebKit, whose workers, locks and caches of pages are not Chromium's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from nitro.testing.conformance import eventually
from tests.engines import WAYS, Engine, Tab, opening
from tests.servers import Server
from tests.services import Proxy
from tests.tabs import wait_for

pytestmark = [pytest.mark.browser, pytest.mark.engines]
APP = "tests.apps.pages:app"
QUICK = {"NITRO_RETRY_MILLISECONDS": "200", "NITRO_HEARTBEAT_SECONDS": "0.5"}
EACH_WAY = pytest.mark.parametrize("way", WAYS)
SHARED = pytest.mark.parametrize("way", ["worker", "leader"])
Open = Callable[..., Tab]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with Server(APP, environment=QUICK) as started:
        yield started


@pytest.fixture
def server(shared_server: Server) -> Server:
    """One that answers as it should, and has no clients."""
    shared_server.post("/answer", json={"status": 200, "headers": {}})
    eventually(lambda: not shared_server.get("/state").json()["clients"], "those of the test before are gone")
    return shared_server


@pytest.fixture
def way() -> str:
    """How the tabs share a connection, unless a test is about each way."""
    return "worker"


@pytest.fixture
def open_tab(engine: Engine, way: str) -> Iterator[Open]:
    """Opens a tab on a server, whose stream is open."""
    with opening(engine) as new:

        def opened(url: str, kind: str = "tab", is_open: bool = True, **options: object) -> Tab:
            tab = new(kind)
            tab.go(f"{url}/page?options={quote(json.dumps({**WAYS[way], **options}))}")
            if is_open:
                wait_for(tab, "window.live?.state === 'open'")
            return tab

        yield opened


def heard(tab: Tab) -> list[Any]:
    """What it heard, if nothing went wrong beside that."""
    events, gaps, errors = tab.evaluate("[heard, gaps, errors]")
    assert (gaps, errors) == ([], [])
    return [data for _, data, _ in events]


def emit(server: Server, *events: tuple[str, object]) -> None:
    server.post("/emit", json=events)


@EACH_WAY
def test_tabs_and_windows_use_one_connection_and_each_hears_what_it_asked_for(
    open_tab: Open, server: Server, way: str
) -> None:
    kinds = ["tab", "tab", "window"]
    tabs = [open_tab(server.url, kind, topics=["all.*", f"only.{n}"]) for n, kind in enumerate(kinds)]
    expected = len(tabs) if way == "alone" else 1
    for round_ in range(20):
        emit(server, *((f"only.{n}", [n, round_]) for n in range(len(tabs))), ("nobodys", 0), ("all.x", round_))
    for n, tab in enumerate(tabs):
        wait_for(tab, "heard.length >= 40")
        assert heard(tab) == [data for round_ in range(20) for data in ([n, round_], round_)]
    eventually(lambda: server.get("/state").json()["clients"] == expected, "the connections")


@SHARED
def test_the_tab_that_leads_or_started_the_worker_is_closed_and_nothing_is_lost(open_tab: Open, server: Server) -> None:
    leading, *others = [open_tab(server.url, topics=["n.*"]) for _ in range(3)]
    for n in range(30):
        emit(server, ("n.x", n))
        if n == 10:
            leading.close()
    for tab in others:
        wait_for(tab, "heard.length >= 30")
        assert heard(tab) == list(range(30))


@EACH_WAY
def test_a_reload_resumes(open_tab: Open, server: Server) -> None:
    tab = open_tab(server.url, topics=["n.*"])
    emit(server, ("n.x", 1))
    wait_for(tab, "heard.length === 1")
    tab.go("about:blank")
    emit(server, ("n.x", 2), ("n.x", 3))
    tab.back()
    wait_for(tab, "window.heard?.at(-1)?.[1] === 3")
    tab.reload()
    emit(server, ("n.x", 4))
    wait_for(tab, "window.heard?.at(-1)?.[1] === 4")
    assert heard(tab) == [4]


@pytest.mark.parametrize("way", ["leader"])
def test_who_leaves_the_site_while_it_hears_and_comes_back_goes_on_where_it_was(
    engine: Engine, open_tab: Open, way: str
) -> None:
    """Firefox ends the process of a site that has no tab left, and breaks off a listener of `pagehide` then."""
    remember = "addEventListener('pagehide', () => (sessionStorage.last = heard.at(-1)[1]))"
    with Server(APP, environment={**QUICK, "TICKS": "1"}) as server:
        for _ in range(12):
            tab = open_tab(server.url, topics=["tick.*"])
            wait_for(tab, "heard.length > 25")
            tab.evaluate(f"({remember}, {remember}, 1)")  # twice: one of these may be broken off, too
            tab.go("about:blank")
            tab.back()
            wait_for(tab, "window.heard?.length > 0")
            ticks, last = heard(tab), int(tab.evaluate("sessionStorage.last"))
            first = ticks[0] if engine.caches_pages else last + 1
            assert ticks == list(range(first, first + len(ticks)))
            tab.close()


@EACH_WAY
def test_who_goes_to_another_page_and_back_hears_again(
    engine: Engine, open_tab: Open, server: Server, way: str
) -> None:
    """WebKit keeps the page as it is, but takes its locks; Firefox loads a page anew that had a stream."""
    tab = open_tab(server.url, topics=["n.*"])
    other = open_tab(server.url, topics=["n.*"])
    emit(server, ("n.x", 1))
    wait_for(tab, "heard.length === 1")
    for first in (2, 4, 6):
        tab.evaluate("window.mark = 1")
        before = heard(tab)
        tab.go(f"{server.url}/page")
        emit(server, ("n.x", first))
        tab.back()
        wait_for(tab, f"window.heard?.at(-1)?.[1] === {first}", 5)
        emit(server, ("n.x", first + 1))
        wait_for(tab, f"heard.at(-1)[1] === {first + 1}", 5)
        assert bool(tab.evaluate("window.mark")) == engine.caches_pages
        assert heard(tab) == [*(before if engine.caches_pages else []), first, first + 1]
    assert heard(other) == list(range(1, 8))
    eventually(lambda: server.get("/state").json()["clients"] == (2 if way == "alone" else 1), "the connections")


@EACH_WAY
def test_a_server_that_was_killed_is_come_back_to(open_tab: Open) -> None:
    with Server(APP, environment=QUICK) as mortal:
        tabs = [open_tab(mortal.url, topics=["n.*"]) for _ in range(2)]
        emit(mortal, ("n.x", 1))
        for tab in tabs:
            wait_for(tab, "heard.length === 1")
        mortal.kill()
        for tab in tabs:
            wait_for(tab, "live.state === 'waiting'")
    with Server(APP, environment=QUICK, port=mortal.port) as again:
        for tab in tabs:
            wait_for(tab, "live.state === 'open' && gaps.length === 1")
        emit(again, ("n.x", 2), ("n.x", 3))
        for tab in tabs:
            wait_for(tab, "heard.length >= 3")
            assert tab.evaluate("[heard.map(([, data]) => data), gaps.map(({reason}) => reason), errors]") == [
                [1, 2, 3],
                ["epoch"],
                [],
            ]


@EACH_WAY
def test_a_line_that_is_cut_or_dead_is_come_back_to(open_tab: Open, server: Server) -> None:
    with Proxy(server.port) as proxy:
        tab = open_tab(f"http://127.0.0.1:{proxy.port}", topics=["n.*"])
        emit(server, ("n.x", 1))
        wait_for(tab, "heard.length === 1")
        proxy.cut()
        emit(server, ("n.x", 2))
        wait_for(tab, "heard.length === 2")
        proxy.stall()
        emit(server, ("n.x", 3))
        wait_for(tab, "live.state === 'waiting' || live.state === 'connecting'")
        proxy.go_on()
        wait_for(tab, "heard.length === 3", 30)
        assert heard(tab) == [1, 2, 3]
        tab.go("about:blank")


@EACH_WAY
def test_it_carries_on_after_a_refusal_that_passes(open_tab: Open, server: Server) -> None:
    tab = open_tab(server.url, topics=["n.*"])
    emit(server, ("n.x", 1))
    wait_for(tab, "heard.length === 1")
    server.post("/answer", json={"status": 503})
    tab.evaluate("live.subscribe('other')")  # makes it connect anew
    wait_for(tab, "live.state === 'waiting' && live.error?.status === 503")
    emit(server, ("n.x", 2))
    server.post("/answer", json={"status": 200})
    wait_for(tab, "live.state === 'open' && heard.length === 2")
    assert heard(tab) == [1, 2]


@EACH_WAY
def test_it_stops_where_there_is_no_hope_and_says_why(open_tab: Open, server: Server) -> None:
    server.post("/answer", json={"status": 401})
    tab = open_tab(server.url, is_open=False)
    wait_for(tab, "window.live?.state === 'closed'")
    assert tab.evaluate("live.error") == {"status": 401, "message": "Log in and connect again."}


@EACH_WAY
def test_headers_are_sent_and_nothing_is_lost_with_them(open_tab: Open, server: Server, way: str) -> None:
    tab = open_tab(server.url, topics=["never"])
    options = json.dumps({"topics": ["n.*"], **WAYS[way]})
    headers = "headers: async () => ({ Authorization: `Bearer ${++window.count}` })"
    tab.evaluate(f"(live.close(), window.count = 0, open_('/events', {{ {headers}, ...{options} }}))")
    wait_for(tab, "live.state === 'open'")
    assert server.get("/state").json()["asked"][-1]["authorization"] == "Bearer 1"
    text = "\u2028\u00e4\r\n\U0001f600"
    emit(server, ("n.x", text))
    wait_for(tab, "heard.length === 1")
    tab.evaluate("live.subscribe('other')")
    eventually(lambda: server.get("/state").json()["asked"][-1]["authorization"] == "Bearer 2", "it asks again")
    emit(server, *(("n.x", n) for n in range(200)))
    wait_for(tab, "heard.length >= 201")
    assert heard(tab) == [text, *range(200)]


@EACH_WAY
def test_a_thousand_events_at_once_arrive_in_order(open_tab: Open, server: Server) -> None:
    tabs = [open_tab(server.url, topics=["n.*"]) for _ in range(2)]
    emit(server, *(("n.x", n) for n in range(1_000)))
    emit(server, ("n.x", {"__proto__": {"polluted": 1}, "pad": "\u20ac" * 100_000}), ("n.x", "end"))
    for tab in tabs:
        wait_for(tab, "heard.at(-1)?.[1] === 'end'")
        *numbers, _, end = heard(tab)
        assert numbers == list(range(1_000))
        assert end == "end"
        assert tab.evaluate("{}.polluted ?? heard.at(-2)[1].pad.length") == 100_000
