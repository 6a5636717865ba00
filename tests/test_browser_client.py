"""The browser client in Chromium against real servers: sharing, resume, refusals, and what is hostile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from playwright.sync_api import Error as PlaywrightError

from nitro.testing.conformance import eventually
from nitro.testing.oracle import Listener, Sent, check
from tests.servers import Server
from tests.services import Proxy

pytestmark = pytest.mark.browser
APP = "tests.apps.pages:app"
QUICK = {"NITRO_RETRY_MILLISECONDS": "200", "NITRO_HEARTBEAT_SECONDS": "0.5"}
AWAY_SECONDS = float(os.environ.get("AWAY_SECONDS", "1.5"))  # 60 by hand
EACH_WAY = pytest.mark.parametrize("way", ["worker", "leader", "alone"])
SHARED = pytest.mark.parametrize("way", ["worker", "leader"])
WITHOUT_WORKER = "delete globalThis.SharedWorker;"
WITHOUT_LOCKS = WITHOUT_WORKER + "Object.defineProperty(navigator, 'locks', { value: undefined });"


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
def mortal() -> Iterator[Server]:
    """One that the test may kill."""
    with Server(APP, environment=QUICK) as started:
        yield started


@pytest.fixture
def way() -> str:
    """How the tabs share a connection, unless a test is about each way."""
    return "worker"


@pytest.fixture
def context(way: str, browser: Browser) -> Iterator[BrowserContext]:
    """A browser of somebody's, with what it needs to share a connection in that way."""
    opened = browser.new_context()
    if way != "worker":
        opened.add_init_script(WITHOUT_WORKER if way == "leader" else WITHOUT_LOCKS)
    yield opened
    opened.close()


def open_tab(context: BrowserContext, url: str, **options: object) -> Page:
    """A tab whose stream is open."""
    tab = context.new_page()
    tab.goto(f"{url}/page?options={quote(json.dumps(options))}")
    wait_for(tab, "window.live?.state === 'open'")
    return tab


def wait_for(tab: Page, condition: str, seconds: float = 20) -> None:
    """Asked from here, since the page's policy forbids to evaluate strings in it."""
    eventually(lambda: tab.evaluate(condition), condition, seconds)


def heard(tab: Page) -> list[object]:
    return [data for _, data, _ in tab.evaluate("heard")]


def emit(server: Server, *events: tuple[str, object]) -> str:
    return str(server.post("/emit", json=events).json()["position"])


@EACH_WAY
def test_ten_tabs_use_one_connection_and_each_hears_what_it_asked_for(
    context: BrowserContext, server: Server, way: str
) -> None:
    count = 4 if way == "alone" else 10  # alone, a browser has six connections for a host, and one loads the next page
    tabs = [open_tab(context, server.url, topics=["all.*", f"only.{n}"]) for n in range(count)]
    expected = count if way == "alone" else 1
    eventually(lambda: server.get("/state").json()["clients"] == expected, "the connections")
    for n in range(count):
        emit(server, (f"only.{n}", n), ("nobodys", 0))
    emit(server, ("all.end", "end"))
    for n, tab in enumerate(tabs):
        wait_for(tab, "heard.some(([topic]) => topic === 'all.end')")
        assert heard(tab) == [n, "end"]
        assert tab.evaluate("[gaps, errors]") == [[], []]
    eventually(lambda: server.get("/state").json()["clients"] == expected, "the connections")


@SHARED
def test_a_tab_that_leads_is_closed_and_nothing_is_lost(context: BrowserContext, server: Server) -> None:
    leading, *others = [open_tab(context, server.url, topics=["n.*"]) for _ in range(3)]
    for n in range(60):
        emit(server, ("n.x", n))
        if n == 20:
            leading.close()
    for tab in others:
        wait_for(tab, "heard.length >= 60")
        assert heard(tab) == list(range(60))
        assert tab.evaluate("gaps") == []


