"""README.md's first application and its scripts, in a page, and its streams in Python, as they stand there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import Depends, FastAPI
from playwright.sync_api import Page

import nitro
from nitro import Client, emit, segment
from nitro.testing import stream
from tests.documents import Document
from tests.servers import Server

README = Document("README.md")
RUNS_BLOCKS = {"README.md": ["Streams in Python: python", "js"], "docs/index.md": ["js"]}
"""And the first Python, which `test_documents.py` runs, too."""
FIRST, SHOWING, SHARING = README.all("js")


def test_the_documentation_begins_with_the_same_application() -> None:
    page = Document("docs/index.md")
    assert page.the("python").source == README.all("python")[0].source
    assert page.the("js").source == FIRST.source


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The first application, with what the README adds to it for many tabs."""
    directory = tmp_path_factory.mktemp("readme")
    application, (assets,) = README.all("python")[0], README.all("python", "Many tabs")
    (directory / "first_screen.py").write_text(f"import nitro\n{application.source}\n{assets.source}")
    with Server("first_screen:app", directory=directory) as started:
        yield started


async def until_printed(reading: asyncio.Task[None], capsys: pytest.CaptureFixture[str], emitting: Any) -> str:
    """What the block prints of what is emitted again and again, until it has heard it."""
    printed = ""
    async with asyncio.timeout(10):
        while not printed:
            await emitting()
            await asyncio.sleep(0.01)
            printed = capsys.readouterr().out
    reading.cancel()
    await asyncio.wait([reading])
    return printed


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("room", ["lobby", "Team A", "*", "a.secret"])
def test_who_is_in_a_room_of_any_name_is_told_to_that_room_alone(room: str) -> None:
    app = FastAPI()
    User = Annotated[SimpleNamespace, Depends(lambda: SimpleNamespace(id="ann", name="Ann"))]
    README.run(README.the("python", "Who is here"), {"app": app, "User": User})
    path = f"/rooms/{quote(room)}"

    async def scenario() -> None:
        async with (
            stream(app, f"{path}/events") as page,
            stream(app, "/rooms/a/events") as other,
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as http,
        ):
            assert (await page.next()).topic == f"presence.{segment(room)}"
            async with asyncio.timeout(10):
                while (await http.get(f"{path}/members")).json() != ["ann"]:
                    await asyncio.sleep(0.01)
            for each in ("a", room):
                emit(f"room.{segment(each)}.message", "me", result=each)
            assert (await page.next(f"room.{segment(room)}.message")).data == room
            assert (await other.next("room.a.message")).data == "a"
            emit("room.a.last", "me", result="last")
            while (heard := await other.next()).topic != "room.a.last":
                assert not heard.topic.startswith("room."), heard

    asyncio.run(asyncio.wait_for(scenario(), 30))


@pytest.mark.usefixtures("hub")
def test_the_stream_in_python_prints_what_is_emitted(capsys: pytest.CaptureFixture[str]) -> None:
    block, _ = README.all("python", "Streams in Python")

    async def emitting() -> None:
        emit("todo.created", "me", result={"title": "Milk"})

    async def scenario() -> None:
        reading = asyncio.create_task(README.run_async(block, {"Client": Client}))
        assert '{"title":"Milk"}' in await until_printed(reading, capsys, emitting)

    asyncio.run(scenario())


def test_the_stream_of_a_server_in_python_prints_what_is_emitted_there(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    _, block = README.all("python", "Streams in Python")
    source = block.source.replace("https://example.org", server.url)
    assert source != block.source

    async def emitting() -> None:
        await asyncio.to_thread(server.post, "/todos?title=Milk")

    async def scenario() -> None:
        reading = asyncio.create_task(README.run_async(replace(block, source=source), {"nitro": nitro}))
        assert "'title': 'Milk'" in await until_printed(reading, capsys, emitting)

    asyncio.run(scenario())


def show(page: Page, server: Server, script: str, names: str = "") -> None:
    """Run a script in an empty page that has `show`."""
    page.goto(f"{server.url}/openapi.json")
    page.evaluate(
        """() => {
            window.shown = []; window.show = (todo) => shown.push(todo);
            const Native = EventSource;
            window.EventSource = class extends Native {
                constructor(url) { super(url); window.source = this; }
            };
        }"""
    )
    page.add_script_tag(content=f"{names}\n{script}", type="module")


@pytest.mark.browser
def test_the_first_screen_is_an_application_that_shows_a_todo_in_a_page(server: Server, page: Page) -> None:
    show(page, server, FIRST.source)
    page.wait_for_function("window.source?.readyState === EventSource.OPEN")
    assert server.post("/todos?title=Milk").json() == {"title": "Milk"}
    page.wait_for_function("shown.length > 0")
    assert page.evaluate("shown") == [{"title": "Milk"}]
    page.evaluate("source.close()")


@pytest.mark.browser
def test_a_page_that_shows_data_loads_anew_at_a_gap(server: Server, page: Page) -> None:
    show(page, server, SHOWING.source, 'const position = "nobodys"')
    page.wait_for_function("performance.getEntriesByType('navigation')[0].type === 'reload'")


@pytest.mark.browser
def test_many_tabs_share_a_stream(server: Server, page: Page) -> None:
    show(page, server, f"{SHARING.source}\nwindow.live = live")
    page.wait_for_function("window.live?.state === 'open'")
    server.post("/todos?title=Milk")
    page.wait_for_function("shown.length > 0")
    assert page.evaluate("shown") == [{"title": "Milk"}]
    page.evaluate("live.close()")
