"""Collections in Chromium against a real server: the rows of a live query, in each tab, whatever happens in between."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from nitro.testing.conformance import eventually
from tests.documents import ROOT, Document
from tests.servers import Server
from tests.tabs import crash, kill_workers, wait_for
from tests.test_browser_client import QUICK, WITHOUT_LOCKS, WITHOUT_WORKER

pytestmark = pytest.mark.browser
RUNS_BLOCKS = {"docs/how-to/live.md": ["In the browser: js", "In the browser: jsx"]}
APP = "tests.apps.collections:app"
EACH_WAY = pytest.mark.parametrize("way", ["worker", "leader", "alone"])
SHARED = pytest.mark.parametrize("way", ["worker", "leader"])
NODE_MODULES = ROOT / "js/node_modules"
PATIENT = {"NITRO_HEARTBEAT_SECONDS": "5"}  # or a busy machine is taken for a server that is gone
HOSTILE = "<img src=x onerror=document.title='taken'>"


def started(directory: Path, *, remembers: bool = True, port: int | None = None, **environment: str) -> Server:
    """A server whose rows are in a file there, and whose log is beside them, or is lost with its process."""
    url = f"sqlite:///{directory / 'rows.db'}"
    log = {"NITRO_BROKER_URL": url} if remembers else {}
    return Server(APP, environment={**QUICK, **PATIENT, "NITRO_DB_URL": url, **log, **environment}, port=port)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipes of the documentation, each with the page that uses it."""
    made = tmp_path_factory.mktemp("built")
    esbuild = shutil.which("esbuild", path=NODE_MODULES / ".bin")
    if esbuild is None or not (NODE_MODULES / "@tanstack/db").exists():
        pytest.skip(f"NO LIBRARIES: {NODE_MODULES / '@tanstack/db'} is missing; run `npm ci` in js/")
    documented = Document("docs/how-to/live.md")
    dom, _, tanstack = documented.all("js", "In the browser")
    react = documented.the("jsx", "In the browser")
    recipes = {"dom": (dom, dom.source), "react": (react, REACT_PAGE), "tanstack": (tanstack, TANSTACK_PAGE)}
    for name, (block, page) in recipes.items():
        (made / f"{name}-recipe.jsx").write_text(block.source)
        (made / f"{name}-page.jsx").write_text(page)
        command = [esbuild, f"{name}-page.jsx", "--bundle", "--format=esm", "--jsx=automatic", f"--outfile={name}.js"]
        aliases = [f"--alias:nitro-realtime/collection={ROOT / 'js/src/collection.ts'}", "--external:/nitro/*"]
        subprocess.run(
            [*command, *aliases],
            cwd=made,
            env={"NODE_PATH": str(NODE_MODULES)},
            check=True,
            timeout=60,
        )
    return made


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(tmp_path_factory.mktemp("rows"), BUILT=str(tmp_path_factory.getbasetemp())) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Server:
    """One without clients and rows."""
    eventually(lambda: clients(shared_server) == 0, "those of the test before are gone")
    titles = shared_server.get("/ids").json()
    write(shared_server, [{"id": id, "title": None} for id in titles])
    return shared_server


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


def write(server: Server, *commits: list[dict[str, Any]]) -> str:
    """Commit each; the position up to which they are in the log."""
    return server.post("/write", json=commits).headers["nitro-position"]


def todo(id: str, rank: int, title: str | None = None, **others: object) -> dict[str, Any]:
    return {"id": id, "title": title or id, "rank": rank, **others}


def clients(server: Server) -> int:
    return int(server.get("/state").json()["clients"])


def streams(server: Server) -> list[str]:
    """The requests for rows, without probes."""
    return [query for query in server.get("/state").json()["asked"] if "probe" not in query]


def open_tab(context: BrowserContext, server: Server, path: str = "/page") -> Page:
    tab = context.new_page()
    tab.goto(server.url + path)
    wait_for(tab, "window.todos?.state === 'live'")
    return tab


def shows(tab: Page, *titles: str) -> None:
    """Wait until it has these rows, in this order."""
    wait_for(tab, f"window.titles?.() === {','.join(titles)!r}")
    assert tab.evaluate("errors") == []


