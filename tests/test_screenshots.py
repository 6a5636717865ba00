"""Examples as a person sees them: in light and dark, alive, and when the server is away.

`make screenshots` puts what is taken here into the documentation.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pictures import pressed
from tests.servers import ROOT, Server

pytestmark = pytest.mark.browser
SIZE = {"width": 960, "height": 640}


def fill_todo(server: Server, page: Page) -> None:
    for title in ("Water the plants", "Call the printer", "Book the train to Lyon", "Order coffee"):
        server.post("/todos", data={"title": title})
    page.get_by_text("Order coffee").wait_for()
    page.get_by_role("checkbox").nth(2).check()
    expect(page.locator("#todos li.done")).to_have_count(1)


def fill_chat(server: Server, page: Page) -> None:
    words = [
        ("Ada", "The new espresso machine is here."),
        ("Grace", "Does it say when it is empty?"),
        ("Ada", "It emits an event. Of course it does."),
        ("Linus", "Then I come down in a minute."),
    ]
    for username, message in words:
        server.post("/chat/lobby/send", data={"username": username, "message": message})
    page.get_by_text("Then I come down").wait_for()


def fill_dashboard(server: Server, page: Page) -> None:
    for path in ("orders", "users", "orders", "orders"):
        server.post(f"/dashboard/{path}")
    expect(page.locator("#news li")).not_to_have_count(1)


def fill_answers(server: Server, page: Page) -> None:
    for question in (
        "Why is the sea salty?",
        "How long does it take to learn the cello?",
        "How do I find the mistake?",
    ):
        page.locator("#composer input").fill(question)
        page.locator("#composer input").press("Enter")
        expect(page.locator("#question")).to_have_text(question)
    page.wait_for_function("document.querySelector('#words').textContent.length > 330")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "fill", [fill_todo, fill_chat, fill_dashboard, fill_answers], ids=["todo", "chat", "dashboard", "answers"]
)
def test_an_example_shows_its_state(
    fill: Callable[[Server, Page], None], scheme: str, browser: Browser, tmp_path: Path
) -> None:
    name = fill.__name__.removeprefix("fill_")
    pictures = Path(os.environ.get("NITRO_SCREENSHOTS", tmp_path))
    environment = {"NITRO_DB_URL": f"sqlite:///{tmp_path}/it.db", "NITRO_RETRY_MILLISECONDS": "200"}
    context = browser.new_context(viewport=SIZE, color_scheme=scheme, device_scale_factor=2)  # type: ignore[arg-type]
    page = context.new_page()
    with Server(f"examples.{name}:app", environment=environment) as server:
        page.goto(server.url)
        expect(page.locator("#state")).to_have_text("Live")
        fill(server, page)
        page.evaluate("document.activeElement.blur()")
        picture = pictures / (f"{name}.png" if scheme == "light" else f"{name}-dark.png")
        picture.write_bytes(pressed(page.screenshot(animations="disabled")))
        width, height = struct.unpack(">II", picture.read_bytes()[16:24])
        assert (width, height) == (2 * SIZE["width"], 2 * SIZE["height"])
        assert (ROOT / "docs/images" / picture.name).exists(), "make screenshots"
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", "focus is seen"
        context.set_offline(True)
        server.kill()
        expect(page.locator("#state")).to_have_text("Offline")
        expect(page.locator("#notice")).to_contain_text("You are offline")
        context.set_offline(False)
        expect(page.locator("#state")).to_have_text("Reconnecting")
        expect(page.locator("#notice")).to_contain_text("nothing is missed")
    with Server(f"examples.{name}:app", environment=environment, port=server.port):
        expect(page.locator("#state")).to_have_text("Live", timeout=30_000)
        expect(page.locator("#notice")).to_be_hidden()
    context.close()