def test_topics_are_changed_without_a_loss(context: BrowserContext, server: Server) -> None:
    tab = open_tab(context, server.url, topics=["a.*"])
    emit(server, ("a.x", 1), ("b.x", -1))
    wait_for(tab, "heard.length === 1")
    tab.evaluate("live.subscribe('b.*')")
    emit(server, ("a.x", 2))
    wait_for(tab, "heard.at(-1)[1] === 2")
    eventually(lambda: "topic=b.%2A" in server.get("/state").json()["asked"][-1]["query"], "it asks for both")
    emit(server, ("b.x", 3), ("a.x", 4))
    wait_for(tab, "heard.at(-1)[1] === 4")
    tab.evaluate("live.unsubscribe('a.*')")
    eventually(lambda: "topic=a.%2A" not in server.get("/state").json()["asked"][-1]["query"], "it asks for one")
    emit(server, ("a.x", -1), ("b.x", 5))
    wait_for(tab, "heard.at(-1)[1] === 5")
    assert [n for n in heard(tab) if n != -1] == [1, 2, 3, 4, 5]
    assert tab.evaluate("gaps") == []


@EACH_WAY
def test_a_reload_resumes_and_a_late_tab_starts_from_now(context: BrowserContext, server: Server) -> None:
    tab = open_tab(context, server.url, topics=["n.*"])
    emit(server, ("n.x", 1))
    wait_for(tab, "heard.length === 1")
    tab.goto("about:blank")
    emit(server, ("n.x", 2), ("n.x", 3))
    tab.go_back()
    wait_for(tab, "window.heard?.length === 2")
    assert heard(tab) == [2, 3]
    late = open_tab(context, server.url, topics=["n.*"])
    emit(server, ("n.x", 4))
    for page in (tab, late):
        wait_for(page, "heard.at(-1)[1] === 4")
    assert heard(late) == [4]
    assert heard(tab) == [2, 3, 4]


def test_a_page_starts_where_it_was_rendered(context: BrowserContext, server: Server) -> None:
    emit(server, ("n.x", 1))
    position = server.post("/emit", json=[]).json()["position"]
    emit(server, ("n.x", 2))
    open_tab(context, server.url, topics=["n.*"])
    tab = open_tab(context, server.url, topics=["n.*"], since=position)
    wait_for(tab, "heard.length === 1")
    assert heard(tab) == [2]


@EACH_WAY
def test_more_than_a_tab_may_leave_unconfirmed_comes_at_once(context: BrowserContext, server: Server) -> None:
    other = open_tab(context, server.url, topics=["n.*"])
    position = server.post("/emit", json=[]).json()["position"]
    for start in range(0, 3_000, 500):
        emit(server, *(("n.x", n) for n in range(start, start + 500)))
    tab = open_tab(context, server.url, topics=["n.*", "tick.*"], since=position)
    for n in range(3_000, 3_050):  # while it is joined, and reads
        emit(server, ("n.x", n))
    for page in (tab, other):
        wait_for(page, "heard.length >= 3050")
        assert heard(page) == list(range(3_050))
        assert page.evaluate("gaps") == []


@SHARED
def test_who_joins_beside_a_busy_stream_loses_nothing(context: BrowserContext, server: Server) -> None:
    position = server.post("/emit", json=[]).json()["position"]
    other = open_tab(context, server.url, topics=["busy.*"])
    for n in range(40):
        emit(server, ("n.x", n))
    tab = context.new_page()
    tab.goto(f"{server.url}/page?options={quote(json.dumps({'topics': ['n.*'], 'since': position}))}")
    for n in range(150):
        emit(server, ("busy.x", n), ("n.x", 40 + n))
    wait_for(tab, "heard.length >= 190")
    assert heard(tab) == list(range(190))
    assert heard(other) == list(range(150))


@pytest.mark.parametrize("way", ["worker", "leader"])
def test_a_tab_that_crashes_takes_nothing_down(context: BrowserContext, server: Server) -> None:
    """The first one's process holds the worker, or the lock."""
    first = open_tab(context, server.url, topics=["n.*"])
    other = open_tab(context, server.url, topics=["n.*"])
    emit(server, ("n.x", 1))
    wait_for(other, "heard.length === 1")
    with contextlib.suppress(PlaywrightError):
        first.goto("chrome://crash")
    emit(server, ("n.x", 2))
    wait_for(other, "heard.length === 2", 30)
    assert heard(other) == [1, 2]


def test_what_is_sent_to_one_connection_is_heard_too(context: BrowserContext, server: Server) -> None:
    tab = open_tab(context, server.url, topics=["n.*"])
    emit(server, ("n.x", 1))
    server.post("/send", json={"private": 1})
    wait_for(tab, "heard.length === 2")
    assert tab.evaluate("heard.map(([topic, data]) => [topic, data])") == [["n.x", 1], ["", {"private": 1}]]