@EACH_WAY
def test_a_list_stays_right_when_rows_come_change_move_and_leave(
    context: BrowserContext, server: Server, way: str
) -> None:
    write(server, [todo("b", 2), todo("a", 1), todo("other", 0, owner_id=2)])
    tab = open_tab(context, server)
    shows(tab, "a", "b")
    write(server, [todo("c", 0)])
    shows(tab, "c", "a", "b")
    write(server, [todo("a", 9, "moved")])
    shows(tab, "c", "b", "moved")
    write(server, [{"id": "b", "owner_id": 2}])
    shows(tab, "c", "moved")
    write(server, [{"id": "other", "owner_id": 1}])
    wait_for(tab, "todos.size === 3")
    write(server, [{"id": "c", "title": None}])
    shows(tab, "other", "moved")
    changes = [["insert a", "insert b"], ["insert c"], ["update a"], ["delete b"], ["insert other"], ["delete c"]]
    assert [sorted(told) for told in tab.evaluate("changes")] == changes
    assert tab.evaluate("states") == ["live"]


def test_one_commit_of_several_rows_is_one_change(context: BrowserContext, server: Server) -> None:
    write(server, [todo("a", 1), todo("b", 2), todo("c", 3)])
    tab = open_tab(context, server)
    tab.evaluate("window.before = todos.rows")
    write(server, [todo("b", 5), {"id": "a", "title": None}, todo("d", 4)])
    shows(tab, "c", "d", "b")
    assert sorted(tab.evaluate("changes.at(-1)")) == ["delete a", "insert d", "update b"]
    assert tab.evaluate("changes.length") == 2
    assert tab.evaluate("before.map(({ id }) => id).join('')") == "abc"
    assert tab.evaluate("before[2] === todos.rows[0] && before[2] === todos.get('c') && Object.isFrozen(todos.rows)")


def test_rows_that_come_in_many_parts_are_shown_at_once(context: BrowserContext, server: Server) -> None:
    write(server, [todo(f"row {n}", n, "x" * 400) for n in range(900)])
    tab = open_tab(context, server)
    assert tab.evaluate("changes.map((told) => told.length)") == [900]
    assert set(tab.evaluate("frames")) <= {0, 900}


def test_a_window_slides(context: BrowserContext, server: Server) -> None:
    write(server, [todo(name, rank) for rank, name in enumerate("abcde")])
    tab = open_tab(context, server, "/page?url=/todos/first")
    shows(tab, "a", "b", "c")
    write(server, [{"id": "b", "title": None}])
    shows(tab, "a", "c", "d")
    write(server, [todo("first", -1)])
    shows(tab, "first", "a", "c")


@SHARED
def test_a_tab_that_comes_later_has_the_same_rows_by_the_same_stream(
    context: BrowserContext, server: Server, way: str
) -> None:
    write(server, [todo("a", 1), todo("b", 2)])
    first = open_tab(context, server)
    write(server, [todo("c", 3)], [{"id": "a", "title": None}])
    shows(first, "b", "c")
    told = first.evaluate("changes.length")
    asked = len(streams(server))
    second = open_tab(context, server)
    shows(second, "b", "c")
    assert len(streams(server)) == asked, "what the first had got was given to the second"
    write(server, [todo("d", 4)])
    for tab in (first, second):
        shows(tab, "b", "c", "d")
    eventually(lambda: clients(server) == 1, "one connection for all")
    assert first.evaluate("changes.length") == told + 1


@SHARED
def test_a_tab_that_comes_much_later_has_all_rows_read_anew_for_all(
    context: BrowserContext, server: Server, way: str
) -> None:
    write(server, [todo("a", 1)])
    first = open_tab(context, server)
    write(server, *[[todo("b", n)] for n in range(2, 302)])
    shows(first, "a", "b")
    wait_for(first, "todos.get('b').rank === 301")
    told = first.evaluate("changes.length")
    second = open_tab(context, server)
    shows(second, "a", "b")
    assert streams(server)[-1].endswith("last_event_id=snapshot-0")
    write(server, [todo("c", 400)])
    for tab in (first, second):
        shows(tab, "a", "b", "c")
    eventually(lambda: clients(server) == 1, "one connection for all")
    assert first.evaluate("changes.length") == told + 1, "for the first nothing has changed"
    assert set(first.evaluate("states")) == {"live"}


