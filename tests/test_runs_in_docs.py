"""Every block of `docs/how-to/runs.md` as it stands there: their application, its pages, and the rest."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from nitro import runs
from tests.documents import ROOT, Document
from tests.run_reading import RunReading, start_run
from tests.servers import Server, wait_for

NPM = ROOT / "tests/npm"
PAGE = Document("docs/how-to/runs.md")
RUNS_BLOCKS = {
    "docs/how-to/runs.md": [
        "python",
        "text",
        "A run: html",
        "Several tabs and a stop button: html",
        "An import with a bar: html",
        "LangGraph: js",
    ]
}
FIRST, RECIPES = "A run", "Recipes"


@pytest.fixture(scope="module")
def model() -> Iterator[Server]:
    with Server("tests.apps.model:app") as server:
        yield server
    assert "Traceback" not in server.output, server.output


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first example's page is, and the database."""
    directory = tmp_path_factory.mktemp("runs")
    (directory / "run.html").write_text(PAGE.the("html", FIRST).source)
    return directory


@pytest.fixture(scope="module")
def options(model: Server, directory: Path) -> dict[str, Any]:
    """Of a server of the examples."""
    environment = {"MODEL_URL": f"{model.url}/v1", "MODEL_KEY": "a key", "NITRO_RETRY_MILLISECONDS": "100"}
    environment["NITRO_DB_URL"] = f"sqlite:///{directory / 'reports.db'}"
    return {"app": "tests.apps.runs_in_docs:app", "directory": directory, "environment": environment}


@pytest.fixture(scope="module")
def server(options: dict[str, Any]) -> Iterator[Server]:
    with Server(**options) as server:
        yield server
    assert "Traceback" not in server.output, server.output


@pytest.mark.usefixtures("hub")
def test_what_is_part_of_no_recipe_runs_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    first, *others = [block for block in PAGE.all("python") if RECIPES not in block.path]
    assert first.heading == FIRST
    headings = [block.heading for block in others]
    assert headings == [
        "What is promised",
        "What happens when something dies",
        "Going on in another worker",
        "Threads, workers and other programs",
        "Reading in Python",
        "Listing and cancelling",
    ]

    async def scenario() -> None:
        names: dict[str, Any] = {"__name__": "runs_in_docs_too"}
        await PAGE.run_async(first, names)
        blocks = dict(zip(headings, others, strict=True))
        await PAGE.run_async(blocks["What is promised"], names)
        await PAGE.run_async(blocks["What happens when something dies"], names)
        async with names["lifespan"](names["app"]):
            pass
        await PAGE.run_async(blocks["Going on in another worker"], names)
        counted = runs.open(await names["start_counting"]())
        assert await counted.result() == list(range(1_000))
        await PAGE.run_async(blocks["Threads, workers and other programs"], names)
        assert await runs.open(names["run"].id).result() == [{"page": n} for n in (1, 2, 3)]
        names["id"] = names["run"].id
        await PAGE.run_async(blocks["Reading in Python"], names)
        assert names["everything"] == [{"page": n} for n in (1, 2, 3)]
        running = await runs.start(names["answer"]("slowly " * 100), user_id="ann", data="mine")
        names["id"] = running.id
        await PAGE.run_async(blocks["Listing and cancelling"], names)
        assert names["response"].status_code == 200
        assert (await running.info()).state == "cancelled"
        printed = capsys.readouterr().out
        assert f"{running.id} running 0 mine" in printed

    asyncio.run(scenario())


def read(server: Server, id: str, path: str = "/answers") -> RunReading:
    return RunReading(f"{path}/{id}").read(server.port)


@pytest.mark.browser
def test_the_first_page_shows_an_answer_over_a_reload_and_in_another_tab(server: Server, page: Page) -> None:
    page.goto(server.url)
    expect(page.locator("#words")).to_have_text(re.compile("You want"))
    second = page.context.new_page()
    page.reload()
    expect(page.locator("#words")).to_have_text(re.compile("^You want"))
    second.goto(page.url)
    for tab in (page, second):
        expect(tab.locator("#words")).to_have_text("You want to know: why (done)", use_inner_text=True)
    second.close()


@pytest.mark.browser
@pytest.mark.parametrize("status", [503, None])
def test_the_first_page_says_that_its_question_could_not_be_asked(
    server: Server, page: Page, status: int | None
) -> None:
    page.route("**/answers?*", lambda route: route.fulfill(status=status) if status else route.abort())
    page.goto(server.url)
    expect(page.locator("#words")).to_have_text("The question could not be asked: reload the page.")


