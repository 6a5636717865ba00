"""The example applications as a person meets them: two tabs, real pages, and errors with the right status."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.servers import ROOT, Server

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = tmp_path_factory.mktemp("database") / "nitro.db"
    with Server(f"examples.{request.param}:app", environment={"NITRO_DB_URL": f"sqlite:///{database}"}) as started:
        yield started
        assert started.end(signal.SIGINT) < 2
    assert "Traceback" not in started.output, started.output


@pytest.fixture
def tabs(browser: Browser, server: Server) -> Iterator[tuple[Page, Page]]:
    """Two tabs of two people, live; an error in a page fails the test."""
    problems: list[str] = []
    contexts = [browser.new_context(), browser.new_context()]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(server.url)
        expect(page.locator("#state[data-state=live]")).to_be_visible()
    yield pages[0], pages[1]
    for context in contexts:
        context.close()
    assert problems == []


@pytest.mark.parametrize("server", ["todo"], indirect=True)
def test_a_todo_made_in_one_tab_lives_in_both(tabs: tuple[Page, Page]) -> None:
    mine, yours = tabs
    mine.locator("#new input").fill(HOSTILE)
    mine.locator("#new input").press("Enter")
    for page in tabs:
        expect(page.locator("#todos li")).to_have_count(1)
        expect(page.locator("#todos .title")).to_have_text(HOSTILE)
        assert page.title() != "owned", "a payload is shown as text"
    yours.get_by_role("checkbox").check()
    expect(mine.get_by_role("checkbox")).to_be_checked()
    yours.get_by_role("button", name=re.compile("delete", re.IGNORECASE)).click()
    for page in tabs:
        expect(page.locator("#todos li")).to_have_count(0)


@pytest.mark.parametrize("server", ["todo"], indirect=True)
def test_the_todo_service_answers_with_the_right_status(server: Server) -> None:
    import httpx

    with httpx.Client(base_url=server.url, trust_env=False, verify=False) as http:
        created = http.post("/todos", data={"title": "by form"})
        assert created.status_code == 201
        assert http.post("/todos", params={"title": "by query"}).status_code == 201
        assert http.post("/todos", data={"title": " "}).status_code == 422
        assert http.post("/todos", data={"title": "x" * 1000}).status_code == 422
        path = f"/todos/{created.json()['todo']['id']}"
        assert http.patch(path, data={"completed": "nonsense"}).status_code == 422
        assert http.patch(path, data={"completed": "true"}).json()["todo"]["completed"] is True
        assert http.delete(path).status_code == 200
        assert http.delete(path).status_code == 404
        assert http.patch(path, data={"completed": "true"}).status_code == 404
        assert [todo["title"] for todo in http.get("/todos").json()["todos"]] == ["by query"]


@pytest.mark.parametrize("server", ["chat"], indirect=True)
def test_a_message_is_heard_in_its_room_alone(tabs: tuple[Page, Page], server: Server) -> None:
    mine, yours = tabs
    sent = server.post("/chat/general/send", params={"username": "Ada", "message": HOSTILE})
    assert sent.status_code in (200, 201)
    for page in tabs:
        page.goto(f"{server.url}/#general")
        expect(page.locator("#messages .text").last).to_have_text(HOSTILE)
        assert page.title() != "owned"
    yours.goto(f"{server.url}/#random")
    expect(yours.locator("#state[data-state=live]")).to_be_visible()
    server.post("/chat/general/send", params={"username": "Ada", "message": "for general"})
    server.post("/chat/random/send", params={"username": "Ada", "message": "for random"})
    expect(mine.locator("#messages .text").last).to_have_text("for general")
    expect(yours.locator("#messages .text").last).to_have_text("for random")
    expect(yours.locator("#messages")).not_to_contain_text("for general")
    assert server.post("/chat/general/send", params={"username": "Ada", "message": ""}).status_code == 422


@pytest.mark.parametrize("server", ["dashboard"], indirect=True)
def test_the_dashboard_shows_the_revenue_to_admins_alone(tabs: tuple[Page, Page], server: Server) -> None:
    admin, viewer = tabs
    admin.goto(f"{server.url}/#admin")
    viewer.goto(f"{server.url}/#viewer")
    revenue = admin.locator("[data-name=revenue] .value")
    expect(revenue).to_be_visible()
    expect(viewer.locator("#tiles .value").first).to_be_visible()
    expect(viewer.locator("[data-name=revenue]")).to_have_count(0)
    before = revenue.inner_text()
    expect(revenue).not_to_have_text(before, timeout=10_000)  # the background job emits by itself
    server.post("/dashboard/orders")
    for page in tabs:
        expect(page.locator("#news")).to_contain_text("Order:")


@pytest.mark.parametrize("name", ["todo", "chat", "dashboard", "kanban"])
def test_an_example_is_one_file_of_at_most_a_hundred_lines_and_its_page(name: str) -> None:
    assert len((ROOT / "examples" / f"{name}.py").read_text().splitlines()) <= 100
    page = (ROOT / "examples" / f"{name}.html").read_text()
    assert "innerHTML" not in page, "payloads are shown as text"
    assert not re.search(r"""(src|href)=["']https?://""", page), "nothing is loaded from elsewhere"