@SHARED
@pytest.mark.parametrize("end", ["is closed", "crashes"])
def test_the_tab_that_came_first_goes_and_the_others_have_their_rows(
    context: BrowserContext, server: Server, way: str, end: str
) -> None:
    write(server, [todo("a", 1)])
    first, second, third = [open_tab(context, server) for _ in range(3)]
    if end == "crashes":
        crash(first)
    else:
        first.close()
    write(server, [todo("b", 2)], [{"id": "a", "title": None}], [todo("c", 3)])
    for tab in (second, third):
        shows(tab, "b", "c")
        assert 0 not in tab.evaluate("frames.slice(frames.findIndex((size) => size > 0))")
    late = open_tab(context, server)
    shows(late, "b", "c")
    eventually(lambda: clients(server) == 1, "one connection")


def test_a_worker_that_is_killed_takes_no_row_with_it(
    browser: Browser, context: BrowserContext, server: Server
) -> None:
    write(server, [todo("a", 1)])
    tabs = [open_tab(context, server) for _ in range(2)]
    assert kill_workers(browser) >= 1
    write(server, [todo("b", 2)])
    for tab in tabs:
        shows(tab, "a", "b")
        assert tab.evaluate("changes.length") == 2, "it has read on from where it was"
    shows(open_tab(context, server), "a", "b")
    eventually(lambda: clients(server) == 1, "one connection")


@EACH_WAY
def test_a_page_that_is_reloaded_begins_with_all_rows(context: BrowserContext, server: Server, way: str) -> None:
    write(server, [todo("a", 1), todo("b", 2)])
    tab = open_tab(context, server)
    write(server, [todo("c", 3)])
    shows(tab, "a", "b", "c")
    tab.reload()
    shows(tab, "a", "b", "c")
    tab.goto("about:blank")
    write(server, [{"id": "b", "title": None}])
    tab.go_back()
    shows(tab, "a", "c")


@EACH_WAY
def test_a_page_that_comes_back_from_the_browsers_cache_has_its_rows_and_what_it_missed(
    context: BrowserContext, server: Server, way: str
) -> None:
    """It is told that it goes, and comes back, as the browser tells it; Playwright can't follow a real one."""
    write(server, [todo("a", 1), todo("b", 2)])
    tab = open_tab(context, server)
    tab.evaluate("window.row = todos.get('a')")
    tab.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    eventually(lambda: clients(server) == 0, "its stream is closed", 10)
    write(server, [todo("c", 3)], [{"id": "b", "title": None}])
    assert tab.evaluate("titles()") == "a,b"
    tab.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    shows(tab, "a", "c")
    assert tab.evaluate("row === todos.get('a')")
    assert "snapshot" not in streams(server)[-1]
    assert tab.evaluate("changes.length") == 3


@EACH_WAY
def test_a_server_that_starts_again_is_resumed_from_and_the_rows_are_kept(
    context: BrowserContext, tmp_path: Path, way: str
) -> None:
    with started(tmp_path) as server:
        write(server, [todo("a", 1), todo("b", 2)])
        tab = open_tab(context, server)
        tab.evaluate("window.row = todos.get('a')")
        server.end(signal.SIGTERM)
        wait_for(tab, "todos.state === 'waiting'")
        assert tab.evaluate("titles()") == "a,b"
        with started(tmp_path, port=server.port) as again:
            write(again, [{"id": "b", "title": None}, todo("c", 3)])
            shows(tab, "a", "c")
            wait_for(tab, "todos.state === 'live'")
            assert "last_event_id" in streams(again)[0]
            assert "snapshot" not in streams(again)[0]
            assert sorted(tab.evaluate("changes.at(-1)")) == ["delete b", "insert c"]
            assert tab.evaluate("row === todos.get('a')")
            assert tab.evaluate("changes.length") == 2
            assert tab.evaluate("states") == ["live", "waiting", "live"]


