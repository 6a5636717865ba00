"""The recipes for other libraries, as they stand in the documentation, in a browser: live, resumed, told of gaps."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.apps.frontends import LIBRARIES, NODE_MODULES, PAGE, library
from tests.conftest import CHROMIUM_FLAGS
from tests.engines import CHROMIUM
from tests.servers import ROOT, Server

RUNS_BLOCKS = {
    "docs/how-to/frontends.md": [
        "Behind a service worker: js",
        "With other libraries: python",
        "Turbo: python",
        "Datastar: python",
        "htmx 4: html",
        "htmx 2: html",
        "Turbo: html",
        "Turbo: html turbo-stream-source",
        "React: jsx",
    ],
    "docs/how-to/page-without-holes.md": ["Applying events: python", "Applying events: js"],
}
pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=\"document.title='owned'\"></template></li><script>document.title='owned'</script>"
ODD = "\x0b\x85\u2028 {} \\ \"'&amp;\n\nid: 0\n\ndata: <b>"

PAGES = {
    "htmx 4": "/todos",
    "htmx 2": "/todos",
    "htmx 2?unnamed=true": "/todos",
    "Turbo": "/streams",
    "Turbo?plain=true": "/streams",
}
"""The page of each recipe, and where a title is posted that it shows."""
DATA_PAGES = {"Applying events": "/applying", "React": "/react/items"}
"""Those that take their data as JSON: where they are."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts that only tests need, and React's recipe with the pages that use it."""
    made = tmp_path_factory.mktemp("bundles")
    (made / "show.js").write_text(SHOW)
    (made / "recipe.jsx").write_text(PAGE.the("jsx").source)
    esbuild = shutil.which("esbuild", path=NODE_MODULES / ".bin")
    if esbuild is None or not (NODE_MODULES / "react-dom").exists():
        pytest.skip(f"NO REACT: {NODE_MODULES / 'react-dom'} is missing; run `npm ci` in js/ to run these tests")
    for name, script in {"hook": HOOK_PAGE, "items": ITEMS_PAGE}.items():
        (made / f"{name}.jsx").write_text(script)
        subprocess.run(
            [
                *(esbuild, f"{name}.jsx", "--bundle", "--format=esm", "--jsx=automatic", f"--outfile={name}.js"),
                f"--alias:nitro-realtime={ROOT / 'js/src/index.ts'}",
            ],
            cwd=made,
            env={"NODE_PATH": str(NODE_MODULES)},
            check=True,
            capture_output=True,
            timeout=60,
        )
    return made


@pytest.fixture(scope="module")
def server(bundles: Path) -> Iterator[Server]:
    missing = [path for path in map(library, LIBRARIES) if not path.exists()]
    if missing:
        pytest.skip(f"NO FRONTEND LIBRARIES: {missing[0]} is missing; run `npm ci` in js/ to run this test")
    environment = {"NITRO_RETRY_MILLISECONDS": "100", "NITRO_BUNDLES": str(bundles)}
    with Server("tests.apps.frontends:app", environment=environment) as started:
        yield started
    assert "Traceback" not in started.output, started.output


@pytest.fixture(scope="module")
def keeping_browser(browser: Browser) -> Iterator[Browser]:
    """It keeps whole pages to go back to, as people's browsers do; Playwright forbids it, and only the one with windows
    can.
    """
    if not CHROMIUM.exists():
        pytest.skip(f"NO BROWSER: {CHROMIUM} is missing; install Debian's chromium for this test")
    forbids = ["--disable-back-forward-cache"]
    chromium = browser.browser_type.launch(
        executable_path=str(CHROMIUM), args=CHROMIUM_FLAGS, ignore_default_args=forbids
    )
    yield chromium
    chromium.close()


@pytest.fixture
def keeping_page(keeping_browser: Browser) -> Iterator[Page]:
    context = keeping_browser.new_context()
    yield context.new_page()
    context.close()


def open_page(page: Page, server: Server, name: str) -> None:
    """Show the page, and wait until the server has its stream."""
    until_clients(server, 0)
    server.post("/forget")
    page.goto(server.url + DATA_PAGES.get(name, f"/pages/{name}"))
    until_clients(server, 1)


def write(server: Server, name: str, title: str) -> None:
    """Something new that the page shall show."""
    if name in DATA_PAGES:
        httpx.put(f"{server.url}/items/{title}", params={"text": title}, trust_env=False).raise_for_status()
    else:
        server.post(PAGES[name], params={"title": title})


