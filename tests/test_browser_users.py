"""Who hears what in a browser of two users, with tokens that are stale, and where something is refused; in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from nitro.testing.conformance import eventually
from tests.servers import Server
from tests.tabs import are_open, blank_tab, wait_for
from tests.test_browser_client import QUICK, WITHOUT_WORKER

pytestmark = pytest.mark.browser
APP = "tests.apps.users:app"
ENDS_WITH_ITS_PAGE = """globalThis.SharedWorker &&= class extends SharedWorker {
  constructor(script, options) { super(script, { ...options, extendedLifetime: false }) }
}"""
HAS_LONGER_LIFE = """() => {
  let isRead = false;
  const options = { name: "test", type: "module", get extendedLifetime() { return (isRead = true) } };
  new SharedWorker("/nitro/client.js", options);
  return isRead;
}"""
CONNECT = """async ([url, options, token, kind]) => {
  const { connect } = await import("/nitro/client.js");
  const own = { heard: [], gaps: [], states: [], calls: 0, token };
  const kinds = {
    text: () => ({ Authorization: `Bearer ${own.token}` }),
    object: () => new Headers({ Authorization: `Bearer ${own.token}` }),
    rejects: () => Promise.reject(new Error("no token")),
    never: () => new Promise(() => {}),
    rotates: async () => {
      const answer = await fetch(`/refresh?ticket=${localStorage.ticket ?? 0}`, { method: "POST" });
      localStorage.ticket = await answer.json();
      return { Authorization: `Bearer token ${localStorage.ticket}` };
    },
  };
  own.kind = kind;
  if (kind) options.headers = () => { own.calls++; return kinds[own.kind](); };
  const began = performance.now();
  const live = connect(url, options);
  (window.all ??= []).push(live);
  Object.assign(own, { live });
  live.onstate = (state, error) => {
    own.states.push([state, error?.status ?? null]);
    if (state === "open") own.openAfter ??= performance.now() - began;
  };
  live.on("*", (data) => own.heard.push(data));
  live.on("gap", (gap) => own.gaps.push(gap.reason));
  window.before = window.own;
  Object.assign(window, { own, live });
}"""
"""`own` is what the page's newest connection has; `before` what the one before it has."""


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
    shared_server.post("/reset")
    shared_server.post("/drop")
    eventually(lambda: not clients(shared_server), "those of the test before are gone")
    return shared_server


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


def clients(server: Server) -> int:
    return int(server.get("/state").json()["clients"])


def asked(server: Server, kind: str = "stream") -> list[dict[str, str]]:
    return [request for request in server.get("/state").json()["asked"] if request["kind"] == kind]


def emit(server: Server, *events: tuple[str, object]) -> str:
    return str(server.post("/emit", json=events).json()["position"])


def tell(server: Server, user: str, data: object) -> None:
    emit(server, (f"user.{user}.x", data))


def heard(tab: Page) -> list[Any]:
    found = tab.evaluate("own.heard")
    assert isinstance(found, list)
    return found


def hears(tab: Page, *expected: object) -> None:
    """Nothing else, and in that order."""
    wait_for(tab, f"own.heard.length >= {len(expected)}", 5)
    assert heard(tab) == list(expected)


def says_that_somebody_else_has_logged_in(tab: Page, own: str = "own") -> None:
    wait_for(tab, f"{own}.live.state === 'closed'", 5)
    status, message = tab.evaluate(f"[{own}.live.error.status, {own}.live.error.message]")
    assert status == 419
    assert "Somebody else has logged in" in message


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
        assert clients(server) == 2
    else:
        says_that_somebody_else_has_logged_in(first)
        assert heard(first) == ["a1"]
        assert clients(server) == 1
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
