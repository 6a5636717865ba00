"""Who hears what in a browser of two users, with tokens that are stale, and where something is refused; in Chromium."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from nitro.testing.conformance import eventually
from tests.servers import Server
from tests.tabs import are_open, blank_tab, wait_for
from tests.test_browser_client import QUICK, WITHOUT_WORKER
from tests.test_proxies import ReverseProxy, Way, nginx_with
from tests.users import (
    APP,
    CONNECT,
    asked,
    clients,
    emit,
    heard,
    hears,
    reset,
    says_that_somebody_else_has_logged_in,
    tell,
)

pytestmark = pytest.mark.browser
ENDS_WITH_ITS_PAGE = """globalThis.SharedWorker &&= class extends SharedWorker {
  constructor(script, options) { super(script, { ...options, extendedLifetime: false }) }
}"""
HAS_LONGER_LIFE = """() => {
  let isRead = false;
  const options = { name: "test", type: "module", get extendedLifetime() { return (isRead = true); } };
  new SharedWorker("/nitro/client.js", options);
  return isRead;
}"""


@dataclass
class Mode:
    """One way in which a page can be connected, and how it says who its user is."""

    name: str
    context: BrowserContext
    server: Server

    def tab(self) -> Page:
        return blank_tab(self.context, self.server.url)

    def log_in(self, user: str, tab: Page | None = None) -> None:
        """By a cookie; where pages have tokens, by that of a page that is connected."""
        if self.name != "headers":
            self.context.add_cookies([{"name": "user", "value": user, "url": self.server.url}])
        elif tab:
            tab.evaluate("user => { own.token = user }", user)

    def enter(self, tab: Page, user: str, path: str = "", seconds: float = 3, **options: object) -> Page:
        """Log in, and connect; it is open in bounded time."""
        self.log_in(user)
        self.begin(tab, user, path, **options)
        wait_for(tab, "live.state === 'open'", seconds)
        return tab

    def begin(self, tab: Page, user: str, path: str = "", **options: object) -> None:
        has_token = self.name == "headers"
        own: dict[str, object] = {"share": False} if self.name == "alone" else {}
        kind = "text" if has_token else None
        tab.evaluate(CONNECT, [path or ("/auth" if has_token else "/mine"), {**own, **options}, user, kind])


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with Server(APP, environment=QUICK) as started:
        yield started


@pytest.fixture
def server(shared_server: Server) -> Server:
    """One that refuses nothing, and has no clients."""
    return reset(shared_server)


@pytest.fixture
def way() -> str:
    return "worker"


@pytest.fixture
def context(way: str, browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context()
    if way == "leader":
        opened.add_init_script(WITHOUT_WORKER)
    elif way != "extended":
        opened.add_init_script(ENDS_WITH_ITS_PAGE)
    yield opened
    opened.close()


@pytest.fixture
def mode(way: str, context: BrowserContext, server: Server) -> Mode:
    if way == "extended":
        tab = blank_tab(context, server.url)
        if not tab.evaluate(HAS_LONGER_LIFE):
            pytest.skip("NO EXTENDED LIFETIME: this browser ends shared workers with their last page")
        tab.close()
    return Mode(way, context, server)


EACH_MODE = pytest.mark.parametrize("way", ["worker", "leader", "alone", "headers", "extended"])
SHARED = pytest.mark.parametrize("way", ["worker", "leader"])


# --- two users


@EACH_MODE
def test_after_a_logout_the_same_page_hears_the_next_user_alone(mode: Mode, server: Server) -> None:
    tab = mode.enter(mode.tab(), "alice")
    tell(server, "alice", "a1")
    hears(tab, "a1")
    tab.evaluate("live.close()")
    tell(server, "alice", "a2")
    tell(server, "bob", "before he came")
    mode.enter(tab, "bob")
    tell(server, "alice", "a3")
    tell(server, "bob", "b1")
    hears(tab, "b1")
    server.post("/drop")
    tell(server, "alice", "a4")
    tell(server, "bob", "b2")
    hears(tab, "b1", "b2")
    assert tab.evaluate("[before.heard, own.gaps]") == [["a1"], []]


@EACH_MODE
def test_the_next_page_of_the_tab_does_not_start_where_another_user_was(mode: Mode, server: Server) -> None:
    tab = mode.enter(mode.tab(), "alice")
    tell(server, "alice", "a1")
    hears(tab, "a1")
    mode.log_in("bob")
    tab.goto(f"{server.url}/blank")
    assert tab.evaluate("Object.keys(sessionStorage).length") == 1, "the page of alice's left its place"
    tell(server, "alice", "a2")
    tell(server, "bob", "before he came")
    mode.enter(tab, "bob")
    tell(server, "alice", "a3")
    tell(server, "bob", "b1")
    hears(tab, "b1")
    assert tab.evaluate("own.gaps") == []


@EACH_MODE
def test_a_tab_of_another_user_beside_an_open_one_hears_its_own(mode: Mode, server: Server) -> None:
    first = mode.enter(mode.tab(), "alice")
    tell(server, "alice", "a1")
    hears(first, "a1")
    second = mode.enter(mode.tab(), "bob")
    tell(server, "alice", "a2")
    tell(server, "bob", "b1")
    hears(second, "b1")
    if mode.name in ("alone", "headers"):  # its stream, or its token, is its own
        hears(first, "a1", "a2")
        eventually(lambda: clients(server) == 2, "a connection for each")
    else:
        says_that_somebody_else_has_logged_in(first)
        assert heard(first) == ["a1"]
        eventually(lambda: clients(server) == 1, "one connection for all")
    server.post("/drop")
    tell(server, "alice", "a3")
    tell(server, "bob", "b2")
    hears(second, "b1", "b2")
    if mode.name == "headers":
        hears(first, "a1", "a2", "a3")
    else:
        says_that_somebody_else_has_logged_in(first)


@EACH_MODE
def test_a_user_that_changes_under_an_open_tab_ends_it_when_it_comes_back(mode: Mode, server: Server) -> None:
    tabs = [mode.enter(mode.tab(), "alice") for _ in range(2)]
    mode.log_in("bob", tabs[1])
    tell(server, "alice", "a1")
    for tab in tabs:
        hears(tab, "a1")
    server.post("/drop")
    tell(server, "alice", "a2")
    tell(server, "bob", "b1")
    says_that_somebody_else_has_logged_in(tabs[1])
    assert heard(tabs[1]) == ["a1"]
    if mode.name == "headers":
        hears(tabs[0], "a1", "a2")
    else:
        says_that_somebody_else_has_logged_in(tabs[0])
        assert heard(tabs[0]) == ["a1"]
        eventually(lambda: not clients(server), "nobody is left")
    mode.enter(tabs[1], "bob")
    tell(server, "bob", "b2")
    hears(tabs[1], "b2")


# --- what else another user could hear


@SHARED
def test_what_was_read_for_one_user_is_not_replayed_to_the_next(mode: Mode, server: Server) -> None:
    """Who was rendered before it joins is behind by what the line has read lately."""
    first = mode.enter(mode.tab(), "alice")
    position = emit(server)
    for n in range(3):
        tell(server, "alice", f"a{n}")
        tell(server, "bob", f"b{n}")
    hears(first, "a0", "a1", "a2")
    second = mode.enter(mode.tab(), "bob", since=position)
    hears(second, "b0", "b1", "b2")
    tell(server, "bob", "b3")
    hears(second, "b0", "b1", "b2", "b3")


@SHARED
def test_who_shares_by_its_word_is_ended_too_when_somebody_else_has_logged_in(mode: Mode, server: Server) -> None:
    """Nobody probes it as it joins, so the line's greeting is its own."""
    tabs = [mode.enter(mode.tab(), "alice", share="alice") for _ in range(3)]
    other = mode.enter(mode.tab(), "bob", share="bob")
    server.post("/drop")
    tell(server, "bob", "b1")
    hears(other, "b1")
    for tab in tabs:
        says_that_somebody_else_has_logged_in(tab)
        assert heard(tab) == []