def test_a_closed_connection_stays_closed(context: BrowserContext, server: Server) -> None:
    tab = open_tab(context, server.url, topics=["n.*"], share=False)
    tab.evaluate("() => { live.subscribe('m.*'); live.close(); live.close(); }")
    eventually(lambda: not server.get("/state").json()["clients"], "it is gone")
    tab.wait_for_timeout(500)
    assert not server.get("/state").json()["clients"]
    assert tab.evaluate("[live.state, errors]") == ["closed", []]


def test_where_locks_are_forbidden_each_tab_leads(browser: Browser, server: Server) -> None:
    context = browser.new_context()
    context.add_init_script(WITHOUT_WORKER + "navigator.locks.request = () => Promise.reject(new DOMException('no'));")
    tab = open_tab(context, server.url, topics=["n.*"])
    emit(server, ("n.x", 1))
    wait_for(tab, "heard.length === 1")
    context.close()


def test_headers_that_fail_are_asked_for_again(context: BrowserContext, server: Server) -> None:
    tab = open_tab(context, server.url)
    tab.evaluate("""() => { live.close(); let n = 0;
        open_("/events", { headers: () => { if (++n < 2) throw new Error("no token"); return {}; } }); }""")
    wait_for(tab, "live.state === 'open'", 10)
    assert "no token" in tab.evaluate("errors")[0]


def judged(tab: Page) -> None:
    """Every number from the first one on, once and in order, or a gap; by the oracle."""
    events, gaps = tab.evaluate("[heard, gaps]")
    numbers = [data for _, data, _ in events]
    sent = [Sent("server", n) for n in range(numbers[0], max(numbers) + 1)]
    listener = Listener("page", since=sent[0].at - 1)
    for _, data, id in events:
        listener.heard(id, "server", data)
    verdict = check(sent, [listener])
    assert not gaps
    assert verdict.is_clean, str(verdict)


@pytest.fixture
def ticking(tmp_path: object) -> Iterator[Callable[..., Server]]:
    """Starts servers that emit a number every 20 ms, with a log that survives."""
    started: list[Server] = []

    def start(port: int | None = None) -> Server:
        environment = {**QUICK, "TICKS": "1", "NITRO_BROKER_URL": f"sqlite:///{tmp_path}/log.db"}
        server = Server(APP, environment=environment, port=port)
        started.append(server)
        return server.wait_until_up()

    yield start
    started[-1].end()


@pytest.mark.parametrize(("way", "is_cut"), [("worker", False), ("worker", True), ("leader", False)])
def test_a_network_that_was_away_is_caught_up_with(
    context: BrowserContext, ticking: Callable[..., Server], is_cut: bool
) -> None:
    """Chromium's own emulation would leave its shared workers online."""
    server = ticking()
    with Proxy(server.port) as proxy:
        tab = open_tab(context, f"http://127.0.0.1:{proxy.port}", topics=["tick.*"])
        wait_for(tab, "heard.length > 20")
        proxy.stall()
        if is_cut:
            proxy.cut()
        time.sleep(AWAY_SECONDS)
        before = len(heard(tab))
        wait_for(tab, "live.state !== 'open'")
        proxy.go_on()
        wait_for(tab, f"live.state === 'open' && heard.length > {before} + {AWAY_SECONDS} * 45 + 50", 20 + AWAY_SECONDS)
        judged(tab)
        context.close()


@EACH_WAY
@pytest.mark.parametrize("options", [{}, {"headers": True}])
def test_behind_a_service_worker_that_answers_streams_nothing_is_lost_and_nothing_heard_twice(
    context: BrowserContext, server: Server, options: dict[str, bool]
) -> None:
    """It takes the last id off what an `EventSource` asks for; the client has it in the URL."""
    with Proxy(server.port) as proxy:
        tab = context.new_page()
        tab.goto(f"http://127.0.0.1:{proxy.port}/page")
        tab.evaluate("navigator.serviceWorker.register('/service-worker.js').then(() => navigator.serviceWorker.ready)")
        tab.reload()  # so that the worker controls it
        headers = "() => ({})" if options else "undefined"
        wait_for(tab, "typeof open_ === 'function'")
        tab.evaluate(f"() => open_('/events', {{ topics: ['n.*'], headers: {headers} }})")
        wait_for(tab, "window.live?.state === 'open'")
        for n in range(0, 9, 3):
            emit(server, ("n.x", n))
            wait_for(tab, f"heard.length === {n + 1}")
            proxy.cut()
            emit(server, ("n.x", n + 1), ("n.x", n + 2))
            wait_for(tab, f"heard.length === {n + 3}")
        assert heard(tab) == list(range(9))
        assert tab.evaluate("[gaps, errors]") == [[], []]
        assert tab.evaluate("fetch('/count').then((answer) => answer.json())") >= 4, "the streams passed the worker by"
        context.close()