@pytest.mark.browser
def test_a_page_whose_address_names_another_run_shows_that_one(server: Server, page: Page) -> None:
    first, second = (start_run(server.url, "/answers", question=question) for question in ("one", "two"))
    page.goto(f"{server.url}/#{first}")
    expect(page.locator("#words")).to_have_text("You want to know: one (done)")
    page.evaluate("(id) => (location.hash = id)", second)
    expect(page.locator("#words")).to_have_text("You want to know: two (done)")
    first, second = (server.post("/imports", content="row\n" * rows).json()["run"] for rows in (1, 2))
    page.goto(f"{server.url}/pages/An import with a bar#{first}")
    expect(page.locator("#bar")).to_have_js_property("max", 1)
    page.evaluate("(id) => (location.hash = id)", second)
    expect(page.locator("#bar")).to_have_js_property("max", 2)


@pytest.mark.browser
def test_pages_whose_runs_have_died_with_their_server_say_so(options: dict[str, Any], page: Page) -> None:
    report, imported = (page.context.new_page() for _ in range(2))
    question = " ".join(["again"] * 1_000)
    gone = "The server answered 404."
    with Server(**options) as first:
        page.context.add_cookies([{"name": "user", "value": "ann", "url": first.url}])
        httpx.post(f"{first.url}/reports", params={"about": question}, cookies={"user": "ann"})
        page.goto(f"{first.url}/#{start_run(first.url, '/answers', question=question)}")
        report.goto(f"{first.url}/pages/Several tabs and a stop button")
        for tab in (page, report):
            expect(tab.locator("#words")).to_have_text(re.compile("You want"))
        expect(report.locator("#cancel")).to_be_visible()
        id = first.post("/imports", content="row\n" * 100 + "slow").json()["run"]
        imported.goto(f"{first.url}/pages/An import with a bar#{id}")
        expect(imported.locator("#bar")).to_have_js_property("value", 100)
        first.kill()
    with Server(**options, port=first.port):
        for tab in (page, report):
            expect(tab.locator("#words")).to_have_text(re.compile(re.escape(f"({gone})") + "$"), timeout=20_000)
        expect(report.locator("#cancel")).to_be_hidden()
        expect(imported.locator("#state")).to_have_text(f"The import can't be followed. {gone}", timeout=20_000)
        for tab in (page, report, imported):
            tab.goto("about:blank")
    report.close()
    imported.close()


def test_the_lines_are_as_shown(server: Server) -> None:
    shown = PAGE.the("text")
    id = start_run(server.url, "/answers", question="why")
    body = re.sub(r"id: \w{14}\n", "id: …\n", httpx.get(f"{server.url}/answers/{id}").text)
    first, second, *rest = re.sub(r"id: \w{14}\n", "id: …\n", shown.source).split("\n\n")
    assert f"{first}\n\n{second}\n\n" in body
    assert body.endswith("\n\n".join(rest) + "\n")


@pytest.mark.parametrize(
    ("question", "items", "end"),
    [
        ("why is it salty", ["why ", "is ", "it ", "salty "], {"state": "done"}),
        ("busy", [], {"state": "failed", "reason": "the model is not available"}),
        ("is cut off", ["is ", "cut "], {"state": "failed", "reason": "the model's answer was cut off"}),
    ],
)
def test_tokens_of_a_model(server: Server, question: str, items: list[str], end: dict[str, str]) -> None:
    reading = read(server, start_run(server.url, "/models/answers", question=question))
    assert (reading.items, reading.end) == (items, end)


def test_a_cancelled_run_leaves_its_model(server: Server, model: Server) -> None:
    id = start_run(server.url, "/models/answers", question="a slow one")
    RunReading(f"/answers/{id}").read(server.port, most=2)
    assert httpx.delete(f"{server.url}/answers/{id}").status_code == 200
    wait_for(lambda: model.get("/left").json() == ["a slow one"])
    assert read(server, id).end == {"state": "cancelled"}


@pytest.mark.browser
def test_several_tabs_and_a_stop_button(server: Server, page: Page) -> None:
    page.context.add_cookies([{"name": "user", "value": "ann", "url": server.url}])
    question = " ".join(["again"] * 1_000)
    id = httpx.post(f"{server.url}/reports", params={"about": question}, cookies={"user": "ann"}).json()["run"]
    second = page.context.new_page()
    for tab in (page, second):
        tab.goto(f"{server.url}/pages/Several tabs and a stop button")
        expect(tab.locator("#about")).to_have_text(question)
        expect(tab.locator("#words")).to_have_text(re.compile("You want"))
    second.locator("#cancel").click()
    for tab in (page, second):
        expect(tab.locator("#cancel")).to_be_hidden()
    assert page.locator("#words").inner_text() == second.locator("#words").inner_text()
    assert httpx.get(f"{server.url}/reports/{id}", cookies={"user": "bob"}).status_code == 404
    assert httpx.get(f"{server.url}/reports", cookies={"user": "bob"}).json() == []
    (listed,) = httpx.get(f"{server.url}/reports", cookies={"user": "ann"}).json()
    assert listed == {"id": id, "state": "cancelled", "about": question}
    second.close()


