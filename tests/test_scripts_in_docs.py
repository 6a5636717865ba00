"""Scripts of the documentation that have no application beside them, as they stand there, in a page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from nitro.testing.conformance import eventually
from tests.documents import Document
from tests.run_reading import start_run
from tests.servers import Server

RUNS_BLOCKS = {
    "docs/how-to/access.md": ["FastAPI: js", "FastAPI, with a token: js"],
    "docs/how-to/frontends.md": ["In the browser: js", "Following a run: js"],
    "js/README.md": ["js", "ts"],
}
ACCESS, FRONTENDS = Document("docs/how-to/access.md"), Document("docs/how-to/frontends.md")
PACKAGE = Document("js/README.md")
CONNECT = 'import { connect } from "/nitro/client.js";\n'
QUICK = {"NITRO_PRESENCE_LEAVE_SECONDS": "0.2", "NITRO_HEARTBEAT_SECONDS": "0.5"}
ANSWER = "You want to know: why"
LEFT_TO_THE_PAGE = """() => {
    window.told = {};
    for (const name of ["append", "badge", "finish", "render", "show", "warn"]) {
        told[name] = [];
        window[name] = (...values) => { told[name].push(values); };
    }
}"""
"""What the scripts call of an application's own."""

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    url = f"sqlite:///{tmp_path_factory.mktemp('scripts') / 'todos.db'}"
    with Server("tests.apps.scripts_in_docs:app", environment={"NITRO_DB_URL": url, **QUICK}) as started:
        yield started
    assert "Traceback" not in started.output, started.output


def run(page: Page, server: Server, script: str) -> None:
    """Run it as a module of an empty page, to its last line."""
    page.goto(f"{server.url}/page")
    page.evaluate(LEFT_TO_THE_PAGE)
    page.add_script_tag(content=f"{script}\nwindow.isDone = true", type="module")
    page.wait_for_function("window.isDone")


def until_members(server: Server, *wanted: str) -> None:
    eventually(lambda: server.get("/members").json() == list(wanted), f"{wanted} are there")


def test_the_page_with_the_browser_client_is_told_of_its_state(page: Page, server: Server) -> None:
    run(page, server, FRONTENDS.the("js", "In the browser").source)
    page.wait_for_function("told.badge.length > 0")
    assert page.evaluate("told.badge") == [["closed"]]


def test_a_run_is_followed_to_its_end_and_cancelled(page: Page, server: Server) -> None:
    script = FRONTENDS.the("js", "Following a run").source
    run(page, server, f"const id = '{start_run(server.url, '/answers', question='why')}';\n{script}")
    page.wait_for_function("told.finish.length > 0")
    assert "".join(item for (item,) in page.evaluate("told.append")) == f"{ANSWER} "
    assert page.evaluate("told.finish") == [["done", None]]
    run(page, server, f"const id = '{start_run(server.url, '/answers', question='why ' * 100)}';\n{script}")
    page.wait_for_function("told.append.length > 0")
    page.get_by_role("button").click()
    page.wait_for_function("told.finish.length > 0")
    assert page.evaluate("told.finish") == [["cancelled", None]]
    run(page, server, f"const id = 'nobodys';\n{script}")
    page.wait_for_function("told.warn.length > 0")
    assert page.evaluate("told.warn") == [["The server answered 404."]]


def test_a_page_asks_for_a_part_of_what_it_may_hear(page: Page, server: Server) -> None:
    until_members(server)
    run(page, server, ACCESS.the("js", "FastAPI").source)
    until_members(server, "ann")
    page.goto("about:blank")
    until_members(server)


def test_a_page_sends_its_token(page: Page, server: Server) -> None:
    until_members(server)
    script = ACCESS.the("js", "FastAPI, with a token").source
    run(page, server, f"{CONNECT}const token = () => 'bob';\n{script}")
    until_members(server, "bob")
    page.goto("about:blank")
    until_members(server)


def test_the_scripts_of_the_package_hear_see_and_follow(page: Page, server: Server) -> None:
    blocks = [block.source for block in PACKAGE.blocks if block.language in ("js", "ts")]
    id = start_run(server.url, "/answers", question="why")
    write = 'const response = await fetch("/todos?title=Milk", { method: "POST" });'
    run(page, server, f"const id = '{id}';\n{write}\n{''.join(blocks)}")
    until_members(server, "ann")
    page.wait_for_function("told.render.length > 0 && told.show.length > 0 && told.finish.length > 0")
    assert page.evaluate("told.render.at(-1)[0].map(({ title }) => title)") == ["Milk"]
    assert page.evaluate("told.show.at(-1)") == [["Ann"], 1]
    assert page.evaluate("told.finish") == [["done"]]
    with page.expect_console_message(lambda message: message.text == "Bread"):
        server.post("/todos?title=Bread")