def until_clients(server: Server, count: int) -> None:
    deadline = time.monotonic() + 10
    while server.get("/clients").json() != count:
        assert time.monotonic() < deadline, f"there are not {count} clients"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _leaves_no_stream(page: Page) -> Iterator[None]:
    yield
    page.goto("about:blank")


@pytest.mark.parametrize("name", PAGES)
def test_hostile_text_that_the_application_escaped_is_shown_as_text(server: Server, page: Page, name: str) -> None:
    open_page(page, server, name)
    for title in (HOSTILE, ODD, "the last"):
        server.post(PAGES[name], params={"title": title})
    items = page.locator("ul li")
    expect(items).to_have_count(3)
    assert items.evaluate_all("all => all.map(item => item.textContent)") == [HOSTILE, ODD, "the last"]
    assert page.locator("ul :not(li)").count() == 0
    assert page.title() == "quiet"


@pytest.mark.parametrize("name", PAGES)
def test_a_stream_that_was_cut_misses_nothing_and_shows_nothing_twice(server: Server, page: Page, name: str) -> None:
    open_page(page, server, name)
    items = page.locator("ul li")
    server.post(PAGES[name], params={"title": "before"})
    expect(items).to_have_text(["before"])
    server.post("/disconnect-all")
    for title in ("meanwhile", "and then"):
        server.post(PAGES[name], params={"title": title})
    expect(items).to_have_text(["before", "meanwhile", "and then"])
    server.post(PAGES[name], params={"title": "after"})
    expect(items).to_have_text(["before", "meanwhile", "and then", "after"])


@pytest.mark.parametrize("name", PAGES)
def test_a_gap_loads_the_page_anew(server: Server, page: Page, name: str) -> None:
    until_clients(server, 0)
    server.post("/forget")
    page.goto(f"{server.url}/pages/{name}{'&' if '?' in name else '?'}lost=true")
    expect(page.locator("output")).to_have_text("again")
    until_clients(server, 1)
    server.post(PAGES[name], params={"title": "heard"})
    expect(page.locator("ul li")).to_have_text(["heard"])


def see_what_came_while_away(server: Server, page: Page, name: str, go_on: Callable[[], object]) -> None:
    """Leave the page, go back when events have come, and find each of them once; twice, since the second time the page
    is another: it has heard some of what it shows.
    """
    items = page.locator("ul li")
    shown: list[str] = []

    def see(*titles: str) -> None:
        for title in titles:
            write(server, name, title)
            shown.append(title)

    for n in range(2):
        see(f"before {n}")
        expect(items).to_have_text(shown)
        go_on()
        expect(page.locator("h1")).to_have_text("Another page")
        see(f"meanwhile {n}", f"and then {n}")
        page.go_back(wait_until="commit")
        expect(items).to_have_text(shown)
        # A page that Turbo is still reading, and would leave for the next one, is an error that it handles nowhere.
        expect(page.locator("html[aria-busy]")).to_have_count(0)
        until_clients(server, 1)
        see(f"after {n}")
        expect(items).to_have_text(shown)


@pytest.mark.parametrize("name", [*PAGES, *DATA_PAGES])
def test_who_goes_back_to_a_page_misses_nothing_and_sees_nothing_twice(server: Server, page: Page, name: str) -> None:
    open_page(page, server, name)
    see_what_came_while_away(server, page, name, lambda: page.goto(f"{server.url}/other"))


@pytest.mark.parametrize("name", [*PAGES, *DATA_PAGES])
def test_a_page_that_the_browser_kept_whole_misses_nothing(server: Server, keeping_page: Page, name: str) -> None:
    page = keeping_page
    open_page(page, server, name)
    page.evaluate("addEventListener('pageshow', ({ persisted }) => { window.isKept = persisted })")
    see_what_came_while_away(server, page, name, lambda: page.goto(f"{server.url}/other"))
    why_not = "performance.getEntriesByType('navigation')[0].notRestoredReasons.reasons.map(({ reason }) => reason)"
    assert page.evaluate(f"window.isKept || {why_not}") is True, "so the test is of something else"


