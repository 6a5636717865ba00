"""Who hears what in a browser of two users, in Firefox and WebKit; `test_browser_users.py` has more, for Chromium."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from nitro.testing.conformance import eventually
from tests.engines import WAYS, Engine, Tab, opening
from tests.servers import Server
from tests.tabs import wait_for
from tests.test_browser_engines import EACH_WAY, QUICK, SHARED
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

pytestmark = [pytest.mark.browser, pytest.mark.engines]


@dataclass(frozen=True)
class Site:
    """One site in a browser, whose pages are connected in one way."""

    server: Server
    way: str
    open: Callable[..., Tab]

    @property
    def is_shared(self) -> bool:
        return self.way != "alone"

    def tab(self) -> Tab:
        tab = self.open()
        tab.go(f"{self.server.url}/blank")
        return tab

    def log_in(self, user: str) -> Tab:
        """By a page in a new tab, which sets the cookie of all tabs."""
        tab = self.open()
        tab.go(f"{self.server.url}/login?user={user}")
        return tab

    def connect(self, tab: Tab, *, is_open: bool = True, **options: object) -> Tab:
        return self._connect(tab, ["/mine", {**WAYS[self.way], **options}, None, None], is_open)

    def connect_by_token(self, tab: Tab, user: str, *, is_open: bool = True) -> Tab:
        return self._connect(tab, ["/auth", WAYS[self.way], user, "text"], is_open)

    def _connect(self, tab: Tab, arguments: list[object], is_open: bool) -> Tab:
        tab.evaluate(f"({CONNECT})({json.dumps(arguments)})")
        if is_open:
            wait_for(tab, "live.state === 'open'")
        return tab

    def enter(self, user: str, *, is_open: bool = True, **options: object) -> Tab:
        """Log in by a new tab, which is connected then."""
        return self.connect(self.log_in(user), is_open=is_open, **options)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(APP, environment=QUICK) as started:
        yield started


@pytest.fixture
def site(engine: Engine, server: Server, way: str) -> Iterator[Site]:
    with opening(engine) as new:
        yield Site(reset(server), way, new)


# --- beside a tab of another user


@EACH_WAY
def test_who_logs_in_beside_an_open_tab_hears_its_own_events(site: Site, server: Server) -> None:
    first = site.enter("alice")
    tell(server, "alice", "a1")
    hears(first, "a1")
    second = site.enter("bob")
    tell(server, "alice", "a2")
    tell(server, "bob", "b1")
    hears(second, "b1")
    if site.is_shared:
        says_that_somebody_else_has_logged_in(first)
    else:  # its stream is its own, until it breaks
        hears(first, "a1", "a2")
    before = heard(first)
    server.post("/drop")
    tell(server, "alice", "a3")
    tell(server, "bob", "b2")
    hears(second, "b1", "b2")
    says_that_somebody_else_has_logged_in(first)
    assert heard(first) == before
    assert second.evaluate("own.gaps") == []
    assert clients(server) == 1


@EACH_WAY
@pytest.mark.parametrize("is_known", [True, False])
def test_who_logs_in_hears_its_own_events_after_the_tab_before_was_closed(
    site: Site, server: Server, is_known: bool
) -> None:
    """That one led, or started the worker; it is closed when the other one is known, or while it still asks."""
    first = site.enter("alice")
    tell(server, "alice", "a1")
    hears(first, "a1")
    second = site.enter("bob", is_open=is_known)
    first.close()
    wait_for(second, "live.state === 'open'")
    tell(server, "alice", "a2")
    tell(server, "bob", "b1")
    hears(second, "b1")
    server.post("/drop")
    tell(server, "alice", "a3")
    tell(server, "bob", "b2")
    hears(second, "b1", "b2")
    assert second.evaluate("own.gaps") == []
    eventually(lambda: clients(server) == 1, "that of the tab is gone")


@EACH_WAY
def test_a_login_in_another_tab_ends_those_that_are_open_when_they_come_back(site: Site, server: Server) -> None:
    tabs = [site.enter("alice") for _ in range(2)]
    other = site.log_in("bob")
    tell(server, "alice", "a1")
    for tab in tabs:
        hears(tab, "a1")
    server.post("/drop")
    tell(server, "alice", "a2")
    tell(server, "bob", "b1")
    for tab in tabs:
        says_that_somebody_else_has_logged_in(tab)
    eventually(lambda: not clients(server), "nobody is left")
    site.connect(other)
    tell(server, "bob", "b2")
    hears(other, "b2")
    for tab in tabs:
        assert heard(tab) == ["a1"]


@SHARED
def test_what_was_read_for_one_user_is_not_replayed_to_the_next(site: Site, server: Server) -> None:
    first = site.enter("alice")
    position = emit(server)
    for n in range(3):
        tell(server, "alice", f"a{n}")
        tell(server, "bob", f"b{n}")
    hears(first, "a0", "a1", "a2")
    second = site.enter("bob", since=position)
    hears(second, "b0", "b1", "b2")
    tell(server, "bob", "b3")
    hears(second, "b0", "b1", "b2", "b3")


@SHARED
def test_who_shares_by_its_word_is_ended_too_when_somebody_else_has_logged_in(site: Site, server: Server) -> None:
    tabs = [site.enter("alice", share="alice") for _ in range(2)]
    other = site.enter("bob", share="bob")
    server.post("/drop")
    tell(server, "bob", "b1")
    hears(other, "b1")
    for tab in tabs:
        says_that_somebody_else_has_logged_in(tab)
        assert heard(tab) == []


# --- in the same tab


@EACH_WAY
def test_after_a_logout_the_same_page_hears_the_next_user_alone(site: Site, server: Server) -> None:
    tab = site.enter("alice")
    tell(server, "alice", "a1")
    hears(tab, "a1")
    tab.evaluate("live.close()")
    site.log_in("bob")
    tell(server, "bob", "before he came")
    site.connect(tab)
    tell(server, "alice", "a2")
    tell(server, "bob", "b1")
    hears(tab, "b1")
    assert tab.evaluate("[before.heard, own.gaps]") == [["a1"], []]


@EACH_WAY
def test_a_reload_as_another_user_does_not_resume_where_the_page_before_was(site: Site, server: Server) -> None:
    tab = site.enter("alice")
    tell(server, "alice", "a1")
    hears(tab, "a1")
    site.log_in("bob")
    tab.reload()
    assert tab.evaluate("Object.keys(sessionStorage).length") == 1, "the page of alice's left its place"
    tell(server, "alice", "a2")
    tell(server, "bob", "before he came")
    site.connect(tab)
    tell(server, "alice", "a3")
    tell(server, "bob", "b1")
    hears(tab, "b1")
    tab.reload()
    tell(server, "bob", "b2")
    site.connect(tab)
    hears(tab, "b2")
    assert tab.evaluate("own.gaps") == []


@EACH_WAY
def test_who_goes_back_to_the_page_of_another_user_hears_nothing_of_its_own_there(
    engine: Engine, site: Site, server: Server
) -> None:
    """WebKit keeps the page as it was, and it comes back with its connection; Firefox loads it anew."""
    tab = site.enter("alice")
    tell(server, "alice", "a1")
    hears(tab, "a1")
    site.log_in("bob")
    tab.go(f"{server.url}/blank?next")
    site.connect(tab)
    tell(server, "bob", "b1")
    hears(tab, "b1")
    tab.evaluate("window.isLeft = true")
    tab.back()
    wait_for(tab, "document.readyState === 'complete' && !window.isLeft")
    tell(server, "alice", "a2")
    tell(server, "bob", "b2")
    assert bool(tab.evaluate("window.own")) == engine.caches_pages
    if engine.caches_pages:
        says_that_somebody_else_has_logged_in(tab)
        assert heard(tab) == ["a1"]
        tab.reload()
    site.connect(tab)
    tell(server, "bob", "b3")
    hears(tab, *([] if engine.caches_pages else ["b2"]), "b3")  # a page anew goes on where that of bob's was


# --- tokens


@EACH_WAY
def test_the_token_of_one_tab_does_not_serve_another(site: Site, server: Server) -> None:
    first = site.connect_by_token(site.tab(), "alice")
    second = site.connect_by_token(site.tab(), "bob")
    assert clients(server) == 2
    tell(server, "alice", "a1")
    tell(server, "bob", "b1")
    hears(first, "a1")
    hears(second, "b1")
    server.post("/drop")
    tell(server, "alice", "a2")
    tell(server, "bob", "b2")
    hears(first, "a1", "a2")
    hears(second, "b1", "b2")
    server.post("/set", json={"stale": ["bob"]})
    server.post("/drop")
    wait_for(second, "live.state === 'closed'")
    tell(server, "alice", "a3")
    tell(server, "bob", "b3")
    hears(first, "a1", "a2", "a3")
    assert second.evaluate("live.error.status") == 401
    assert heard(second) == ["b1", "b2"]


@SHARED
def test_who_joins_with_a_token_before_anybody_was_greeted_hears_its_own(site: Site, server: Server) -> None:
    server.post("/set", json={"status": 503})
    first = site.connect_by_token(site.tab(), "alice", is_open=False)
    wait_for(first, "live.state === 'waiting'")
    server.post("/set", json={"probe": 200})
    second = site.connect_by_token(site.tab(), "bob", is_open=False)
    eventually(lambda: asked(server, "probe"), "the second one is proven")
    server.post("/set", json={"status": 200})
    for tab in (first, second):
        wait_for(tab, "live.state === 'open'")
    tell(server, "alice", "a1")
    tell(server, "bob", "b1")
    hears(first, "a1")
    hears(second, "b1")


@SHARED
def test_who_joins_after_the_token_has_changed_does_not_hear_its_new_user(site: Site, server: Server) -> None:
    first = site.connect_by_token(site.tab(), "alice")
    first.evaluate("own.token = 'bob'")
    server.post("/drop")
    says_that_somebody_else_has_logged_in(first)
    second = site.connect_by_token(site.tab(), "alice")
    tell(server, "bob", "b1")
    tell(server, "alice", "a1")
    hears(second, "a1")