@pytest.mark.parametrize("way", ["headers"])
def test_a_token_speaks_for_its_own_page_alone(mode: Mode, server: Server) -> None:
    """The first of them joined while the server was away, and has not been greeted when the other one is."""
    server.post("/set", json={"status": 503})
    first, second = mode.tab(), mode.tab()
    mode.begin(first, "alice")
    wait_for(first, "live.state === 'waiting'")
    server.post("/set", json={"probe": 200})
    mode.begin(second, "bob")
    eventually(lambda: asked(server, "probe"), "the second one is proven")
    wait_for(second, "live.state === 'waiting'")
    server.post("/set", json={"status": 200})
    are_open([first, second], 20)
    tell(server, "alice", "a1")
    tell(server, "bob", "b1")
    hears(first, "a1")
    hears(second, "b1")


@pytest.mark.parametrize("way", ["headers"])
def test_who_joins_after_the_token_has_changed_does_not_hear_its_new_user(mode: Mode, server: Server) -> None:
    first = mode.enter(mode.tab(), "alice")
    second = mode.tab()
    mode.log_in("bob", first)
    server.post("/drop")
    says_that_somebody_else_has_logged_in(first)
    mode.enter(second, "alice")
    tell(server, "bob", "b1")
    tell(server, "alice", "a1")
    hears(second, "a1")