@pytest.mark.browser
def test_a_page_of_reports_says_that_there_are_none_or_that_they_can_not_be_read(server: Server, page: Page) -> None:
    page.goto(f"{server.url}/pages/Several tabs and a stop button")
    expect(page.locator("#about")).to_have_text("The reports can't be read: reload the page.")
    page.context.add_cookies([{"name": "user", "value": "eve", "url": server.url}])
    page.reload()
    expect(page.locator("#about")).to_have_text("There is no report yet.")
    expect(page.locator("#cancel")).to_be_hidden()


def test_a_run_of_a_team_is_read_by_all_of_it_and_by_nobody_else(server: Server) -> None:
    started = httpx.post(f"{server.url}/team/reports", params={"about": "sales"}, cookies={"user": "ann"})
    path = f"{server.url}/team/reports/{started.json()['run']}"
    assert '"sales "' in httpx.get(path, cookies={"user": "bob"}).text
    assert httpx.get(path, cookies={"user": "cid"}).status_code == 404
    assert httpx.get(path, cookies={"user": "dan"}).status_code == 403


def test_a_result_is_in_the_database_when_its_run_is_done(server: Server, directory: Path) -> None:
    id = start_run(server.url, "/kept/reports", about="sales")
    assert read(server, id).end == {"state": "done"}
    with closing(sqlite3.connect(directory / "reports.db")) as database:
        assert database.execute("SELECT about, text FROM report").fetchall() == [("sales", "You want to know: sales ")]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("rows", "value", "said"),
    [
        (["row"] * 950, 950, "All rows are in."),
        (["row"] * 120 + ["wrong"], 100, "The import is failed: internal error."),
        (["wrong"], 0, "The import is failed: internal error."),
        ([], 1, "All rows are in."),
    ],
    ids=["rows", "a wrong row", "a wrong row at once", "an empty file"],
)
def test_an_import_with_a_bar(server: Server, page: Page, rows: list[str], value: int, said: str) -> None:
    before = server.get("/saved").json()
    id = server.post("/imports", content="\n".join(rows)).json()["run"]
    page.goto(f"{server.url}/pages/An import with a bar#{id}")
    expect(page.locator("#state")).to_have_text(said)
    assert page.evaluate("[bar.value, bar.max]") == [value, len(rows) or 1]
    assert page.evaluate("bar.position") >= 0, "it moves as if it went on"
    assert server.get("/saved").json() - before == rows.count("row")
    if "wrong" in rows:
        told = "ValueError: a row of the import is wrong"
        wait_for(lambda: server.output.count(told) == 2)  # of the run, and of the task behind the request
        server.output = server.output.replace("Traceback", "").replace(told, "")


@pytest.mark.browser
def test_steps_of_a_graph(server: Server, page: Page) -> None:
    id = start_run(server.url, "/graphs/answers", question="why is it salty")
    page.goto(f"{server.url}/scripts/LangGraph?id={id}")
    expect(page.locator("#nodes")).to_have_text("talk")
    assert page.locator("#words").inner_text() == "why is it salty"
    assert page.locator("#hint").inner_text() == "asking"


def sdk(server: Server, question: str) -> dict[str, dict[str, Any]]:
    """What each chat had in the end."""
    node = shutil.which("node")
    if node is None or not (NPM / "node_modules/ai").is_dir():
        pytest.skip("NO NODE CLIENTS: node, or a package of tests/npm, is missing; `make test` installs them")
    command = [node, "ai_sdk.js", server.url, question]
    ended = subprocess.run(command, cwd=NPM, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, ""), ended
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    return {each.pop("name"): each for each in told}


def test_vercels_sdk_reads_a_run_and_resumes_it(server: Server) -> None:
    question = " ".join(str(n) for n in range(40))
    told = sdk(server, question)
    done = {"status": "ready", "error": None, "texts": [["user", question], ["assistant", f"{question} "]]}
    assert {**told, "left": None} == {
        **dict.fromkeys(("whole", "resumed", "resumed again", "fresh"), done),
        "left": None,
        **{name: {"status": "ready", "error": None, "texts": []} for name in ("nothing to resume", "expired")},
    }
    _, (_, text) = told["left"]["texts"]
    assert f"{question} ".startswith(text)
    assert 0 < len(text) < len(question), "it was left in the middle"


def test_vercels_sdk_hears_why_a_run_has_failed(server: Server) -> None:
    told = sdk(server, "this is cut off")
    assert told["whole"]["status"] == "error"
    assert told["whole"]["error"] == "the model's answer was cut off"
    assert told["whole"]["texts"][1] == ["assistant", "this is cut "]