@SHARED
def test_a_log_that_is_lost_swaps_the_rows_without_an_empty_frame(
    context: BrowserContext, tmp_path: Path, way: str
) -> None:
    with started(tmp_path, remembers=False) as server:
        write(server, [todo("a", 1), todo("b", 2), todo("c", 3)])
        tabs = [open_tab(context, server) for _ in range(2)]
        for tab in tabs:
            shows(tab, "a", "b", "c")
            tab.evaluate(
                "window.row = todos.get('a'); window.lost = todos.position; window.waits = todos.reached(lost)"
            )
        server.kill()
        with closing(sqlite3.connect(tmp_path / "rows.db")) as database, database:
            database.execute("DELETE FROM collectedtodo WHERE id = 'b'")
            database.execute("UPDATE collectedtodo SET title = 'see' WHERE id = 'c'")
            database.execute("INSERT INTO collectedtodo (id, owner_id, title, rank) VALUES ('d', 1, 'd', 4)")
        with started(tmp_path, remembers=False, port=server.port) as again:
            for tab in tabs:
                shows(tab, "a", "see", "d")
                assert sorted(tab.evaluate("changes.at(-1)")) == ["delete b", "insert d", "update c"]
                assert tab.evaluate("changes.length") == 2
                assert tab.evaluate("row === todos.get('a')")
                tab.evaluate("todos.reached(lost)")
            tab = tabs[-1]  # which is in front
            assert 0 not in tab.evaluate("frames.slice(frames.findIndex((size) => size > 0))")
            write(again, [todo("e", 5)])
            for tab in tabs:
                shows(tab, "a", "see", "d", "e")
            assert clients(again) == 1


def test_a_position_is_reached_with_what_was_written_and_with_what_is_nobodys_here(
    context: BrowserContext, server: Server
) -> None:
    tab = open_tab(context, server)
    written = """async (row) => {
      const position = await write([row]);
      await todos.reached(position);
      return [titles(), position];
    }"""
    assert tab.evaluate(written, todo("a", 1))[0] == "a"
    titles, position = tab.evaluate(written, todo("others", 1, owner_id=2))
    assert titles == "a", "the log's head came with a heartbeat"
    assert tab.evaluate("todos.position") == position
    assert tab.evaluate(written, {"id": "others", "owner_id": 1})[0] == "a,others"
    assert tab.evaluate("todos.reached(null).then(() => 'at once')") == "at once"
    assert tab.evaluate("todos.reached('rubbish').catch(({ name }) => name)") == "TypeError"


def test_for_a_position_of_a_log_that_nobody_knows_all_rows_are_read_anew(
    context: BrowserContext, server: Server
) -> None:
    write(server, [todo("a", 1)])
    tabs = [open_tab(context, server) for _ in range(2)]
    told = [tab.evaluate("changes.length") for tab in tabs]
    tabs[0].evaluate("todos.reached('deadbeef-7.000000')")
    assert streams(server)[-1].endswith("last_event_id=snapshot-1")
    write(server, [todo("b", 2)])
    for tab, before in zip(tabs, told, strict=True):
        shows(tab, "a", "b")
        assert tab.evaluate("changes.length") == before + 1
    eventually(lambda: clients(server) == 1, "one connection for all")


def test_a_collection_that_is_refused_is_closed_and_says_why(context: BrowserContext, server: Server) -> None:
    tab = context.new_page()
    tab.goto(server.url + "/page?url=/nowhere")
    wait_for(tab, "window.todos?.state === 'closed'")
    assert tab.evaluate("todos.error.status") == 404
    assert tab.evaluate("todos.ready.catch(({ message }) => message)") == "The server answered 404."
    tab.close()
    tab = open_tab(context, server)
    tab.evaluate("todos.close()")
    eventually(lambda: clients(server) == 0, "nothing is held")
    assert tab.evaluate("states") == ["live", "closed"]


def test_the_recipe_for_decimals_sorts_them_as_numbers(context: BrowserContext, tmp_path: Path) -> None:
    _, recipe, _ = Document("docs/how-to/live.md").all("js", "In the browser")
    with started(tmp_path) as server:
        for price in ("9.00", "100.00", "10.00", "0.50"):
            server.post("/orders", params={"price": price})
        tab = open_tab(context, server)
        begin = "const { collection } = await import('/nitro/collection.js');"
        tab.evaluate(f"(async () => {{ {begin} {recipe.source} window.orders = orders; await orders.ready; }})()")
        assert tab.evaluate("orders.rows.map(({ price }) => price)") == ["0.50", "9.00", "10.00", "100.00"]
        tab.goto("about:blank")