@pytest.mark.parametrize("name", [*PAGES, "React"])
def test_a_link_that_the_library_follows_leads_back_to_a_page_that_misses_nothing(
    server: Server, page: Page, name: str
) -> None:
    open_page(page, server, name if name == "React" else f"{name}{'&' if '?' in name else '?'}boosted=true")
    page.evaluate("window.isOneDocument = true")
    see_what_came_while_away(server, page, name, lambda: page.get_by_text("on", exact=True).click())
    assert page.evaluate("window.isOneDocument"), (
        "the browser followed the link itself, so the test is of something else"
    )


@pytest.mark.parametrize("name", DATA_PAGES)
def test_an_event_that_the_data_has_already_is_shown_once(server: Server, page: Page, name: str) -> None:
    until_clients(server, 0)
    server.post("/forget")
    write(server, name, "a")
    server.post("/write-early", params={"id": "b"})
    page.goto(server.url + DATA_PAGES[name])
    items = page.locator("ul li")
    expect(items).to_have_text(["a", "b"])
    until_clients(server, 1)
    for title in ("b", "c"):
        write(server, name, title)
    expect(items).to_have_text(["a", "b", "c"])
    httpx.put(f"{server.url}/items/b", params={"text": "changed"}, trust_env=False).raise_for_status()
    expect(items).to_have_text(["a", "changed", "c"])
    for _ in range(2):
        httpx.delete(f"{server.url}/items/a", trust_env=False).raise_for_status()
    write(server, name, "d")
    expect(items).to_have_text(["changed", "c", "d"])


def test_react_keeps_what_it_heard_when_data_that_was_asked_for_before_comes_late(server: Server, page: Page) -> None:
    """StrictMode asks twice. The answer that comes last is the one that was asked for first."""
    until_clients(server, 0)
    server.post("/forget")
    asked: list[Route] = []
    page.route(server.url + "/items", lambda route: asked.append(route))
    page.goto(server.url + DATA_PAGES["React"])
    deadline = time.monotonic() + 10
    while len(asked) < 2:
        assert time.monotonic() < deadline, f"the page asked {len(asked)} times"
        page.wait_for_timeout(10)
    late, current = ((route, route.fetch()) for route in asked)
    current[0].fulfill(response=current[1])
    until_clients(server, 1)
    write(server, "React", "heard")
    expect(page.locator("ul li")).to_have_text(["heard"])
    with page.expect_response(server.url + "/items") as answered:
        late[0].fulfill(response=late[1])
    answered.value.finished()
    write(server, "React", "and then")
    expect(page.locator("ul li")).to_have_text(["heard", "and then"])


@pytest.mark.parametrize("name", DATA_PAGES)
def test_data_that_fails_to_load_after_a_gap_is_loaded_again(server: Server, page: Page, name: str) -> None:
    until_clients(server, 0)
    server.post("/forget")
    write(server, name, "before")
    lost = ["lost", "lost"] if name == "React" else ["lost"]  # StrictMode asks twice, and takes the second answer
    answers = [*lost, "unavailable", "cut", "login"]

    def answer(route: Route) -> None:
        match answers.pop(0) if answers else "whole":
            case "lost":
                route.fulfill(json={**route.fetch().json(), "position": "nobodys-1"})
            case "unavailable":
                route.fulfill(status=502, body="{}", content_type="application/json")
            case "cut":
                route.abort()
            case "login":
                route.fulfill(status=200, body="<p>Log in", content_type="text/html")
            case _:
                route.continue_()

    page.add_init_script("Math.random = () => 0")
    page.route(server.url + "/items", answer)
    page.goto(server.url + DATA_PAGES[name])
    deadline = time.monotonic() + 30
    while answers:
        assert time.monotonic() < deadline, f"the page did not ask again, and has yet to be answered {answers}"
        page.wait_for_timeout(20)
    write(server, name, "meanwhile")
    expect(page.locator("ul li")).to_have_text(["before", "meanwhile"], timeout=10_000)
    until_clients(server, 1)
    write(server, name, "after")
    expect(page.locator("ul li")).to_have_text(["before", "meanwhile", "after"])


@pytest.mark.parametrize("name", PAGES)
def test_what_was_written_between_position_and_data_is_shown_once(server: Server, page: Page, name: str) -> None:
    until_clients(server, 0)
    server.post("/forget")
    for title in ("a", "b"):
        write(server, name, title)
    page.goto(f"{server.url}/pages/{name}{'&' if '?' in name else '?'}early=true")
    until_clients(server, 1)
    write(server, name, "c")
    expect(page.locator("ul li")).to_have_text(["a", "b", "c"])


