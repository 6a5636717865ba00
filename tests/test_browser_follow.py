"""Runs in Chromium against real servers: followed to their end by `follow`, and by the browser's own `EventSource`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from nitro.testing.conformance import eventually
from tests.run_reading import start_run
from tests.servers import Server
from tests.services import Proxy
from tests.tabs import wait_for
from tests.test_browser_client import QUICK

pytestmark = pytest.mark.browser
LEASE_SECONDS = 1.0
DONE = [{"state": "done"}]


def started(url: str | None = None, *, port: int | None = None) -> Server:
    """With the store of this URL, or one of its own."""
    store = {} if url is None else {"NITRO_BROKER_URL": url}
    quick = {**QUICK, "NITRO_RUN_LEASE_SECONDS": str(LEASE_SECONDS), **store}
    return Server("tests.apps.followed:app", environment=quick, port=port)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with started() as server:
        yield server


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context()
    yield opened
    opened.close()


def open_tab(context: BrowserContext, url: str, run: str = "", page: str = "page") -> Page:
    tab = context.new_page()
    tab.goto(f"{url}/{page}?run={run}")
    wait_for(tab, "!!(window.begin ?? window.source)")
    return tab


def begin(context: BrowserContext, server: Server, run: str, options: str = "{}") -> Page:
    """Follow with these options, which are JavaScript."""
    tab = open_tab(context, server.url)
    tab.evaluate(f"begin('/runs/{run}', {options})")
    return tab


def requests_for(server: Server, run: str) -> list[str]:
    return [asked["url"].partition("?")[2] for asked in server.get("/asked").json() if run in asked["url"]]


def asks_no_more(server: Server, tab: Page, run: str, *, requests: int) -> None:
    """Nothing is asked for within several times as long as a wait before a new attempt may be."""
    tab.wait_for_timeout(1500)
    assert len(requests_for(server, run)) == requests


def test_each_item_comes_once_in_order_and_then_the_end_for_good(context: BrowserContext, server: Server) -> None:
    run = start_run(server.url, items=300, pause=0.01, at_once=3)
    tab = open_tab(context, server.url, run)
    wait_for(tab, "ends.length > 0")
    assert tab.evaluate("items") == list(range(300))
    assert tab.evaluate("ends") == DONE
    assert tab.evaluate("[run.state, run.error, run.lastEventId === ids.at(-1)]") == ["closed", None, True]
    assert tab.evaluate("states") == [["open", None], ["closed", None]]
    assert tab.evaluate("[failures, errors]") == [[], []]
    asks_no_more(server, tab, run, requests=1)
    late = open_tab(context, server.url, run)
    wait_for(late, "ends.length > 0")
    assert late.evaluate("[items, ids]") == tab.evaluate("[items, ids]")


def test_a_page_that_is_reloaded_in_the_middle_has_the_whole_run(context: BrowserContext, server: Server) -> None:
    run = start_run(server.url, items=100, pause=0.02)
    tab = open_tab(context, server.url, run)
    wait_for(tab, "items.length > 20")
    tab.reload()
    wait_for(tab, "window.items?.length > 40")
    tab.reload()
    wait_for(tab, "window.ends?.length > 0")
    assert tab.evaluate("items") == list(range(100))
    assert tab.evaluate("ends") == DONE


def test_who_kept_an_id_begins_behind_it(context: BrowserContext, server: Server) -> None:
    run = start_run(server.url, items=50)
    tab = open_tab(context, server.url, run)
    wait_for(tab, "ends.length > 0")
    last = tab.evaluate("ids[29]")
    other = begin(context, server, run, json.dumps({"lastEventId": last}))
    wait_for(other, "ends.length > 0")
    assert other.evaluate("items") == list(range(30, 50))
    nothing = begin(context, server, run, json.dumps({"lastEventId": tab.evaluate("ids[49]")}))
    wait_for(nothing, "ends.length > 0")
    assert nothing.evaluate("[items, ends]") == [[], DONE]


def test_a_server_that_is_killed_and_started_again_goes_on_where_it_was(
    context: BrowserContext, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    with started(store) as server:
        run = start_run(server.url, items=160, pause=0.05, restarts=True)
        tab = open_tab(context, server.url, run)
        wait_for(tab, "items.length > 10")
        server.kill()
        wait_for(tab, "run.state === 'waiting'")
        with started(store, port=server.port) as again:
            wait_for(tab, "ends.length > 0", 40)
            items = tab.evaluate("items")
            assert [item for item in items if isinstance(item, int)] == list(range(160))
            [place] = [place for place, item in enumerate(items) if not isinstance(item, int)]
            assert items[place]["restarted behind"] == place
            assert tab.evaluate("[ends, failures, errors]") == [DONE, [], []]
            assert all("last_event_id=" in query for query in requests_for(again, run))


def test_a_run_that_nobody_goes_on_with_is_lost(context: BrowserContext, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'runs.db'}"
    with started(store) as server:
        run = start_run(server.url, items=600, pause=0.05)
        tab = open_tab(context, server.url, run)
        wait_for(tab, "items.length > 10")
        server.kill()
        with started(store, port=server.port):
            wait_for(tab, "ends.length > 0", 40)
            assert tab.evaluate("ends[0].state") == "lost"
            assert tab.evaluate("ends.length") == 1
            items = tab.evaluate("items")
            assert items == list(range(len(items)))


def test_who_is_cut_again_and_again_gets_each_item_once(context: BrowserContext, server: Server) -> None:
    with Proxy(server.port) as proxy:
        run = start_run(server.url, items=10_000, pause=0.02)
        tab = open_tab(context, f"http://127.0.0.1:{proxy.port}", run)
        for count in (10, 30, 60, 90):
            wait_for(tab, f"items.length > {count} && run.state === 'open'")
            proxy.cut()
        wait_for(tab, "items.length > 120 && run.state === 'open'")
        assert tab.evaluate("stop().then(({ status }) => status)") == 200
        wait_for(tab, "ends.length > 0")
        assert tab.evaluate("items") == list(range(tab.evaluate("items.length")))
        assert tab.evaluate("[ends, failures]") == [[{"state": "cancelled"}], []]
        assert len(requests_for(server, run)) >= 4


def test_a_line_on_which_nothing_comes_is_let_go_of(context: BrowserContext, server: Server) -> None:
    with Proxy(server.port) as proxy:
        run = start_run(server.url, items=10_000, pause=0.02)
        tab = open_tab(context, f"http://127.0.0.1:{proxy.port}", run)
        wait_for(tab, "items.length > 10")
        proxy.stall()
        wait_for(tab, "states.some(([state]) => state === 'waiting')")  # for a moment, then it tries again
        before = tab.evaluate("items.length")
        proxy.go_on()
        wait_for(tab, f"items.length > {before + 10}")
        assert tab.evaluate("stop().then(({ status }) => status)") == 200
        wait_for(tab, "ends.length > 0")
        assert tab.evaluate("items") == list(range(tab.evaluate("items.length")))


def test_each_tab_follows_by_itself(context: BrowserContext, server: Server) -> None:
    run = start_run(server.url, items=10_000, pause=0.02)
    tabs = [open_tab(context, server.url, run) for _ in range(2)]
    wait_for(tabs[0], "items.length > 0")
    tabs[0].evaluate("run.close()")
    assert tabs[0].evaluate("run.state") == "closed"
    before = tabs[0].evaluate("items.length")
    wait_for(tabs[1], f"items.length > {before + 20}")
    assert tabs[1].evaluate("stop().then(({ status }) => status)") == 200
    wait_for(tabs[1], "ends.length > 0")
    assert tabs[1].evaluate("items") == list(range(tabs[1].evaluate("items.length")))
    assert tabs[0].evaluate("[items.length, ends, failures]") == [before, [], []]
    assert len(requests_for(server, run)) == 2


def test_a_stop_button_ends_it_for_all_who_follow(context: BrowserContext, server: Server) -> None:
    run = start_run(server.url, items=10_000, pause=0.02)
    tabs = [open_tab(context, server.url, run) for _ in range(2)]
    for tab in tabs:
        wait_for(tab, "items.length > 5")
    assert tabs[0].evaluate("stop().then(({ status }) => status)") == 200
    for tab in tabs:
        wait_for(tab, "ends.length > 0")
        assert tab.evaluate("ends") == [{"state": "cancelled"}]
        items = tab.evaluate("items")
        assert items == list(range(len(items)))
    assert tabs[0].evaluate("stop().then(({ status }) => status)") == 409
    asks_no_more(server, tabs[0], run, requests=2)


def test_a_run_that_failed_tells_why(context: BrowserContext, server: Server) -> None:
    tab = open_tab(context, server.url, start_run(server.url, "/failing", reason="the model is tired"))
    wait_for(tab, "ends.length > 0")
    assert tab.evaluate("[items, ends]") == [[0], [{"state": "failed", "reason": "the model is tired"}]]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_what_is_refused_for_good_is_told_and_not_asked_for_again(
    context: BrowserContext, server: Server, status: int
) -> None:
    run = start_run(server.url, items=3)
    missing = run if status != 404 else "0" * 8 + "-" + "0" * 20
    options = f"{{ headers: async () => ({{ Authorization: '{'' if status == 404 else f'refuse {status}'}' }}) }}"
    before = len(requests_for(server, missing))
    tab = begin(context, server, missing, options)
    wait_for(tab, "failures.length > 0")
    assert tab.evaluate("[failures[0][0], run.state, run.error.status]") == [status, "closed", status]
    assert tab.evaluate("failures[0][1]")
    assert tab.evaluate("[items, ends, errors]") == [[], [], []]
    asks_no_more(server, tab, missing, requests=before + 1)
    assert tab.evaluate("failures.length") == 1


def test_a_run_that_is_gone_when_the_page_comes_back_is_missing(context: BrowserContext) -> None:
    with started() as server:
        run = start_run(server.url, items=10_000, pause=0.02)
        tab = open_tab(context, server.url, run)
        wait_for(tab, "items.length > 5")
        server.kill()
        with started(port=server.port) as again:
            wait_for(tab, "failures.length > 0")
            assert tab.evaluate("[failures[0][0], run.state, ends]") == [404, "closed", []]
            asks_no_more(again, tab, run, requests=1)


def test_a_refusal_that_may_pass_is_asked_again_with_new_headers(context: BrowserContext, server: Server) -> None:
    run = start_run(server.url, items=5)
    tab = open_tab(context, server.url)
    tab.evaluate("window.given = ['refuse 503', 'refuse 429', 'Bearer 7']")
    tab.evaluate(f"begin('/runs/{run}', {{ headers: () => ({{ Authorization: given.shift() }}) }})")
    wait_for(tab, "ends.length > 0")
    assert tab.evaluate("items") == list(range(5))
    assert tab.evaluate("states.filter(([state]) => state === 'waiting')") == [["waiting", 503], ["waiting", 429]]
    assert tab.evaluate("failures") == []


def test_an_error_of_the_pages_own_stops_nothing(context: BrowserContext, server: Server) -> None:
    run = start_run(server.url, items=20, pause=0.01)
    throws = "{ throw new Error('mine'); }"
    options = f"""{{
      onitem(item) {{ items.push(item.n); {throws} }}, onend(end) {{ ends.push(end); {throws} }}, onstate() {throws},
    }}"""
    tab = begin(context, server, run, options)
    wait_for(tab, "ends.length > 0")
    assert tab.evaluate("items") == list(range(20))
    assert tab.evaluate("[ends.length, new Set(errors).size, errors.length]") == [1, 1, 20 + 1 + 2]


def test_a_callback_may_close_it(context: BrowserContext, server: Server) -> None:
    run = start_run(server.url, items=50)
    tab = begin(context, server, run, "{ onitem(item) { items.push(item.n); if (item.n === 6) run.close(); } }")
    wait_for(tab, "run.state === 'closed'")
    asks_no_more(server, tab, run, requests=1)
    assert tab.evaluate("[items, ends, failures]") == [list(range(7)), [], []]


def test_integers_that_json_would_round_can_be_parsed_by_the_page(context: BrowserContext, server: Server) -> None:
    run = start_run(server.url, items=2)
    tab = begin(context, server, run, "{ parse: (json) => json, onitem: (item) => items.push(item) }")
    wait_for(tab, "ends.length > 0")
    assert tab.evaluate("items") == ['{"n":0}', '{"n":1}']


def test_an_endpoint_that_serves_text_and_another_end_serves_a_page_that_follows(
    context: BrowserContext, server: Server
) -> None:
    run = start_run(server.url, items=3)
    tab = open_tab(context, server.url)
    tab.evaluate(f"begin('/runs/{run}?text=true&last=[DONE]', {{}})")
    wait_for(tab, "ends.length > 0")
    assert tab.evaluate("[items, ends, errors]") == [[0, 1, 2], DONE, []]


def test_the_browsers_own_source_ends_and_does_not_come_back(context: BrowserContext, server: Server) -> None:
    run = start_run(server.url, items=50, pause=0.01)
    tab = open_tab(context, server.url, run, "native")
    wait_for(tab, "source.readyState === EventSource.CLOSED")
    assert tab.evaluate("items") == list(range(50))
    assert tab.evaluate("ends") == DONE
    asks_no_more(server, tab, run, requests=2)  # the second was answered with 204


def test_the_two_clients_have_the_same_items(context: BrowserContext, server: Server) -> None:
    run = start_run(server.url, items=30, pause=0.01)
    ours, native = open_tab(context, server.url, run), open_tab(context, server.url, run, "native")
    for tab in (ours, native):
        wait_for(tab, "ends.length > 0")
    eventually(lambda: ours.evaluate("items") == native.evaluate("items"), "the same items")
