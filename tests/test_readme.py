"""The Python and JavaScript of README.md runs as it stands there."""

from __future__ import annotations

import ast
import asyncio
import inspect
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Response
from playwright.sync_api import Page
from sqlmodel import SQLModel

import nitro
import nitro.metrics  # as an application does, before its event loop runs
from nitro import Client, emit
from nitro.fastapi import EventStream
from tests.servers import ROOT, Server
from tests.specification.blocks import Block, blocks_in

BLOCKS = list(blocks_in((ROOT / "README.md").read_text()))
FIRST, *OTHERS = [block for block in BLOCKS if block.language == "python"]
ENDLESS = "Streams in Python"


def current_user() -> None:
    """The application's own."""


def namespace() -> dict[str, Any]:
    """What the README's fragments use and leave to the application, or import further up."""
    return {
        **{name: getattr(nitro, name) for name in nitro.__all__},
        **{"Annotated": Annotated, "Depends": Depends, "Response": Response, "EventStream": EventStream},
        **{"nitro": nitro, "app": FastAPI(), "User": str, "current_user": current_user, "id": "7", "room_id": "12"},
        "todo_created": nitro.event("todo.created"),
        "todo": {"title": "Milk"},
        "may_be_told": lambda sender, result: True,
        "is_admin": lambda request: False,
        "active_clients": {"client-123": Client(topics=["client.123"])},
        "__name__": __name__,
    }


async def execute(block: Block, names: dict[str, Any]) -> None:
    """Run a block, which may await."""
    code = compile(block.source, f"README.md, {block}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    running = eval(code, names)
    if inspect.isawaitable(running):
        await running


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("block", [block for block in OTHERS if block.heading != ENDLESS], ids=str)
def test_a_block_runs_as_it_stands(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tables = set(SQLModel.metadata.tables)
    try:
        asyncio.run(execute(block, namespace()))
    finally:
        for name in SQLModel.metadata.tables.keys() - tables:
            SQLModel.metadata.remove(SQLModel.metadata.tables[name])


@pytest.mark.usefixtures("hub")
def test_the_stream_in_python_prints_what_is_emitted(capsys: pytest.CaptureFixture[str]) -> None:
    block = next(block for block in OTHERS if block.heading == ENDLESS)

    async def scenario() -> None:
        reading = asyncio.create_task(execute(block, namespace()))
        printed = ""
        async with asyncio.timeout(10):
            while not printed:
                emit("todo.created", "me", result={"title": "Milk"})
                await asyncio.sleep(0.01)
                printed = capsys.readouterr().out
        assert '{"title":"Milk"}' in printed
        reading.cancel()
        await asyncio.wait([reading])

    asyncio.run(scenario())


@pytest.mark.browser
def test_the_first_screen_is_an_application_that_shows_a_todo_in_a_page(page: Page, tmp_path: Path) -> None:
    (tmp_path / "first_screen.py").write_text(FIRST.source)
    script = next(block.source for block in BLOCKS if block.language == "js")
    with Server("first_screen:app", directory=tmp_path) as server:
        page.goto(f"{server.url}/openapi.json")
        page.evaluate(
            f"""() => {{
                window.shown = []; window.show = (todo) => shown.push(todo);
                const Native = EventSource;
                window.EventSource = class extends Native {{
                    constructor(url) {{ super(url); window.source = this; }}
                }};
                {script}
            }}"""
        )
        page.wait_for_function("source.readyState === EventSource.OPEN")
        assert server.post("/todos?title=Milk").json() == {"title": "Milk"}
        page.wait_for_function("shown.length > 0")
        assert page.evaluate("shown") == [{"title": "Milk"}]
        page.evaluate("source.close()")