@pytest.mark.parametrize("name", PAGES)
def test_an_element_that_comes_again_takes_its_own_place(server: Server, page: Page, name: str) -> None:
    open_page(page, server, name)
    write(server, name, "once")
    expect(page.locator("ul li")).to_have_text(["once"])
    server.post("/again", params={"id": "todo-1", "title": "changed"})
    expect(page.locator("ul li")).to_have_text(["changed"])


def until_refused(server: Server) -> None:
    deadline = time.monotonic() + 20
    while server.get("/refusals").json():
        assert time.monotonic() < deadline, "it doesn't ask again"
        time.sleep(0.01)


PASSING = [[502, 429], [503]]
HOPELESS = [[401], [200]]
"""A login that has ended: said so, and as the page to log in that a redirect led to."""
REFUSED = [("htmx 4", statuses) for statuses in PASSING + HOPELESS] + [
    *(("htmx 2", statuses) for statuses in PASSING + HOPELESS),
    *((name, statuses) for name in ("Turbo", *DATA_PAGES) for statuses in PASSING),
]


@pytest.mark.parametrize(("name", "statuses"), REFUSED)
def test_a_page_that_is_refused_at_first_is_not_defaced_and_gets_its_stream(
    server: Server, page: Page, name: str, statuses: list[int]
) -> None:
    until_clients(server, 0)
    server.post("/forget")
    write(server, name, "before")
    server.post("/refuse", json=statuses)
    page.goto(server.url + DATA_PAGES.get(name, f"/pages/{name}"))
    until_refused(server)
    write(server, name, "meanwhile")
    expect(page.locator("ul li")).to_have_text(["before", "meanwhile"], timeout=20_000)
    assert "refused" not in page.locator("body").inner_text()
    write(server, name, "after")
    expect(page.locator("ul li")).to_have_text(["before", "meanwhile", "after"])


@pytest.mark.parametrize(("name", "statuses"), REFUSED)
def test_a_page_that_is_refused_when_it_comes_back_misses_nothing_and_shows_nothing_twice(
    server: Server, page: Page, name: str, statuses: list[int]
) -> None:
    open_page(page, server, name)
    write(server, name, "before")
    expect(page.locator("ul li")).to_have_text(["before"])
    server.post("/refuse", json=statuses)
    server.post("/disconnect-all")
    write(server, name, "meanwhile")
    until_refused(server)
    expect(page.locator("ul li")).to_have_text(["before", "meanwhile"], timeout=20_000)
    assert "refused" not in page.locator("body").inner_text()
    write(server, name, "after")
    expect(page.locator("ul li")).to_have_text(["before", "meanwhile", "after"])


def install(page: Page, server: Server, kind: str) -> None:
    """Have a service worker in this browser, for each page from now on."""
    page.goto(f"{server.url}/other")
    page.evaluate(
        "kind => navigator.serviceWorker.register(`/worker.js?kind=${kind}`).then(() => navigator.serviceWorker.ready)",
        kind,
    )


def until_it_has_passed_the_worker(page: Page, streams: int) -> None:
    page.wait_for_function(
        "async (streams) => +(await (await fetch('/count')).text()) === streams", arg=streams, timeout=10_000
    )


@pytest.mark.parametrize("name", [*PAGES, *DATA_PAGES])
def test_behind_a_service_worker_that_answers_nothing_is_missing_and_nothing_shown_twice(
    server: Server, page: Page, name: str
) -> None:
    install(page, server, "answers")
    open_page(page, server, name)
    items = page.locator("ul li")
    shown: list[str] = []
    for n in range(2):
        write(server, name, f"before {n}")
        expect(items).to_have_text([*shown, f"before {n}"])
        until_it_has_passed_the_worker(page, streams=n + 1)
        server.post("/disconnect-all")
        for title in (f"meanwhile {n}", f"and then {n}"):
            write(server, name, title)
        shown += [f"before {n}", f"meanwhile {n}", f"and then {n}"]
        expect(items).to_have_text(shown)


