"""The specification's applications run as they stand, under uvicorn, with its JavaScript in Chromium.

Each application is a block of the specification with the imports that it forgets in front, and behind it the
routes of the test: a page at `/`, and `/test/...` to look inside.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Page

import nitro
from tests.servers import Server
from tests.specification.blocks import SPECIFICATION, blocks_in, the
from tests.specification.prelude import prelude_of

pytestmark = pytest.mark.browser

QUICK_START: Final = the("Frontend: EventSource", "javascript")
TODO_PAGE: Final = the("Example 1: Todo App with Real-Time Updates", "javascript")
RECONNECTION: Final = the("Client-Side Reconnection", "javascript")

SOURCES: Final = Path(nitro.__file__).parents[1]

TEST_ROUTES: Final = """

# -- what the test adds --

from pathlib import Path as _Path
from typing import Any as _Any

from fastapi import Body as _Body
from fastapi.responses import HTMLResponse as _HTMLResponse

from nitro.infrastructure.events import emit as _emit, event as _event
from nitro.infrastructure.events.client import active_clients as _active_clients


@app.get("/", response_class=_HTMLResponse)
def test_page():
    return _Path(__file__).with_name("page.html").read_text(encoding="utf-8")


@app.get("/test/active")
def test_active():
    return len(_active_clients)


@app.post("/test/emit/{topic}")
def test_emit(topic: str, result: _Any = _Body()):
    _emit(_event(topic), "test", result=result)
"""

TODO_LIST: Final = """
const todos = new Map();  // as the page shows them
function updateTodoInUI(todo) { todos.set(todo.id, todo); }
function removeTodoFromUI(id) { todos.delete(id); }
"""

TODO_CALLS: Final = """
async function call(method, path) {
    const answer = await fetch(path, {method});
    return [answer.status, await answer.json()];
}
"""


class Application:
    """A block of the specification in a directory of its own, served as often as a test wants."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._servers: list[Server] = []

    def serve(self, python: str, javascript: str) -> Server:
        """Write the application and its page, and start it."""
        page = f"<!doctype html><title>test</title><script>\n{javascript}</script>"
        self._directory.joinpath("app.py").write_text(prelude_of(python) + python + TEST_ROUTES, encoding="utf-8")
        self._directory.joinpath("page.html").write_text(page, encoding="utf-8")
        return self._start(None)

    def serve_again(self, port: int) -> Server:
        """Start what was written once more, at the port that it had."""
        return self._start(port)

    def _start(self, port: int | None) -> Server:
        environment = {
            "NITRO_DB_URL": f"sqlite:///{self._directory / 'app.db'}",
            "PYTHONPATH": os.pathsep.join([str(self._directory), str(SOURCES)]),
        }
        server = Server("app:app", directory=self._directory, port=port, environment=environment)
        self._servers.append(server)
        return server.wait_until_up()

    def end(self) -> None:
        """End what still runs; no server may have printed an error or a warning."""
        for server in self._servers:
            server.end()
            assert "Traceback" not in server.output
            assert "Warning" not in server.output


@pytest.fixture
def application(tmp_path: Path) -> Iterator[Application]:
    application = Application(tmp_path)
    yield application
    application.end()


def wait_for_clients(server: Server, count: int, seconds: float = 10) -> float:
    """Wait until so many clients are connected on the server; how many seconds that took."""
    began = time.monotonic()
    while (active := server.get("/test/active").json()) != count:
        assert time.monotonic() - began < seconds, f"{active} clients are connected, and not {count}"
        time.sleep(0.01)
    return time.monotonic() - began


def emit(server: Server, topic: str, result: dict[str, Any] | list[Any]) -> None:
    assert server.post(f"/test/emit/{topic}", json=result).status_code == 200


def wait_for(page: Page, expression: str, value: Any = None) -> None:
    page.wait_for_function(expression, arg=value, timeout=10_000)


# -- the blocks ----------------------------------------------------------------------------------------------


def test_every_javascript_block_runs_in_a_page_here() -> None:
    found = [b for b in blocks_in(SPECIFICATION.read_text(encoding="utf-8")) if b.language == "javascript"]
    assert found == [QUICK_START, TODO_PAGE, RECONNECTION]


# -- quick start ---------------------------------------------------------------------------------------------


