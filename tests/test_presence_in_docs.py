"""Every block of `docs/how-to/presence.md` as it stands there: its application with two browsers, and the rest."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect
from starlette.requests import Request

import nitro
from nitro.testing.conformance import eventually
from tests.servers import ROOT, Server
from tests.specification.blocks import blocks_in

BLOCKS = list(blocks_in((ROOT / "docs/how-to/presence.md").read_text()))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("tests.apps.rooms_in_docs:app", environment={"NITRO_PRESENCE_LEAVE_SECONDS": "0.5"}) as server:
        yield server
    assert "Traceback" not in server.output, server.output


@pytest.mark.usefixtures("hub")
def test_the_other_blocks_run_as_they_stand() -> None:
    others = [block for block in BLOCKS if block.language == "python"][1:]
    assert [block.heading for block in others] == ["Who may see it", "On the server"]

    def asks(query: str) -> Request:
        return Request({"type": "http", "query_string": query.encode(), "headers": []})

    names: dict[str, Any] = {"asks": asks, "Grant": nitro.Grant, "event_stream": nitro.event_stream}
    for block in others:
        asyncio.run(execute(block.source, names))


@pytest.mark.browser
@pytest.mark.parametrize("path", ["/", "/plain"])
def test_two_browsers_see_each_other_come_and_go(server: Server, browser: Browser, path: str) -> None:
    contexts = [browser.new_context() for _ in range(2)]
    for context, user in zip(contexts, ("ann", "bob"), strict=True):
        context.add_cookies([{"name": "user", "value": user, "url": server.url}])
    ann, bob = (context.new_page() for context in contexts)
    ann.goto(server.url + path)
    expect(ann.locator("#names")).to_have_text("Ann")
    bob.goto(server.url + path)
    for page in (ann, bob):
        expect(page.locator("#names")).to_have_text("Ann, Bob")
    assert httpx.get(f"{server.url}/rooms/lobby/members").json() == ["ann", "bob"]
    ann.reload()
    expect(ann.locator("#names")).to_have_text("Ann, Bob")
    contexts[0].close()
    expect(bob.locator("#names")).to_have_text("Bob")
    contexts[1].close()
    eventually(lambda: not httpx.get(f"{server.url}/rooms/lobby/members").json(), "nobody is there")


async def execute(source: str, names: dict[str, Any]) -> None:
    """Run a block, which may await."""
    code = compile(source, "docs/how-to/presence.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    running = eval(code, names)
    if inspect.isawaitable(running):
        await running