@EACH_WAY
def test_a_server_that_was_killed_is_come_back_to(context: BrowserContext, mortal: Server) -> None:
    tab = open_tab(context, mortal.url, topics=["n.*"])
    emit(mortal, ("n.x", 1))
    wait_for(tab, "heard.length === 1")
    mortal.kill()
    wait_for(tab, "live.state === 'waiting'")
    with Server(APP, environment=QUICK, port=mortal.port) as again:
        wait_for(tab, "live.state === 'open'")
        wait_for(tab, "gaps.length === 1")
        assert tab.evaluate("gaps[0].reason") == "epoch"
        emit(again, ("n.x", 2), ("n.x", 3))
        wait_for(tab, "heard.length === 3")
        assert heard(tab) == [1, 2, 3]
        assert tab.evaluate("[gaps.length, errors]") == [1, []]


@pytest.mark.parametrize("status", [204, 401, 403, 404])
def test_it_stops_where_there_is_no_hope_and_says_why(context: BrowserContext, server: Server, status: int) -> None:
    server.post("/answer", json={"status": status})
    tab = context.new_page()
    tab.goto(f"{server.url}/page?options={quote('{}')}")
    wait_for(tab, "window.live?.state === 'closed'")
    found, message = tab.evaluate("[live.error.status, live.error.message]")
    assert found == status
    assert len(message) > 20
    connects = server.get("/state").json()["connects"]
    tab.wait_for_timeout(600)
    assert server.get("/state").json()["connects"] == connects
    server.post("/answer", json={"status": 200})
    tab.reload()
    wait_for(tab, "window.live?.state === 'open'")


@pytest.mark.parametrize(("status", "headers"), [(503, {}), (429, {"retry-after": "1"})])
def test_it_carries_on_after_a_refusal_that_passes(
    context: BrowserContext, server: Server, status: int, headers: dict[str, str]
) -> None:
    tab = open_tab(context, server.url, topics=["n.*"])
    emit(server, ("n.x", 1))
    wait_for(tab, "heard.length === 1")
    server.post("/answer", json={"status": status, "headers": headers})
    tab.evaluate("live.subscribe('other')")  # makes it connect anew
    wait_for(tab, f"live.state === 'waiting' && live.error?.status === {status}")
    emit(server, ("n.x", 2))
    server.post("/answer", json={"status": 200, "headers": {}})
    wait_for(tab, "live.state === 'open' && heard.length === 2")
    assert heard(tab) == [1, 2]
    assert tab.evaluate("gaps") == []


def test_a_server_that_ends_it_for_good_is_left_alone(context: BrowserContext, server: Server) -> None:
    tab = open_tab(context, server.url)
    server.post("/stop")
    wait_for(tab, "live.state === 'closed'")
    assert tab.evaluate("live.error.status") == 204


def test_a_worker_that_is_restarted_is_come_back_to(context: BrowserContext, ticking: Callable[..., Server]) -> None:
    server = ticking()
    tab = open_tab(context, server.url, topics=["n.*"])
    server.end(signal.SIGTERM)
    again = ticking(server.port)
    wait_for(tab, "live.state === 'open'")
    emit(again, ("n.x", 1))
    wait_for(tab, "heard.length === 1")
    assert tab.evaluate("gaps") == []


def test_headers_are_asked_for_at_each_attempt(context: BrowserContext, server: Server) -> None:
    tab = open_tab(context, server.url)
    tab.evaluate("""() => { live.close(); let n = 0; heard.length = 0;
        open_("/events", { topics: ["n.*"], headers: async () => ({ Authorization: `Bearer ${++n}` }) }); }""")
    wait_for(tab, "live.state === 'open'")
    assert server.get("/state").json()["asked"][-1]["authorization"] == "Bearer 1"
    emit(server, ("n.x", {"a": "\u2028ä\r\n"}))
    wait_for(tab, "heard.length === 1")
    tab.evaluate("live.subscribe('other')")
    eventually(lambda: server.get("/state").json()["asked"][-1]["authorization"] == "Bearer 2", "it asks again")
    wait_for(tab, "live.state === 'open'")
    emit(server, ("n.x", 2))
    wait_for(tab, "heard.length === 2")
    assert heard(tab) == [{"a": "\u2028ä\r\n"}, 2]