def test_quick_start_shows_a_todo_that_is_posted(application: Application, page: Page) -> None:
    server = application.serve(
        the("Backend: SSE Endpoint").source,
        f"const list = []; function addTodoToList(todo) {{ list.push(todo); }}\n{QUICK_START.source}",
    )
    page.goto(server.url)
    wait_for_clients(server, 1)
    assert page.evaluate("list") == []
    title = 'Milk “2 l”\n\ndata: and "bread" \\'
    created = server.post("/todos", params={"title": title}).json()
    wait_for(page, "list.length")
    assert created["status"] == "created"
    assert page.evaluate("list") == [{"id": created["id"], "title": title, "completed": False}]


# -- example 1 -----------------------------------------------------------------------------------------------


@pytest.fixture
def todo_tabs(application: Application, page: Page) -> Iterator[tuple[Server, Page, Page]]:
    """The todo application, open in two tabs."""
    server = application.serve(
        the("Example 1: Todo App with Real-Time Updates").source, TODO_LIST + TODO_PAGE.source + TODO_CALLS
    )
    other = page.context.new_page()
    problems: list[str] = []
    other.on("pageerror", lambda error: problems.append(str(error)))
    for tab in (page, other):
        tab.goto(server.url)
    wait_for_clients(server, 2)
    yield server, page, other
    assert problems == []


def test_todos_change_in_both_tabs(todo_tabs: tuple[Server, Page, Page]) -> None:
    _, *tabs = todo_tabs
    status, created = tabs[0].evaluate("call('POST', '/todos?title=' + encodeURIComponent('Milk & bread'))")
    todo = created["todo"]
    assert (status, todo) == (200, {"id": todo["id"], "title": "Milk & bread", "completed": False})
    for tab in tabs:
        wait_for(tab, "todos.size === 1")
        assert tab.evaluate("[...todos.values()]") == [todo]

    tabs[1].evaluate("id => call('PATCH', `/todos/${id}?completed=true`)", todo["id"])
    for tab in tabs:
        wait_for(tab, "id => todos.get(id)?.completed", todo["id"])
        assert tab.evaluate("[...todos.values()]") == [{**todo, "completed": True}]
    assert tabs[0].evaluate("call('GET', '/todos')") == [200, {"todos": [{**todo, "completed": True}]}]

    tabs[0].evaluate("id => call('DELETE', `/todos/${id}`)", todo["id"])
    for tab in tabs:
        wait_for(tab, "todos.size === 0")
    assert tabs[1].evaluate("call('GET', '/todos')") == [200, {"todos": []}]


def test_the_forms_that_the_page_of_example_1_sends_are_refused_by_its_own_server(
    todo_tabs: tuple[Server, Page, Page],
) -> None:
    """The specification contradicts itself: FastAPI takes `title: str` from the query, the page sends a body."""
    _, page, other = todo_tabs
    with page.expect_response("**/todos") as created:
        page.evaluate("createTodo('Milk')")
    assert created.value.status == 422
    _, answer = page.evaluate("call('POST', '/todos?title=Bread')")
    with page.expect_response("**/todos/*") as toggled:
        page.evaluate("id => toggleTodo(id, true)", answer["todo"]["id"])
    assert toggled.value.status == 422
    for tab in (page, other):
        wait_for(tab, "todos.size === 1")
        assert tab.evaluate("[...todos.values()]") == [answer["todo"]]


# -- example 2 -----------------------------------------------------------------------------------------------

HEAR: Final = """
const heard = [];
function hear(address) { new EventSource(address).onmessage = event => heard.push(JSON.parse(event.data)); }
"""


def test_chat_messages_appear_in_their_room_alone(application: Application, page: Page) -> None:
    server = application.serve(the("Example 2: Multi-User Chat with Room Filtering").source, HEAR)
    garden = page.context.new_page()
    for tab, room in ((page, "kitchen"), (garden, "garden")):
        tab.goto(server.url)
        tab.evaluate("room => hear('/chat/events/' + room)", room)
    wait_for_clients(server, 2)

    def say(room: str, message: str) -> None:
        answer = server.post(f"/chat/{room}/send", params={"username": "Ada", "message": message})
        assert answer.json() == {"status": "sent"}

    said = [("kitchen", "tea?"), ("garden", "roses"), ("cellar", "echo"), ("kitchen", "yes"), ("garden", "bees")]
    for room, message in said:
        say(room, message)
    for tab, room in ((page, "kitchen"), (garden, "garden")):
        wait_for(tab, "heard.length >= 2")
        expected = [message for where, message in said if where == room]
        assert tab.evaluate("heard.map(data => data.message)") == expected
        assert tab.evaluate("heard.every(data => !isNaN(Date.parse(data.timestamp)))")
        assert tab.evaluate("room => heard.every(data => data.room === room)", room)


