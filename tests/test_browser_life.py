"""The browser client's life in Chromium: versions side by side, workers that die, are slow or never come, and what is
left of those that are closed.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from nitro.testing.conformance import eventually
from tests.conftest import CHROMIUM_FLAGS, HEADLESS_CHROMIUM
from tests.servers import Server
from tests.services import Proxy
from tests.tabs import CONNECT, SCRIPT, are_open, blank_tab, connect, connected_tab, crash, kill_workers, load, wait_for
from tests.test_browser_client import QUICK, WITHOUT_LOCKS, WITHOUT_WORKER, emit, heard, judged

pytestmark = pytest.mark.browser
APP = "tests.apps.pages_slow:app"
ROUNDS = int(os.environ.get("LIFE_ROUNDS", "1"))  # 10 by hand: so many times what is done at random
ENDS = ["the browser ends it", "its tab crashes"][: 1 if ROUNDS == 1 else 2]
EACH_WAY = pytest.mark.parametrize("way", ["worker", "leader", "alone"])
SHARED = pytest.mark.parametrize("way", ["worker", "leader"])
TEN_TIMES_SOONER = (
    "const real = setTimeout; setTimeout = (act, ms, ...more) => real(act, ms < 30000 ? ms : ms / 10, ...more);"
)
"""For waits of half a minute, of which the client has one: until a worker that did not come is tried again."""


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with Server(APP, environment=QUICK) as started:
        yield started


@pytest.fixture(scope="module")
def ticking() -> Iterator[Server]:
    """One that emits a number every 20 ms."""
    with Server(APP, environment={**QUICK, "TICKS": "1"}) as started:
        yield started


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """One without clients, from which workers get their script."""
    eventually(lambda: not shared_server.get("/state").json()["clients"], "those of the test before are gone")
    yield shared_server
    shared_server.post("/worker-script", json={})


@pytest.fixture
def way() -> str:
    return "worker"


@pytest.fixture
def context(way: str, browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context()
    if way != "worker":
        opened.add_init_script(WITHOUT_WORKER if way == "leader" else WITHOUT_LOCKS)
    yield opened
    opened.close()


def look(tab: Page) -> None:
    """As when somebody looks at the tab again: it asks at once whether its host is there."""
    tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def connect_after(tab: Page, milliseconds: int) -> None:
    parameters = [CONNECT, ["/events", {"topics": ["n.*"]}, SCRIPT], milliseconds]
    tab.evaluate("([connect, all, pause]) => { setTimeout(() => eval(connect)(all), pause) }", parameters)


def clients(server: Server) -> int:
    return int(server.get("/state").json()["clients"])


def is_led(tab: Page) -> bool:
    """Whether a tab leads, or wants to: there is a lock of the stream's own then."""
    locks = "navigator.locks.query().then(({ held, pending }) => [...held, ...pending].map(({ name }) => name))"
    return any("/events" in name for name in tab.evaluate(locks))


@pytest.mark.timed
def test_two_versions_of_the_script_live_side_by_side_and_a_new_tab_opens_within_a_second(
    context: BrowserContext, ticking: Server
) -> None:
    scripts = [SCRIPT, "/v2/client.js"]
    old = [connect(blank_tab(context, ticking.url), script, topics=["tick.*"]) for script in scripts]
    for tab in old:
        look(tab)  # who gets no answer within 5 s has another host
    took = []
    for n in range(10 * ROUNDS):
        new = connect(blank_tab(context, ticking.url), scripts[n % 2], topics=["tick.*", f"other.{n}"])
        count = len(heard(new))
        wait_for(new, f"heard.length > {count} + 5")
        judged(new)
        took.append(round(new.evaluate("openAfter")))
        new.close()
    assert max(took) < 1000, f"in milliseconds: {took}"
    for tab in old:
        judged(tab)
        assert {state for state, _ in tab.evaluate("states")} <= {"connecting", "open"}, (
            "no new tab disturbs an old one"
        )
    eventually(lambda: clients(ticking) == 2, "each script has a worker, which has a stream")
    old.pop(0).close()
    eventually(lambda: clients(ticking) == 1, "the worker of the one script ends its stream")
    judged(old[0])


