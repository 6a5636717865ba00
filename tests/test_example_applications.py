"""The example applications as a person meets them: two tabs, real pages, and errors with the right status."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from examples.answers import words_for
from playwright.sync_api import Browser, Locator, Page, expect

from tests.servers import ROOT, Server
from tests.tabs import wait_for

pytestmark = pytest.mark.browser
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"


FIRST_IS_SLOW = """() => { const real = fetch; let isFirst = true; window.unanswered = 0;
    window.fetch = async (...all) => {
      unanswered++;
      if (isFirst) { isFirst = false; await new Promise((resolve) => setTimeout(resolve, 1000)); }
      return real(...all).finally(() => unanswered--);
    }; }"""
"""A page whose next request is slower than the one behind it."""
ANSWERS_ARE_HELD = """(held) => { const real = fetch; let release; window.sent = [];
    const isReleased = new Promise((resolve) => { release = resolve; });
    window.fetch = async (address, options) => {
      const method = options?.method ?? "GET";
      sent.push(`${method} ${address}`);
      const answer = await real(address, options);
      if (method === held) await isReleased;
      return answer;
    };
    window.release = async () => {
      const { inTurn } = await import("/static/page.js");
      release();
      for (const each of sent) await inTurn(each.split(" ")[1], () => null);
    }; }"""
"""A page that lists what it sends. Answers to a method are held until `release`, which ends when they were handled."""


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    database = tmp_path_factory.mktemp("database") / "nitro.db"
    with Server(f"examples.{request.param}:app", environment={"NITRO_DB_URL": f"sqlite:///{database}"}) as started:
        yield started
        started.end(signal.SIGINT)
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
def test_a_form_that_is_sent_twice_before_it_is_answered_adds_one_todo(tabs: tuple[Page, Page]) -> None:
    page = tabs[0]
    page.evaluate(
        """() => {
            const form = document.querySelector("#new");
            for (const title of ["Milk", "Milk", "Bread"]) {
                form.elements.title.value = title;
                form.requestSubmit();
            }
        }"""
    )
    expect(page.locator("#todos .title")).to_have_text(["Bread", "Milk"])
    for delete in page.get_by_role("button", name=re.compile("delete", re.IGNORECASE)).all()[::-1]:
        delete.click()
    expect(page.locator("#todos li")).to_have_count(0)


def add_todos(server: Server, *titles: str) -> None:
    for title in titles:
        assert server.post("/todos", params={"title": title}).status_code == 201


def delete_todos(server: Server) -> None:
    for todo in httpx.get(f"{server.url}/todos").json()["todos"]:
        httpx.delete(f"{server.url}/todos/{todo['id']}")


def rename(page: Page, row: Locator, title: str) -> None:
    row.get_by_role("button", name="Rename").click()
    page.keyboard.type(title)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("server", ["todo"], indirect=True)
def test_what_is_typed_into_a_row_that_somebody_deletes_deletes_no_other(
    tabs: tuple[Page, Page], server: Server
) -> None:
    mine, yours = tabs
    delete_todos(server)
    add_todos(server, "Milk", "Bread")
    rows = mine.locator("#todos li")
    rows.filter(has_text="Bread").get_by_role("button", name="Rename").click()
    mine.keyboard.type("Brown")
    yours.get_by_role("button", name="Delete Bread").click()
    expect(rows.locator(".title")).to_have_text(["Milk"])
    expect(rows).to_be_focused()
    mine.keyboard.type(" bread")
    add_todos(server, "Cheese")
    expect(mine.locator("#todos .title")).to_have_text(["Cheese", "Milk"])
    rows.last.get_by_role("button", name="Rename").click()
    delete_todos(server)
    expect(mine.locator("#new input")).to_be_focused()


@pytest.mark.parametrize("server", ["todo"], indirect=True)
def test_a_double_click_presses_nothing_that_has_come_under_the_pointer(
    tabs: tuple[Page, Page], server: Server
) -> None:
    page = tabs[0]
    delete_todos(server)
    add_todos(server, "Milk", "Bread", "Cheese")
    rows = page.locator("#todos li")
    page.evaluate(ANSWERS_ARE_HELD, "none")
    page.get_by_role("button", name="Delete Cheese").click()
    expect(page.locator("#todos .title")).to_have_text(["Bread", "Milk"])
    second_click(page)
    assert len(page.evaluate("sent")) == 1, "the row below has moved up, and stays"
    rename(page, rows.first, "Brown bread")
    expect(rows.first.get_by_role("button", name="Rename Brown bread")).to_be_focused()
    rows.first.get_by_role("button", name="Rename").click()
    save, delete = (rows.first.get_by_role("button", name=name) for name in ("Save", "Delete"))
    save.click(position={"x": save.evaluate("button => button.clientWidth") - 9, "y": 9})  # there "Delete" will be
    expect(delete).to_be_visible()
    second_click(page)
    assert [each.split(" ")[0] for each in page.evaluate("sent")] == ["DELETE", "PATCH", "PATCH"]
    delete_todos(server)


def second_click(page: Page) -> None:
    """That of a double click, where the pointer is."""
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)


@pytest.mark.parametrize("server", ["todo"], indirect=True)
def test_a_late_answer_to_a_new_title_leaves_what_was_typed_since_and_the_focus(
    tabs: tuple[Page, Page], server: Server
) -> None:
    page = tabs[0]
    delete_todos(server)
    add_todos(server, "Milk")
    row = page.locator("#todos li")
    page.evaluate(ANSWERS_ARE_HELD, "PATCH")
    rename(page, row, "Bread")
    expect(row.locator(".title")).to_have_text("Bread")
    page.keyboard.type(" and butter")
    page.evaluate("release()")
    expect(row.get_by_label("New title")).to_have_value("Bread and butter")
    expect(row.get_by_label("New title")).to_be_focused()
    page.evaluate(ANSWERS_ARE_HELD, "PATCH")
    page.keyboard.press("Enter")
    page.locator("#new input").focus()
    page.evaluate("release()")
    expect(row.get_by_label("New title")).to_be_hidden()
    expect(page.locator("#new input")).to_be_focused()
    delete_todos(server)


@pytest.mark.parametrize("server", ["todo"], indirect=True)
def test_a_row_is_deleted_once_by_two_presses(tabs: tuple[Page, Page], server: Server) -> None:
    page = tabs[0]
    delete_todos(server)
    add_todos(server, "Milk")
    page.evaluate(ANSWERS_ARE_HELD, "none")
    page.get_by_role("button", name="Delete").evaluate("async (it) => { it.click(); it.click(); await release(); }")
    expect(page.locator("#todos li")).to_have_count(0)
    assert len(page.evaluate("sent")) == 1
    expect(page.locator("#error")).to_be_empty()


@pytest.mark.parametrize("server", ["todo"], indirect=True)
def test_the_todo_service_answers_with_the_right_status(server: Server) -> None:
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


@pytest.mark.parametrize("server", ["chat"], indirect=True)
def test_what_is_read_meanwhile_hides_no_failure_of_what_was_sent(tabs: tuple[Page, Page]) -> None:
    page = tabs[0]
    asking = "path => import('/static/page.js').then(({ ask }) => ask('GET', path))"
    page.locator("#composer input[name=username]").fill("Ada")
    page.evaluate(ANSWERS_ARE_HELD, "GET")
    page.evaluate("location.hash = 'quiet'")
    page.locator("#composer input[name=message]").press("Enter")
    expect(page.locator("#error")).to_contain_text("the message is empty")
    page.evaluate("release()")
    expect(page.locator("#messages")).to_have_text("Nobody has said anything in quiet yet.")
    expect(page.locator("#error")).to_contain_text("the message is empty")
    page.evaluate(asking, "/nowhere")
    expect(page.locator("#error")).to_contain_text("the message is empty")
    page.locator("#composer input[name=message]").fill("Hello")
    page.locator("#composer input[name=message]").press("Enter")
    expect(page.locator("#error")).to_have_text("Not Found")
    page.evaluate(asking, "/chat/quiet/messages")
    expect(page.locator("#error")).to_be_empty()
    page.locator("#composer input[name=message]").press("Enter")
    expect(page.locator("#error")).to_contain_text("the message is empty")
    page.get_by_role("link", name="kitchen").click()
    expect(page.locator("#error")).to_be_empty()


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


@pytest.mark.timed
@pytest.mark.parametrize("name", ["todo", "chat", "dashboard", "kanban", "answers"])
def test_an_example_ends_at_once_with_pages_that_are_open(name: str, page: Page, tmp_path: Path) -> None:
    environment = {"NITRO_DB_URL": f"sqlite:///{tmp_path / 'nitro.db'}"}
    with Server(f"examples.{name}:app", environment=environment) as server:
        page.goto(server.url)
        expect(page.locator("#state[data-state=live]")).to_be_visible()
        if name == "answers":
            put(page, "to be ended")
            until_words(page, 3)
        assert server.end(signal.SIGINT) < 4
    assert "Traceback" not in server.output, server.output


@pytest.mark.parametrize("name", ["todo", "chat", "dashboard", "kanban", "answers"])
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
def test_cards_at_one_place_are_in_the_same_order_on_every_board(tabs: tuple[Page, Page], server: Server) -> None:
    cards = {}
    for number in range(8):
        body = {"title": f"card {number}", "user": "Ada"}
        cards[httpx.post(f"{server.url}/cards", data=body).json()["card"]["id"]] = body["title"]
    for id in cards:
        httpx.patch(f"{server.url}/cards/{id}", data={"lane": "done", "place": "5", "user": "Ada"})
    in_order = [cards[id] for id in sorted(cards)]
    expect(lane(tabs[0], "done").locator(".title")).to_have_text(in_order)
    tabs[1].reload()
    expect(lane(tabs[1], "done").locator(".title")).to_have_text(in_order)
    for id in cards:
        httpx.delete(f"{server.url}/cards/{id}")


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
    ada.evaluate(FIRST_IS_SLOW)
    lane(ada, "todo").first.focus()
    ada.keyboard.press("ArrowRight")
    ada.keyboard.press("ArrowUp")
    wait_for(ada, "unanswered === 0 && !document.querySelector('.waiting')")
    for page in tabs:
        expect(lane(page, "doing").locator(".title")).to_have_text([HOSTILE, "first"])
        expect(lane(page, "todo")).to_have_count(0)
        expect(page.locator(".waiting")).to_have_count(0)
    lane(ada, "doing").first.get_by_role("button").click()
    for page in tabs:
        expect(lane(page, "doing")).to_have_count(1)


@pytest.mark.parametrize("server", ["kanban"], indirect=True)
def test_a_card_that_is_deleted_while_it_is_dragged_leaves_no_mark(tabs: tuple[Page, Page], server: Server) -> None:
    page = tabs[0]
    made = httpx.post(f"{server.url}/cards", data={"title": "to be dragged", "user": "Ada"}).json()["card"]
    card = page.locator(f"[data-id='{made['id']}']")
    card.hover()
    page.mouse.down()
    for height in (30, 40):  # Chromium says that it is over a list when it moves there
        page.locator("[data-lane=doing] ol").hover(position={"x": 30, "y": height})
    expect(page.locator(".lane.over")).to_have_count(1)
    httpx.delete(f"{server.url}/cards/{made['id']}")
    expect(card).to_have_count(0)
    expect(page.locator(".lane.over")).to_have_count(0)
    page.locator("[data-lane=doing] ol").hover()
    page.mouse.up()
    expect(page.locator(".lane.over")).to_have_count(0)


@pytest.mark.parametrize("server", ["kanban"], indirect=True)
def test_a_double_click_on_delete_deletes_one_card(tabs: tuple[Page, Page], server: Server) -> None:
    page = tabs[0]
    cards = [
        httpx.post(f"{server.url}/cards", data={"title": title, "user": "Ada"}).json()["card"]["id"]
        for title in ("above", "below")
    ]
    page.evaluate(ANSWERS_ARE_HELD, "none")
    page.get_by_role("button", name="Delete above").click()
    expect(page.locator(f"[data-id='{cards[0]}']")).to_have_count(0)
    second_click(page)
    assert page.evaluate("sent") == [f"DELETE /cards/{cards[0]}"]
    httpx.delete(f"{server.url}/cards/{cards[1]}")


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


def put(page: Page, question: str) -> None:
    page.locator("#composer input").fill(question)
    page.locator("#composer input").press("Enter")
    expect(page.locator("#question")).to_have_text(question)


def until_words(page: Page, count: int) -> str:
    """Wait until an answer has so many words; its text."""
    page.wait_for_function(f"document.querySelector('#words').textContent.trim().split(/\\s+/).length >= {count}")
    return page.locator("#words").inner_text()


def is_over(page: Page) -> None:
    expect(page.locator("#words[aria-busy=false]")).to_be_visible(timeout=30_000)
    expect(page.locator("#stop")).to_be_hidden()


def answer_to(question: str) -> str:
    return "".join(words_for(question))


@pytest.mark.parametrize("server", ["answers"], indirect=True)
def test_an_answer_goes_on_over_a_reload_and_shows_in_a_second_tab(tabs: tuple[Page, Page], server: Server) -> None:
    mine, others = tabs
    put(mine, HOSTILE)
    before = until_words(mine, 5)
    mine.reload()
    mine.wait_for_function(
        "words => document.querySelector('#words').textContent.startsWith(words)", arg=before.strip()
    )
    second = mine.context.new_page()
    second.goto(server.url)
    expect(second.locator("#question")).to_have_text(HOSTILE)
    for page in (mine, second):
        is_over(page)
        expect(page.locator("#words")).to_have_text(answer_to(HOSTILE), use_inner_text=True)
        assert page.title() != "owned", "what is asked is shown as text"
    put(second, "another one")
    expect(mine.locator("#earlier a")).to_have_text(["another one", HOSTILE])
    expect(mine.locator("#question")).to_have_text(HOSTILE)
    expect(others.locator("#earlier a")).to_have_count(0)
    id = second.evaluate("location.hash.slice(1)")
    assert others.evaluate(f"fetch('/answers/{id}').then(({{ status }}) => status)") == 404


@pytest.mark.parametrize("server", ["answers"], indirect=True)
def test_an_answer_is_stopped_in_all_tabs(tabs: tuple[Page, Page], server: Server) -> None:
    mine, _ = tabs
    put(mine, "to be stopped")
    second = mine.context.new_page()
    second.goto(server.url)
    until_words(second, 3)
    second.get_by_role("button", name="Stop").press("Enter")
    for page in (mine, second):
        is_over(page)
        expect(page.locator("#how")).to_have_text("Stopped.")
    mine.reload()
    expect(mine.locator("#how")).to_have_text("Stopped.")
    assert mine.locator("#words").inner_text() == second.locator("#words").inner_text()
    assert answer_to("to be stopped").startswith(mine.locator("#words").inner_text().strip())


@pytest.mark.parametrize("server", ["answers"], indirect=True)
def test_two_presses_of_stop_are_one(tabs: tuple[Page, Page]) -> None:
    page = tabs[0]
    put(page, "to be stopped once")
    until_words(page, 2)
    page.evaluate(ANSWERS_ARE_HELD, "none")
    page.locator("#stop").evaluate("async (stop) => { stop.click(); await release(); stop.click(); await release(); }")
    is_over(page)
    assert [each.split(" ")[0] for each in page.evaluate("sent")] == ["DELETE"]
    expect(page.locator("#error")).to_be_empty()


@pytest.mark.parametrize("server", ["answers"], indirect=True)
def test_a_late_answer_to_a_question_leaves_its_reader_at_another_one(tabs: tuple[Page, Page]) -> None:
    page = tabs[0]
    put(page, "one")
    put(page, "two")
    page.evaluate(ANSWERS_ARE_HELD, "POST")
    page.locator("#composer input").fill("three")
    page.locator("#composer input").press("Enter")
    expect(page.locator("#earlier a")).to_have_text(["three", "two", "one"])
    page.get_by_role("link", name="one").click()
    expect(page.locator("#question")).to_have_text("one")
    page.evaluate("release()")
    expect(page.locator("#composer input")).to_have_value("")
    assert page.locator("#question").inner_text() == "one"
    put(page, "four")


@pytest.mark.parametrize("server", ["answers"], indirect=True)
def test_a_link_in_the_list_stays_the_same_while_others_come_and_answers_end(tabs: tuple[Page, Page]) -> None:
    page = tabs[0]
    put(page, "one")
    put(page, "two")
    page.get_by_role("link", name="one").focus()
    page.evaluate("import('/static/page.js').then(({ ask }) => ask('POST', '/answers', { question: 'three' }))")
    expect(page.locator("#earlier a")).to_have_text(["three", "two", "one"])
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_have_text("one")
    until_words(page, 2)
    page.get_by_role("link", name="two").hover()
    page.mouse.down()
    page.evaluate("fetch(`/answers/${location.hash.slice(1)}`, { method: 'DELETE' })")
    is_over(page)
    page.mouse.up()
    expect(page.locator("#question")).to_have_text("two")


def test_an_answer_whose_server_is_killed_goes_on_behind_its_last_word(browser: Browser, tmp_path: Path) -> None:
    environment = {"NITRO_BROKER_URL": f"sqlite:///{tmp_path / 'answers.db'}", "NITRO_RUN_LEASE_SECONDS": "1"}
    context = browser.new_context()
    page = context.new_page()
    with Server("examples.answers:app", environment=environment) as server:
        page.goto(server.url)
        expect(page.locator("#state[data-state=live]")).to_be_visible()
        put(page, "to be killed")
        before = until_words(page, 10).strip()
        server.kill()
        expect(page.locator("#words[aria-busy=true]")).to_be_visible()
    with Server("examples.answers:app", environment=environment, port=server.port) as server:
        is_over(page)
        text = page.locator("#words").inner_text()
        assert text.startswith(before)
        assert text == answer_to("to be killed")
        page.reload()
        is_over(page)
        expect(page.locator("#words")).to_have_text(text, use_inner_text=True)
    assert "Traceback" not in server.output, server.output
    context.close()