def test_what_is_hostile_is_inert(context: BrowserContext, server: Server) -> None:
    tab = open_tab(context, server.url)
    hostile = {"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}, "html": "<img onerror=x>"}
    emit(server, ("__proto__", hostile), ("constructor.prototype", "<script>document.title='owned'</script>"))
    wait_for(tab, "heard.length === 2")
    assert tab.evaluate("[{}.polluted ?? null, document.title, Object.keys(heard[0][1])[0]]") == [
        None,
        "quiet",
        "__proto__",
    ]
    assert tab.evaluate("errors") == []
    for wrong in ("<b>", "", "a b", "a..b"):
        assert (
            tab.evaluate("topic => { try { live.on(topic, () => {}) } catch (e) { return e.name } }", wrong)
            == "TypeError"
        )


def test_a_handler_that_throws_stops_nobody(context: BrowserContext, server: Server) -> None:
    tab = open_tab(context, server.url)
    tab.evaluate("""() => { live.on("n.x", () => { throw new Error("mine") });
        window.more = []; window.off = live.on("n.*", (data) => more.push(data)); }""")
    emit(server, ("n.x", 1))
    wait_for(tab, "more.length === 1")
    assert "mine" in tab.evaluate("errors")[0]
    tab.evaluate("off()")
    emit(server, ("n.x", 2))
    wait_for(tab, "heard.length === 2")
    assert tab.evaluate("more") == [1]


def test_a_dead_line_is_noticed_from_missing_heartbeats(context: BrowserContext, mortal: Server) -> None:
    tab = open_tab(context, mortal.url)
    assert mortal.process.poll() is None
    mortal.process.send_signal(signal.SIGSTOP)
    try:
        wait_for(tab, "states.some(([state]) => state === 'waiting')", 8)
    finally:
        mortal.process.send_signal(signal.SIGCONT)
    wait_for(tab, "live.state === 'open'", 40)


@SHARED
def test_a_tab_that_freezes_takes_nothing_down(context: BrowserContext, server: Server) -> None:
    frozen, other = (open_tab(context, server.url, topics=["n.*"]) for _ in range(2))
    session = context.new_cdp_session(frozen)
    session.send("Page.enable")
    session.send("Page.setWebLifecycleState", {"state": "frozen"})
    count = 2_500  # more than a member may leave unconfirmed
    for start in range(0, count, 100):
        emit(server, *(("n.x", n) for n in range(start, start + 100)))
    wait_for(other, f"heard.length === {count}")
    session.send("Page.setWebLifecycleState", {"state": "active"})
    wait_for(frozen, f"heard.length >= {count}")
    for tab in (frozen, other):
        assert heard(tab) == list(range(count))
        assert tab.evaluate("gaps") == []


def test_modules_of_another_origin_are_no_worker(context: BrowserContext, server: Server) -> None:
    with Server(APP, environment=QUICK) as other:
        tab = open_tab(context, server.url)
        tab.evaluate(
            """worker => { live.close(); heard.length = 0; open_("/events", { topics: ["n.*"], worker }); }""",
            f"{other.url}/nitro/client.js",
        )
        wait_for(tab, "live.state === 'open'")
    emit(server, ("n.x", 1))
    wait_for(tab, "heard.length === 1")


def test_a_worker_that_can_not_be_loaded_is_done_without(context: BrowserContext, server: Server) -> None:
    tab = open_tab(context, server.url)
    tab.evaluate("""() => { live.close(); heard.length = 0;
        open_("/events", { topics: ["n.*"], worker: "/nitro/missing.js" }); }""")
    wait_for(tab, "live.state === 'open'")
    emit(server, ("n.x", 1))
    wait_for(tab, "heard.length === 1")


def test_what_is_no_stream_of_ours_is_told_of(context: BrowserContext, server: Server) -> None:
    tab = open_tab(context, server.url)
    tab.evaluate("() => { live.close(); open_('/page'); }")
    wait_for(tab, "live.state === 'closed'")
    assert "No stream of Nitro's" in tab.evaluate("live.error.message")