@pytest.mark.timed
@pytest.mark.parametrize("how", ENDS)
def test_a_worker_that_dies_on_a_page_without_https_is_missed_within_twenty_seconds(
    server: Server, browser: Browser, how: str
) -> None:
    """There are no locks there: only that it doesn't answer any more tells of its end."""
    flags = [*CHROMIUM_FLAGS, "--host-resolver-rules=MAP app.test 127.0.0.1"]
    opened = browser.browser_type.launch(executable_path=str(HEADLESS_CHROMIUM), args=flags)
    try:
        context = opened.new_context()
        tabs = [connected_tab(context, f"http://app.test:{server.port}", topics=["n.*"]) for _ in range(3)]
        assert tabs[0].evaluate("[isSecureContext, !!navigator.locks, typeof SharedWorker]") == [
            False,
            False,
            "function",
        ]
        eventually(lambda: clients(server) == 1, "one connection for all")
        emit(server, ("n.x", 1))
        for tab in tabs:
            wait_for(tab, "heard.length === 1")
        if how == "its tab crashes":
            crash(tabs.pop(0))
        else:
            assert kill_workers(opened) == 1
        emit(server, ("n.x", 2))
        for tab in tabs:
            wait_for(tab, "heard.length === 2", 20)
            assert heard(tab) == [1, 2]
            assert tab.evaluate("[gaps, errors]") == [[], []]
        eventually(lambda: clients(server) == 1, "the tabs share a stream again")
    finally:
        opened.close()


@EACH_WAY
def test_nothing_is_left_of_what_was_connected_and_closed(context: BrowserContext, server: Server, way: str) -> None:
    other, tab = (connected_tab(context, server.url, topics=["n.*"]) for _ in range(2))
    before = left_over(context, tab), left_over(context, other)
    cycle = """async ([count, pause]) => {
      const { connect } = await import("/nitro/client.js");
      window.refs ??= [];
      for (let n = 0; n < count; n++) {
        const live = connect("/events", { topics: ["n.*", `own.${n}`] });
        live.on("n.*", () => live.state);
        refs.push(new WeakRef(live));
        await new Promise((resolve) => setTimeout(resolve, pause));
        live.close();
      }
    }"""
    for count, pause in ((50 * ROUNDS, 20), (50 * ROUNDS, 0), (100 * ROUNDS, 1)):
        tab.evaluate(cycle, [count, pause])
    eventually(lambda: (left_over(context, tab), left_over(context, other)) == before, "as before", 10)
    assert tab.evaluate("refs.length") == 200 * ROUNDS
    eventually(lambda: clients(server) == (2 if way == "alone" else 1), "no stream is left", 10)
    emit(server, ("n.x", 1))
    for each in (other, tab):
        wait_for(each, "heard.length === 1")
        assert each.evaluate("[gaps, errors]") == [[], []]


@SHARED
def test_nothing_is_left_of_a_tab_that_crashed(context: BrowserContext, server: Server) -> None:
    tab = connected_tab(context, server.url, topics=["n.*"])
    before = left_over(context, tab)
    other = connected_tab(context, server.url, topics=["n.*", "own"])
    eventually(lambda: left_over(context, tab) != before, "the other one's lock, at least")
    crash(other)
    eventually(lambda: left_over(context, tab) == before, "as before")


def left_over(context: BrowserContext, tab: Page) -> dict[str, object]:
    """What a page holds that it may have forgotten to let go."""
    session = context.new_cdp_session(tab)
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    session.send("HeapProfiler.collectGarbage")
    found: dict[str, object] = {"lives": tab.evaluate("(window.refs ?? []).filter((ref) => ref.deref()).length")}
    for kind in (
        "BroadcastChannel",
        "EventSource",
    ):  # Chromium keeps each `SharedWorker` and its port until the worker ends
        if tab.evaluate(f"typeof {kind} === 'undefined'"):
            continue
        prototype = session.send("Runtime.evaluate", {"expression": f"{kind}.prototype"})["result"]["objectId"]
        objects = session.send("Runtime.queryObjects", {"prototypeObjectId": prototype})["objects"]["objectId"]
        count = {
            "objectId": objects,
            "functionDeclaration": "function () { return this.length }",
            "returnByValue": True,
        }
        found[kind] = session.send("Runtime.callFunctionOn", count)["result"]["value"]
    found["locks"] = tab.evaluate(
        "navigator.locks?.query().then(({ held, pending }) => [held.length, pending.length]) ?? null"
    )
    session.detach()
    return found