def hear_while_cut(server: Server, page: Page) -> list[str]:
    """What the native page hears when its line is cut between the first event and the second."""
    until_clients(server, 1)
    write(server, "React", "first")
    page.wait_for_function("heard.length === 1")
    server.post("/disconnect-all", params={"then": "second"})
    until_clients(server, 1)
    write(server, "React", "third")
    page.wait_for_function("heard.at(-1) === 'third'")
    heard: list[str] = page.evaluate("heard")
    return heard


def test_a_service_worker_that_leaves_streams_alone_costs_an_event_source_nothing(server: Server, page: Page) -> None:
    until_clients(server, 0)
    install(page, server, "passes")
    page.goto(f"{server.url}/native")
    until_it_has_passed_the_worker(page, streams=1)
    assert hear_while_cut(server, page) == ["first", "second", "third"]


def test_a_service_worker_that_answers_streams_costs_an_event_source_what_came_meanwhile(
    server: Server, page: Page
) -> None:
    """What the documentation warns of. When a browser fails this test, it sends the id, and the warning may go."""
    until_clients(server, 0)
    install(page, server, "answers")
    page.goto(f"{server.url}/native")
    assert hear_while_cut(server, page) == ["first", "third"]


def test_an_event_source_that_begins_at_the_page_hears_all_again_behind_a_worker_that_answers(
    server: Server, page: Page
) -> None:
    """Not less than all: the browser says nothing of what it has, so nobody else could know what it misses."""
    until_clients(server, 0)
    install(page, server, "answers")
    page.goto(f"{server.url}/native?starts=true")
    assert hear_while_cut(server, page) == ["first", "first", "second", "third"]


@pytest.mark.parametrize("name", ["htmx 4", "htmx 2"])
def test_htmx_goes_at_the_event_that_its_page_names(server: Server, page: Page, name: str) -> None:
    open_page(page, server, f"{name}?closes=true")
    server.post("/end")
    until_clients(server, 0)


def test_turbo_stays_away_when_it_is_told_to(server: Server, page: Page) -> None:
    open_page(page, server, "Turbo?plain=true")
    server.post("/disconnect-all", params={"stop": True})
    page.wait_for_function(
        "document.querySelector('turbo-stream-source').streamSource.readyState === EventSource.CLOSED"
    )
    until_clients(server, 0)


def test_the_hook_for_react_hears_its_stream_and_closes_it(server: Server, page: Page) -> None:
    until_clients(server, 0)
    page.goto(f"{server.url}/react/hook")
    until_clients(server, 1)
    for title in (HOSTILE, "second"):
        server.post("/json", params={"title": title})
    expect(page.locator("li")).to_have_text([HOSTILE, "second"])
    assert json.loads(page.locator("output").inner_text()) == ["json.added", "json.added"]
    assert page.title() == "quiet"
    page.locator("button").click()
    until_clients(server, 0)


SHOW = """
const show = (items) => document.querySelector("ul").replaceChildren(...items.map(({ text }) => {
  const item = document.createElement("li");
  item.textContent = text;
  return item;
}));
"""

HOOK_PAGE = """
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { useLive } from "./recipe.jsx";

function Todos() {
  const [since, setSince] = useState();
  const [heard, setHeard] = useState([]);
  const begin = (now) => setSince((first) => first ?? now);
  useEffect(() => void fetch("/position").then((answer) => answer.json()).then(begin), []);
  useLive("/json", "json.*", since, (data, message) => setHeard((all) => [...all, [data.title, message.topic]]));
  return <>
    <ul>{heard.map(([title], n) => <li key={n}>{title}</li>)}</ul>
    <output>{JSON.stringify(heard.map(([, topic]) => topic))}</output>
  </>;
}

function Page() {
  const [isOpen, setIsOpen] = useState(true);
  return <><button onClick={() => setIsOpen(false)}>close</button>{isOpen && <Todos />}</>;
}

createRoot(document.querySelector("main")).render(<StrictMode><Page /></StrictMode>);
"""

ITEMS_PAGE = """
import { StrictMode, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { Items } from "./recipe.jsx";

function Pages() {
  const [path, setPath] = useState(location.pathname);
  const go = () => {
    history.pushState(null, "", "/other");
    setPath("/other");
  };
  useEffect(() => addEventListener("popstate", () => setPath(location.pathname)), []);
  return path === "/other" ? <h1>Another page</h1> : <><Items /><button onClick={go}>on</button></>;
}

createRoot(document.querySelector("main")).render(<StrictMode><Pages /></StrictMode>);
"""