@pytest.fixture
def recipe_server(built: Path, tmp_path: Path) -> Iterator[Server]:
    with started(tmp_path, BUILT=str(built)) as server:
        yield server


def test_the_recipe_for_plain_pages(recipe_server: Server, page: Page) -> None:
    write(recipe_server, [todo("b", 2, HOSTILE), todo("a", 1)])
    page.goto(recipe_server.url + "/built/dom")
    expect(page.locator("li")).to_have_text(["a", HOSTILE])
    write(recipe_server, [{"id": "a", "title": None}, todo("c", 3)])
    expect(page.locator("li")).to_have_text([HOSTILE, "c"])
    assert page.title() == "quiet"


def test_the_recipe_for_react_renders_once_for_a_commit(recipe_server: Server, page: Page) -> None:
    write(recipe_server, [todo("b", 2), todo("a", 1)])
    page.goto(recipe_server.url + "/built/react")
    expect(page.locator("li")).to_have_text(["a", "b"])
    before = page.evaluate("rendered.length")
    write(recipe_server, [{"id": "a", "title": None}, todo("c", 3), todo("d", 4)])
    expect(page.locator("li")).to_have_text(["b", "c", "d"])
    assert page.evaluate("rendered.slice(-1)") == ["b,c,d"]
    assert set(page.evaluate(f"rendered.slice({before})")) == {"b,c,d"}


def test_the_recipe_for_tanstack_db_syncs_queries_and_takes_back_what_is_refused(
    recipe_server: Server, page: Page
) -> None:
    write(recipe_server, [todo("b", 2), todo("a", 1)])
    page.goto(recipe_server.url + "/built/tanstack")
    wait_for(page, "window.todos?.status === 'ready'")
    ids = "[...query.toArray].map(({ id }) => id).join()"
    wait_for(page, f"{ids} === 'b'")  # those with a rank above 1
    write(recipe_server, [{"id": "a", "rank": 7}, todo("c", 3), todo("d", 0)])
    wait_for(page, f"{ids} === 'b,c,a'")
    write(recipe_server, [{"id": "b", "title": None}])
    wait_for(page, f"{ids} === 'c,a'")
    optimistic = """async ([id, title]) => {
      const insertion = todos.insert({ id, owner_id: 1, title, rank: 9 });
      const atOnce = todos.has(id);
      const end = await insertion.isPersisted.promise.then(() => "kept", () => "taken back");
      return [atOnce, end, todos.has(id)];
    }"""
    assert page.evaluate(optimistic, ["e", "e"]) == [True, "kept", True]
    wait_for(page, f"{ids} === 'c,a,e'")
    assert page.evaluate(optimistic, ["f", "refused"]) == [True, "taken back", False]
    assert "e" in recipe_server.get("/todos").json()
    page.evaluate("todos.cleanup()")
    eventually(lambda: clients(recipe_server) == 0, "its stream is closed")


REACT_PAGE = """
import { StrictMode, Profiler } from "react";
import { createRoot } from "react-dom/client";
import { Todos } from "./react-recipe.jsx";

window.rendered = [];
const note = () => rendered.push([...document.querySelectorAll("li")].map((item) => item.textContent).join());
const root = createRoot(document.querySelector("main"));
root.render(<StrictMode><Profiler id="todos" onRender={() => queueMicrotask(note)}><Todos /></Profiler></StrictMode>);
"""
TANSTACK_PAGE = """
import { createCollection, createLiveQueryCollection, gt } from "@tanstack/db";
import { liveOptions } from "./tanstack-recipe.jsx";

const insert = (row) => fetch("/todos", { method: "POST", body: JSON.stringify(row) });
window.todos = createCollection({ ...liveOptions("/todos/live", { key: "id", insert }), startSync: true });
window.query = createLiveQueryCollection({
  startSync: true,
  query: (q) => q.from({ todo: todos }).where(({ todo }) => gt(todo.rank, 1)).orderBy(({ todo }) => todo.rank),
});
"""