@pytest.mark.timed
def test_workers_that_are_killed_while_they_start_hold_no_tab_up(browser: Browser, server: Server) -> None:
    chance = random.Random(1)
    killed = 0
    for _ in range(ROUNDS):
        contexts = [browser.new_context() for _ in range(4)]
        tabs = [blank_tab(context, server.url) for context in contexts for _ in range(2)]
        for tab in tabs:
            load(tab)
        for number, tab in enumerate(tabs):
            connect_after(tab, 40 + 20 * number)
        time.sleep(0.05 + chance.random() * 0.15)  # any moment of their start
        killed += kill_workers(browser)
        are_open(tabs, 8)
        emit(server, ("n.x", 1))
        for tab in tabs:
            wait_for(tab, "heard.length === 1")
        for context in contexts:
            context.close()
    assert killed > 0, "no worker was there to be killed"


@pytest.mark.timed
def test_a_tab_that_crashes_while_its_worker_starts_holds_no_other_up(browser: Browser, server: Server) -> None:
    chance = random.Random(3)
    for _ in range(2 * ROUNDS):
        context = browser.new_context()
        tabs = [blank_tab(context, server.url) for _ in range(2)]
        for tab in tabs:
            load(tab)
        for tab, pause in zip(tabs, (40, 60), strict=True):
            connect_after(tab, pause)
        time.sleep(chance.random() * 0.09)  # any moment of its start
        crash(tabs[0])
        are_open(tabs[1:], 8)
        context.close()


def test_a_worker_that_dies_while_the_server_is_away_takes_nothing_down(
    context: BrowserContext, browser: Browser, server: Server
) -> None:
    context.add_init_script(TEN_TIMES_SOONER)
    with Proxy(server.port) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        tabs = [connected_tab(context, url, topics=["n.*"]) for _ in range(3)]
        emit(server, ("n.x", 1))
        for tab in tabs:
            wait_for(tab, "heard.length === 1")
        proxy.stall()
        proxy.cut()
        wait_for(tabs[0], "live.state !== 'open'")
        assert kill_workers(browser) >= 1
        emit(server, ("n.x", 2))
        wait_for(tabs[0], "live.state === 'connecting'")
        proxy.go_on()
        for tab in tabs:
            wait_for(tab, "live.state === 'open' && heard.length === 2")
        tabs.append(connected_tab(context, url, topics=["n.*"]))
        emit(server, ("n.x", 3))
        for tab in tabs:
            wait_for(tab, "heard.at(-1)?.[1] === 3")
            assert heard(tab) in ([1, 2, 3], [3])
            assert tab.evaluate("[gaps, errors]") == [[], []]
        eventually(lambda: clients(server) == 1, "they share a stream")
        context.close()


@pytest.mark.timed
@pytest.mark.parametrize("seconds", [4, 600])
def test_a_worker_whose_script_is_slow_is_done_without_until_it_comes(
    context: BrowserContext, ticking: Server, seconds: int
) -> None:
    tabs = [blank_tab(context, ticking.url) for _ in range(2)]
    for tab in tabs:
        load(tab)
    ticking.post("/worker-script", json={"seconds": seconds})
    try:
        began = time.monotonic()
        for tab in tabs:
            tab.evaluate(CONNECT, ["/events", {"topics": ["tick.*"]}, SCRIPT])
        are_open(tabs, 8)
        assert time.monotonic() - began > 3.5
        assert is_led(tabs[0]) == (seconds > 5)
        eventually(lambda: clients(ticking) == 1, "they share a stream")
    finally:
        ticking.post("/worker-script", json={})
    eventually(lambda: not is_led(tabs[0]), "both are with the worker")
    count = len(heard(tabs[0]))
    for tab in tabs:
        wait_for(tab, f"live.state === 'open' && heard.length > {count} + 50")
        judged(tab)
    eventually(lambda: clients(ticking) == 1, "they share a stream")


def test_a_worker_that_could_not_be_loaded_is_gone_back_to(context: BrowserContext, ticking: Server) -> None:
    context.add_init_script(TEN_TIMES_SOONER)
    ticking.post("/worker-script", json={"status": 503})
    try:
        tabs = [connected_tab(context, ticking.url, topics=["tick.*"]) for _ in range(2)]
        assert is_led(tabs[0])
    finally:
        ticking.post("/worker-script", json={})
    eventually(lambda: not is_led(tabs[0]), "both are with the worker")
    count = len(heard(tabs[0]))
    for tab in tabs:
        wait_for(tab, f"live.state === 'open' && heard.length > {count} + 50")
        judged(tab)
        assert tab.evaluate("errors") == []
    eventually(lambda: clients(ticking) == 1, "they share a stream")
