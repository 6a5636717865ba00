"""The recipes for other libraries, as they stand in the documentation, in a browser: live, resumed, told of gaps."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.apps.frontends import LIBRARIES, NODE_MODULES, library, recipe
from tests.servers import ROOT, Server

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=\"document.title='owned'\"></template></li><script>document.title='owned'</script>"
ODD = "\x0b\x85\u2028 {} \\ \"'&amp;\n\nid: 0\n\ndata: <b>"

PAGES = {
    "htmx 4": "/todos",
    "htmx 2": "/todos",
    "htmx 2?unnamed=true": "/todos",
    "Turbo": "/streams",
}
"""The page of each recipe, and where a title is posted that it shows."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def server(bundles: Path) -> Iterator[Server]:
    missing = [path for path in map(library, LIBRARIES) if not path.exists()]
    if missing:
        pytest.skip(f"NO FRONTEND LIBRARIES: {missing[0]} is missing; run `npm ci` in js/ to run this test")
    environment = {"NITRO_RETRY_MILLISECONDS": "100", "NITRO_BUNDLES": str(bundles)}
    with Server("tests.apps.frontends:app", environment=environment) as started:
        yield started
    assert "Traceback" not in started.output, started.output


def open_page(page: Page, server: Server, name: str) -> None:
    """Show the page, and wait until the server has its stream."""
    until_clients(server, 0)
    page.goto(f"{server.url}/pages/{name}")
    until_clients(server, 1)


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
    page.goto(f"{server.url}/pages/{name}{'&' if '?' in name else '?'}lost=true")
    expect(page.locator("output")).to_have_text("again")
    until_clients(server, 1)
    server.post(PAGES[name], params={"title": "heard"})
    expect(page.locator("ul li")).to_have_text(["heard"])


@pytest.mark.parametrize("name", ["htmx 4", "htmx 2"])
def test_htmx_goes_at_the_event_that_its_page_names(server: Server, page: Page, name: str) -> None:
    open_page(page, server, f"{name}?closes=true")
    server.post("/end")
    until_clients(server, 0)


def test_turbo_stays_away_when_it_is_told_to(server: Server, page: Page) -> None:
    open_page(page, server, "Turbo")
    server.post("/disconnect-all", params={"stop": True})
    page.wait_for_function("streamSource.readyState === EventSource.CLOSED")
    until_clients(server, 0)


def test_the_hook_for_react_hears_its_stream_and_closes_it(server: Server, page: Page, bundles: Path) -> None:
    if not (NODE_MODULES / "react-dom").exists():
        pytest.skip(f"NO REACT: {NODE_MODULES / 'react-dom'} is missing; run `npm ci` in js/ to run this test")
    (bundles / "hook.jsx").write_text(recipe("React", "jsx"))
    (bundles / "react.jsx").write_text(REACT_PAGE)
    esbuild = shutil.which("esbuild", path=NODE_MODULES / ".bin")
    assert esbuild is not None
    subprocess.run(
        [
            *(esbuild, "react.jsx", "--bundle", "--format=esm", "--jsx=automatic", "--outfile=react.js"),
            f"--alias:nitro-realtime={ROOT / 'js/src/index.ts'}",
        ],
        cwd=bundles,
        env={"NODE_PATH": str(NODE_MODULES)},
        check=True,
        capture_output=True,
        timeout=60,
    )
    until_clients(server, 0)
    page.goto(f"{server.url}/react")
    until_clients(server, 1)
    for title in (HOSTILE, "second"):
        server.post("/json", params={"title": title})
    expect(page.locator("li")).to_have_text([HOSTILE, "second"])
    assert json.loads(page.locator("output").inner_text()) == ["json.added", "json.added"]
    assert page.title() == "quiet"
    page.locator("button").click()
    until_clients(server, 0)


REACT_PAGE = """
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { useLive } from "./hook.jsx";

function Todos() {
  const [heard, setHeard] = useState([]);
  useLive("/json", "json.*", (data, message) => setHeard([...heard, [data.title, message.topic]]));
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