# -- example 3 -----------------------------------------------------------------------------------------------


def test_the_dashboard_shows_admins_what_the_scheduler_emits(application: Application, page: Page) -> None:
    server = application.serve(the("Example 3: Live Dashboard with Multiple Data Streams").source, HEAR)
    viewer = page.context.new_page()
    for tab, address in ((page, "/dashboard/events?user_role=admin"), (viewer, "/dashboard/events")):
        tab.goto(server.url)
        tab.evaluate("address => hear(address)", address)
    wait_for_clients(server, 2)
    page.wait_for_function("heard.length", timeout=8_000)  # the scheduler emits every 5 seconds
    assert page.evaluate("heard") == [{"revenue": 1234.5}]
    emit(server, "analytics.order-placed", {"order": 7})
    emit(server, "analytics.revenue", {"revenue": -1})
    emit(server, "analytics.user-registered", {"user": "Ada"})
    for tab in (page, viewer):
        wait_for(tab, "heard.at(-1)?.user")
    assert viewer.evaluate("heard") == [{"order": 7}, {"user": "Ada"}]
    by_admin = page.evaluate("heard.filter(data => data.revenue !== 1234.5)")  # the scheduler goes on
    assert by_admin == [{"order": 7}, {"revenue": -1}, {"user": "Ada"}]


# -- connections that end ------------------------------------------------------------------------------------

UPDATES: Final = "const updates = []; function handleUpdate(data) { updates.push(data); }\n"


def test_the_page_reconnects_after_its_server_was_killed(application: Application, page: Page) -> None:
    server = application.serve(the("Handle Disconnections Gracefully").source, UPDATES + RECONNECTION.source)
    page.goto(server.url)
    wait_for_clients(server, 1)
    emit(server, "todo.created", {"title": "before"})
    wait_for(page, "updates.length === 1")
    server.end(signal.SIGKILL)
    again = application.serve_again(server.port)
    wait_for_clients(again, 1)  # the page waits for 3 seconds by its own code
    emit(again, "todo.created", {"title": "after"})
    wait_for(page, "updates.length === 2")
    assert page.evaluate("updates") == [{"title": "before"}, {"title": "after"}]


def test_a_page_that_is_closed_ends_its_client_within_a_second(application: Application, page: Page) -> None:
    server = application.serve(the("Handle Disconnections Gracefully").source, UPDATES + RECONNECTION.source)
    page.goto(server.url)
    wait_for_clients(server, 1)
    emit(server, "todo.created", {"title": "while it is open"})
    wait_for(page, "updates.length")
    page.close()
    wait_for_clients(server, 0, seconds=1)


def test_a_stream_that_heard_nothing_ends_with_its_page_too(application: Application, page: Page) -> None:
    server = application.serve(the("Handle Disconnections Gracefully").source, UPDATES + RECONNECTION.source)
    page.goto(server.url)
    wait_for_clients(server, 1)
    page.goto("about:blank")
    wait_for_clients(server, 0, seconds=1)


# -- what a page can parse -----------------------------------------------------------------------------------

BOTH_FORMS: Final = """
import json

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from nitro.infrastructure.events import Client

app = FastAPI()


@app.get("/events/{form}")
async def events(form: str):
    client = Client(topics=["todo.*"])

    async def event_stream():
        with client:
            async for data in client.stream():
                yield f"data: {data}\\n\\n" if form == "plain" else f"data: {json.dumps(data)}\\n\\n"

    return StreamingResponse(event_stream(), media_type="text/event-stream")
"""


@pytest.mark.parametrize("form", ["plain", "dumps"])
def test_the_page_parses_what_is_streamed(application: Application, page: Page, form: str) -> None:
    server = application.serve(BOTH_FORMS, HEAR)
    page.goto(server.url)
    page.evaluate("address => hear(address)", f"/events/{form}")
    wait_for_clients(server, 1)
    sent: list[Any] = [
        {"title": 'it\'s "quoted" \\ and\r\nbroken\rinto\u2028lines\n\n', "none": None, "yes": True, "no": False},
        {"deep": [{"list": [1, 2.5, -3, 1e300]}], "": {}, "data: ": "id: 7", "emoji": "🥛 ü"},
        [{"title": "Milk"}, None, "text", []],
        {},
    ]
    for result in sent:
        emit(server, "todo.created", result)
    wait_for(page, "count => heard.length === count", len(sent))
    assert page.evaluate("heard") == sent