@pytest.mark.parametrize("way", ["headers"])
def test_a_token_whose_rights_have_changed_is_told_so(mode: Mode, server: Server) -> None:
    """It is nobody's in particular, so nobody else has logged in."""
    tab = mode.enter(mode.tab(), "red", "/roles")
    server.post("/set", json={"role": "blue"})
    server.post("/drop")
    wait_for(tab, "own.gaps.length === 1 && live.state === 'open'")
    tell(server, "red", "r1")
    tell(server, "blue", "b1")
    hears(tab, "b1")
    assert tab.evaluate("own.gaps") == ["rights"]


# --- tokens


def with_token(tab: Page, kind: str = "text", path: str = "/auth", seconds: float = 5) -> Page:
    tab.evaluate(CONNECT, [path, {}, "alice", kind])
    wait_for(tab, "live.state === 'open'", seconds)
    return tab


@SHARED
def test_one_tab_of_five_is_asked_for_headers_at_a_reconnection(mode: Mode, server: Server) -> None:
    tabs = [with_token(mode.tab()) for _ in range(5)]
    before = [tab.evaluate("own.calls") for tab in tabs]
    connects = len(asked(server))
    server.post("/drop")
    eventually(lambda: len(asked(server)) > connects and clients(server) == 1, "it has come back")
    tell(server, "alice", 1)
    for tab in tabs:
        hears(tab, 1)
    calls = [tab.evaluate("own.calls") - count for tab, count in zip(tabs, before, strict=True)]
    assert len(asked(server)) == connects + 1
    assert calls == [0, 0, 0, 0, 1], "the newest one's"


@SHARED
@pytest.mark.parametrize("kind", ["rejects", "never", "stale"])
def test_a_token_that_is_not_to_be_had_closes_no_other_tab(mode: Mode, server: Server, kind: str) -> None:
    first, second = (with_token(mode.tab()) for _ in range(2))
    server.post("/set", json={"stale": ["old"]})
    change = "own.token = 'old'" if kind == "stale" else f"own.kind = '{kind}'"
    second.evaluate(f"() => {{ {change} }}")
    server.post("/drop")
    tell(server, "alice", 1)
    wait_for(first, "own.heard.length === 1", 10)
    hears(second, 1)
    assert first.evaluate("live.state") == second.evaluate("live.state") == "open"


@SHARED
def test_a_tab_with_a_fresh_token_opens_beside_one_that_was_refused(mode: Mode, server: Server) -> None:
    server.post("/set", json={"stale": ["old"]})
    first, second = mode.tab(), mode.tab()
    first.evaluate(CONNECT, ["/auth", {}, "old", "text"])
    wait_for(first, "live.state === 'closed'")
    assert first.evaluate("live.error.status") == 401
    with_token(second, seconds=3)


def test_headers_may_be_an_object_of_headers(mode: Mode, server: Server) -> None:
    tab = with_token(mode.tab(), "object")
    tell(server, "alice", 1)
    hears(tab, 1)


@SHARED
def test_three_tabs_rotate_one_ticket(mode: Mode, server: Server) -> None:
    """A call makes the one before void, so two at once would be one too many."""
    tabs = [with_token(mode.tab(), "rotates", "/newest") for _ in range(3)]
    for n in range(3):
        server.post("/drop")
        tell(server, "alice", n)
        for tab in tabs:
            hears(tab, *range(n + 1))
    assert [tab.evaluate("live.state") for tab in tabs] == ["open"] * 3


# --- refusals


def connect_to(tab: Page, path: str = "/events", *, is_awaited: bool = True, **options: object) -> Page:
    tab.evaluate(CONNECT, [path, options, None, None])
    if is_awaited:
        wait_for(tab, "live.state === 'open'", 5)
    return tab


def is_closed(tab: Page, status: int, text: str) -> None:
    wait_for(tab, "live.state === 'closed'", 5)
    found, message = tab.evaluate("[live.error.status, live.error.message]")
    assert found == status
    assert text in message


@SHARED
def test_a_topic_that_one_tab_may_not_hear_closes_that_one(mode: Mode, server: Server) -> None:
    first, second = connect_to(mode.tab(), topics=["todo.*"]), mode.tab()
    connect_to(second, topics=["admin.*"], is_awaited=False)
    for n in range(20):
        emit(server, ("todo.x", n))
    is_closed(second, 403, "You may not hear this")
    emit(server, ("todo.x", 20))
    hears(first, *range(21))
    assert first.evaluate("[own.gaps, own.states.filter(([state]) => state === 'closed')]") == [[], []]


