"""`docs/how-to/page-without-holes.md`: its small page in a browser, with what is written at the worst moments."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.documents import Document
from tests.servers import Server

DOCUMENT = Document("docs/how-to/page-without-holes.md")
RUNS_BLOCKS = {"docs/how-to/page-without-holes.md": ["A small page: python", "A small page: js"]}
SMALL = "A small page"
pytestmark = pytest.mark.browser
AROUND = """

from fastapi.responses import FileResponse

app.get("/page.js")(lambda: FileResponse("page.js"))


class Hurried(dict):
    def items(self):
        if "between" not in self:  # behind the position, and before the data is read
            self["between"] = "between"
            emit("todo.written", result={"id": "between", "title": "between"})
        return super().items()


todos = Hurried(first="first")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "small_page.py").write_text(DOCUMENT.the("python", SMALL).source + AROUND)
    (folder / "page.js").write_text(DOCUMENT.the("js", SMALL).source)
    with Server("small_page:app", directory=folder) as started:
        yield started
    assert "Traceback" not in started.output, started.output


def write(server: Server, id: str, title: str) -> None:
    httpx.put(f"{server.url}/todos/{id}", params={"title": title}, trust_env=False).raise_for_status()


def test_what_is_written_before_and_behind_the_data_is_shown_once(server: Server, page: Page) -> None:
    def late(route: Route) -> None:
        write(server, "late", "late")  # the page has its data, and no stream yet
        route.continue_()

    page.route("**/page.js", late)
    page.goto(server.url)
    items = page.locator("li")
    expect(items).to_have_text(["first", "between", "late"])
    write(server, "first", "another title")
    write(server, "now", "now")
    expect(items).to_have_text(["another title", "between", "late", "now"])


def test_a_stream_that_is_refused_for_a_moment_goes_on_where_it_was(server: Server, page: Page) -> None:
    first = httpx.get(server.url, trust_env=False).text.partition('data-position="')[2].partition('"')[0]
    write(server, "while-away", "while away")
    asked: list[str] = []
    is_away = True

    def refuse(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) == 1:  # one event, and the connection breaks
            event = f'id: {first}\ndata: {{"id": "once", "title": "once"}}\nretry: 100\n\n'
            route.fulfill(body=event, content_type="text/event-stream")
        elif is_away:
            route.fulfill(status=502)
        else:
            route.continue_()

    page.route("**/events?*", refuse)
    page.goto(server.url)
    page.evaluate("window.isTheSame = true")
    expect(page.locator("#once")).to_have_text("once")
    page.evaluate("document.getElementById('while-away').remove()")  # it has to come by the stream
    for _ in range(600):
        if len(asked) >= 3:
            break
        page.wait_for_timeout(50)
    is_away = False
    expect(page.locator("#while-away")).to_have_text("while away", timeout=30_000)
    assert asked[-1].endswith(f"?last_event_id={first}")
    assert page.evaluate("window.isTheSame") is True


def test_a_page_that_may_not_hear_any_more_asks_once_and_stays_away(server: Server, page: Page) -> None:
    asked: list[str] = []

    def refuse(route: Route) -> None:
        asked.append(route.request.resource_type)
        route.fulfill(status=401)

    page.route("**/events?*", refuse)
    page.clock.install()
    page.goto(server.url)
    for _ in range(600):
        if len(asked) >= 2:
            break
        page.clock.run_for(5000)
    for _ in range(20):
        page.clock.run_for(5000)
        page.evaluate("fetch('/').then((answer) => answer.text())")
    assert asked == ["eventsource", "fetch"]


def test_a_gap_loads_the_page_anew(server: Server, page: Page) -> None:
    visits: list[str] = []

    def without_a_place(route: Route) -> None:
        answer = route.fetch()
        text = answer.text()
        place = text.partition('data-position="')[2].partition('"')[0]
        route.fulfill(response=answer, body=text if visits else text.replace(place, "nobodys"))
        visits.append(place)

    page.route(f"{server.url}/", without_a_place)
    page.goto(server.url)
    page.wait_for_function("performance.getEntriesByType('navigation')[0].type === 'reload'")
    assert len(visits) == 2
    write(server, "heard", "heard")
    expect(page.locator("#heard")).to_have_text("heard")