def test_the_demo_says_so_when_its_port_is_taken() -> None:
    import socket
    import subprocess
    import sys

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "examples.serve", "examples.todo:app", "--port", str(port)],
            cwd=Path(ROOT),
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert ended.returncode == 1
    assert f"Port {port} is in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def lane(page: Page, name: str) -> Locator:
    return page.locator(f"[data-lane={name}] .item")


@pytest.mark.parametrize("server", ["kanban"], indirect=True)
def test_a_card_is_dragged_by_two_people(tabs: tuple[Page, Page], server: Server) -> None:
    ada, grace = tabs
    grace.goto(f"{server.url}/?user=Grace")
    for title in ("first", HOSTILE):
        ada.locator("#new input").fill(title)
        ada.locator("#new input").press("Enter")
        expect(ada.locator("#new input")).to_have_value("")
    for page in tabs:
        expect(lane(page, "todo").locator(".title")).to_have_text(["first", HOSTILE])
        assert page.title() != "owned", "a payload is shown as text"
    lane(grace, "todo").first.drag_to(grace.locator("[data-lane=doing]"))
    for page in tabs:
        expect(lane(page, "doing").locator(".title")).to_have_text(["first"])
        expect(lane(page, "doing").locator(".by")).to_have_text(["Grace"])
    lane(ada, "todo").first.focus()
    ada.keyboard.press("ArrowRight")
    ada.keyboard.press("ArrowUp")
    for page in tabs:
        expect(lane(page, "doing").locator(".title")).to_have_text([HOSTILE, "first"])
        expect(lane(page, "todo")).to_have_count(0)
        expect(page.locator(".waiting")).to_have_count(0)
    lane(ada, "doing").first.get_by_role("button").click()
    for page in tabs:
        expect(lane(page, "doing")).to_have_count(1)


def test_a_card_whose_server_is_killed_in_the_middle_of_a_drag_arrives(browser: Browser, tmp_path: Path) -> None:
    environment = {"NITRO_DB_URL": f"sqlite:///{tmp_path / 'nitro.db'}", "NITRO_RETRY_MILLISECONDS": "200"}
    contexts = [browser.new_context(), browser.new_context()]
    ada, grace = (context.new_page() for context in contexts)
    with Server("examples.kanban:app", environment=environment) as server:
        port = server.wait_until_up().port
        for page in (ada, grace):
            page.goto(server.url)
            expect(page.locator("#state[data-state=live]")).to_be_visible()
        ada.locator("#new input").fill("on its way")
        ada.locator("#new input").press("Enter")
        for page in (ada, grace):
            expect(lane(page, "todo")).to_have_count(1)
        lane(ada, "todo").hover()
        ada.mouse.down()
        ada.locator("[data-lane=doing]").hover()
        server.kill()
        ada.locator("[data-lane=done]").hover()
        ada.mouse.up()
        expect(lane(ada, "done").locator(".by")).to_have_text("Ada, not saved yet")
        expect(lane(grace, "todo")).to_have_count(1)
        expect(ada.locator("#state[data-state=live]")).to_have_count(0)
    with Server("examples.kanban:app", environment=environment, port=port) as server:
        server.wait_until_up()
        for page in (ada, grace):
            expect(lane(page, "done").locator(".by")).to_have_text("Ada", timeout=20_000)
            expect(lane(page, "todo")).to_have_count(0)
            expect(page.locator("#state[data-state=live]")).to_be_visible(timeout=20_000)
    for context in contexts:
        context.close()