@SHARED
def test_a_topic_that_one_component_may_not_hear_closes_that_one(mode: Mode, server: Server) -> None:
    tab = connect_to(mode.tab(), topics=["todo.*"])
    connect_to(tab, topics=["admin.*"], is_awaited=False)
    for n in range(20):
        emit(server, ("todo.x", n))
    is_closed(tab, 403, "You may not hear this")
    wait_for(tab, "before.heard.length === 20", 5)
    assert tab.evaluate("[before.heard, before.live.state, before.gaps]") == [list(range(20)), "open", []]


@SHARED
def test_a_topic_that_one_may_not_subscribe_to_closes_that_one(mode: Mode, server: Server) -> None:
    first, second = (connect_to(mode.tab(), topics=["todo.*"]) for _ in range(2))
    second.evaluate("live.subscribe('admin.*')")
    for n in range(20):
        emit(server, ("todo.x", n))
    is_closed(second, 403, "You may not hear this")
    emit(server, ("todo.x", 20))
    hears(first, *range(21))


def uuids(count: int) -> list[str]:
    return [f"todo.{uuid.uuid4()}" for _ in range(count)]


@pytest.fixture
def nginx(server: Server, tmp_path: Path) -> Iterator[ReverseProxy]:
    """With its defaults: a line of a request's head has 8 KiB."""
    with ReverseProxy(tmp_path, Way("nginx", "nginx", nginx_with()), server.port) as started:
        yield started


def test_four_tabs_of_sixty_topics_are_open_through_nginx(
    context: BrowserContext, server: Server, nginx: ReverseProxy
) -> None:
    all_topics = [uuids(60) for _ in range(4)]
    tabs = [connect_to(blank_tab(context, nginx.url), topics=topics) for topics in all_topics]
    emit(server, *((topics[n], n) for topics in all_topics for n in (0, 59)))
    for tab in tabs:
        hears(tab, 0, 59)
    eventually(lambda: clients(server) == 1, "one connection for all")


@pytest.mark.parametrize("is_behind_nginx", [False, True])
def test_a_tab_of_nine_hundred_topics_opens(
    context: BrowserContext, server: Server, nginx: ReverseProxy, is_behind_nginx: bool
) -> None:
    topics = [f"todo.{n}" for n in range(900)]
    tab = connect_to(blank_tab(context, nginx.url if is_behind_nginx else server.url), topics=topics)
    emit(server, *((topics[n], n) for n in (0, 450, 899)))
    hears(tab, 0, 450, 899)


@SHARED
def test_who_asks_for_too_much_of_an_endpoint_that_reads_no_headers_goes_apart(mode: Mode, server: Server) -> None:
    all_topics = [uuids(60) for _ in range(3)]
    tabs = [connect_to(mode.tab(), "/by-hand", topics=topics) for topics in all_topics]
    last = connect_to(mode.tab(), "/by-hand", topics=uuids(200), is_awaited=False)
    is_closed(last, 414, "Too many topics")
    emit(server, *((topics[n], n) for topics in all_topics for n in (0, 59)))
    for tab in tabs:
        hears(tab, 0, 59)
    eventually(lambda: 1 < clients(server) <= 3, "what was left for another connection has ended")


# --- while it is deployed


@pytest.mark.parametrize("status", [404, 421, "html", 502, 503])
def test_a_proxy_that_answers_while_the_server_is_deployed_is_waited_for(
    mode: Mode, server: Server, status: int | str
) -> None:
    tab = connect_to(mode.tab(), topics=["todo.*"])
    server.post("/set", json={"status": status})
    server.post("/drop")
    reason = 200 if status == "html" else status
    # in one look, since it tries again within a second, and has no error while it does
    wait_for(tab, f"live.state === 'waiting' && live.error?.status === {reason} && live.error.message.length > 20")
    emit(server, ("todo.x", 1))
    server.post("/set", json={"status": 200})
    hears(tab, 1)
    assert tab.evaluate("[live.state, live.error, own.gaps]") == ["open", None, []]


@pytest.mark.parametrize("status", [404, 421, "html"])
def test_the_same_as_the_first_answer_closes_it(mode: Mode, server: Server, status: int | str) -> None:
    server.post("/set", json={"status": status})
    tab = connect_to(mode.tab(), topics=["todo.*"], is_awaited=False)
    is_closed(tab, 200 if status == "html" else int(status), "")
    assert len(tab.evaluate("live.error.message")) > 20
