"""The application of `docs/how-to/parts-in-one-page.md` as it stands there, in many tabs over HTTP/1.1."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from nitro.testing.conformance import eventually
from tests.documents import Document
from tests.servers import Server

pytestmark = pytest.mark.browser
PAGE = Document("docs/how-to/parts-in-one-page.md")
RUNS_BLOCKS = {"docs/how-to/parts-in-one-page.md": ["python", "html", "js"]}
TITLES = ["Parcel lost", "Wrong size", "Invoice", "A broken cup", "Thank you"]
ANSWER = "We have looked into: Parcel lost."
REMEMBER = """window.seen = [names.textContent];
    new MutationObserver(() => seen.push(names.textContent)).observe(names, { childList: true, characterData: true })"""


def desk(directory: Path, port: int | None = None, word_seconds: float = 0.2, **environment: str) -> Server:
    source = PAGE.the("python").source
    assert source.count("sleep(0.2)") == 1
    (directory / "app.py").write_text(source.replace("sleep(0.2)", f"sleep({word_seconds})"))
    (directory / "desk.html").write_text(PAGE.the("html").source)
    environment["NITRO_DB_URL"] = f"sqlite:///{directory / 'desk.db'}"
    return Server("app:app", directory=directory, environment=environment, port=port)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with desk(tmp_path_factory.mktemp("desk")) as server:
        yield server
    assert "Traceback" not in server.output, server.output


@pytest.fixture
def people(browser: Browser, server: Server) -> Iterator[dict[str, BrowserContext]]:
    """Browsers of two who are in one team, logged in."""
    contexts = {}
    for name in ("ann", "bob"):
        contexts[name] = browser.new_context()
        contexts[name].add_cookies([{"name": "user", "value": name, "url": server.url}])
    yield contexts
    for context in contexts.values():
        context.close()


def tab_of(context: BrowserContext, server: Server, id: str, who: str | re.Pattern[str]) -> Page:
    tab = context.new_page()
    tab.goto(f"{server.url}/#{id}")
    expect(tab.locator("#names")).to_have_text(who)
    return tab


def test_tabs_share_one_stream_for_all_rooms_and_write_an_answer_along(
    server: Server, people: dict[str, BrowserContext]
) -> None:
    first = people["ann"].new_page()
    first.goto(f"{server.url}/login/ann")
    expect(first.locator("#list")).to_be_attached()
    first.evaluate(f"(async () => {{ {PAGE.the('js').source} }})()")
    for title in TITLES[3:]:
        first.evaluate("(title) => fetch(`/tickets?title=${title}`, { method: 'POST' })", title)
    expect(first.locator("#list > li")).to_have_text(sorted(TITLES))
    links = {link.inner_text(): link.get_attribute("href") or "" for link in first.locator("#list a").all()}
    ids = [links[title].removeprefix("#") for title in TITLES]
    first.close()

    bob = tab_of(people["bob"], server, ids[0], "Bob")
    bob.evaluate(REMEMBER)
    tabs = [tab_of(people["ann"], server, id, "Bob, Ann" if id == ids[0] else "Ann") for id in ids]
    expect(bob.locator("#names")).to_have_text("Bob, Ann")
    assert bob.evaluate("seen") == ["Bob", "Bob, Ann"], "nobody leaves while the shared stream is read anew"
    for tab, id in zip(tabs, ids, strict=True):
        expect(tab.locator("#names")).to_have_text("Bob, Ann" if id == ids[0] else "Ann")

    bob.locator("#write").click()
    later = tab_of(people["ann"], server, ids[0], "Bob, Ann")
    for tab in (bob, tabs[0], later):
        expect(tab.locator("#text")).to_have_text(ANSWER)
        expect(tab.locator("#write")).to_be_hidden()
    bob.reload()
    expect(bob.locator("#text")).to_have_text(ANSWER)


def test_the_count_of_a_crowd_is_shown_in_place_of_its_names(people: dict[str, BrowserContext], tmp_path: Path) -> None:
    with desk(tmp_path, NITRO_PRESENCE_MAX_MEMBERS="1") as server:
        id = httpx.post(f"{server.url}/tickets", params={"title": "Parcel lost"}, cookies={"user": "ann"}).json()["id"]
        tabs = [tab_of(people["ann"], server, id, "Ann"), tab_of(people["bob"], server, id, "2 people")]
        expect(tabs[0].locator("#names")).to_have_text("2 people")
        for tab in tabs:
            tab.close()


def test_whoever_is_in_another_team_gets_no_row_and_enters_nothing(server: Server) -> None:
    ann, cid = ({"user": name} for name in ("ann", "cid"))
    ticket = httpx.post(f"{server.url}/tickets", params={"title": "Secret"}, cookies=ann).json()
    path = f"/tickets/{ticket['id']}/answer"
    run = httpx.post(server.url + path, cookies=ann).json()["run"]
    topic = f"presence.shop.ticket-{ticket['id']}"

    def status(path: str, cookies: dict[str, str], **parameters: str) -> int:
        with httpx.stream("GET", server.url + path, params=parameters, cookies=cookies) as response:
            return response.status_code

    assert status("/viewers", {}) == status("/tickets/live", {}) == status("/", {}) == 401
    assert status("/viewers", cid, topic=topic) == 403
    assert status("/viewers", cid, topic="presence.school.*") == status("/viewers", cid, topic="a b") == 422
    assert status("/viewers", cid) == status("/viewers", ann, topic=topic) == 200
    assert status(f"{path}/{run}", cid) == httpx.post(server.url + path, cookies=cid).status_code == 404
    with httpx.stream("GET", f"{server.url}/tickets/live", cookies=cid) as rows:
        text = ""
        for piece in rows.iter_text():
            text += piece
            if "snapshot-end" in text:
                break
    assert "Secret" not in text
    eventually(lambda: httpx.get(f"{server.url}{path}/{run}", cookies=ann).text.count('{"state":"done"}') == 1, "done")


def test_a_link_that_is_pressed_while_a_ticket_comes_opens(server: Server, people: dict[str, BrowserContext]) -> None:
    tab = people["ann"].new_page()
    tab.goto(server.url)
    post = "(title) => fetch(`/tickets?title=${title}`, { method: 'POST' })"
    tab.evaluate(post, "Z: pressed")
    tab.get_by_role("link", name="Z: pressed").hover()
    tab.mouse.down()
    tab.evaluate(post, "Z: then another")
    expect(tab.locator("#list > li").last).to_have_text("Z: then another")
    tab.mouse.up()
    expect(tab.locator("#heading")).to_have_text("Z: pressed")


def test_of_two_who_press_at_once_one_writes_the_answer(server: Server) -> None:
    ann = {"user": "ann"}
    ticket = httpx.post(f"{server.url}/tickets", params={"title": "Parcel lost"}, cookies=ann).json()
    path = f"{server.url}/tickets/{ticket['id']}/answer"
    ids = [httpx.post(path, cookies=ann).json()["run"] for _ in range(3)]
    texts = [httpx.get(f"{path}/{run}", cookies=ann).text for run in ids]
    assert sorted(text.count("looked ") for text in texts) == [0, 0, 1]
    assert all('{"state":"done"}' in text for text in texts)
    (written,) = (run for run, text in zip(ids, texts, strict=True) if "looked " in text)
    late = httpx.post(path, params={"after": written}, cookies=ann).json()["run"]
    assert "looked " not in httpx.get(f"{path}/{late}", cookies=ann).text, "it is answered"


@contextmanager
def cut_off(browser: Browser, directory: Path) -> Iterator[tuple[Page, str, int]]:
    """A tab that reads an answer whose server has ended at its first word, the ticket's id, and the server's port."""
    context = browser.new_context()
    with desk(directory, word_seconds=2, NITRO_RETRY_MILLISECONDS="100") as server:
        context.add_cookies([{"name": "user", "value": "ann", "url": server.url}])
        made = context.request.post(f"{server.url}/tickets?title=Parcel lost").json()
        tab = tab_of(context, server, made["id"], "Ann")
        tab.locator("#write").click()
        expect(tab.locator("#text")).to_contain_text("We ")
        expect(tab.locator("#write")).to_be_hidden()
    yield tab, made["id"], server.port
    context.close()


def test_after_a_restart_the_answer_can_be_asked_for_again(browser: Browser, tmp_path: Path) -> None:
    with cut_off(browser, tmp_path) as (tab, id, port), desk(tmp_path, port, NITRO_RETRY_MILLISECONDS="100") as server:
        tab.locator("#write").click(timeout=20_000)
        expect(tab.locator("#text")).to_have_text(ANSWER)
        expect(tab.locator("#write")).to_be_hidden()
        bob = browser.new_context()
        bob.add_cookies([{"name": "user", "value": "bob", "url": server.url}])
        both = re.compile("Ann, Bob|Bob, Ann")  # Ann may not be back yet when Bob comes
        tab_of(bob, server, id, both)
        expect(tab.locator("#names")).to_have_text(both)
        bob.close()


def test_an_answer_that_was_stored_though_its_reader_was_cut_off_is_shown_whole(
    browser: Browser, tmp_path: Path
) -> None:
    """A server that ends may have had the time to write the row."""
    with cut_off(browser, tmp_path) as (tab, id, port):
        with closing(sqlite3.connect(tmp_path / "desk.db")) as database, database:
            assert database.execute("UPDATE ticket SET answer = ? WHERE id = ?", (ANSWER, id)).rowcount == 1
        with desk(tmp_path, port, NITRO_RETRY_MILLISECONDS="100"):
            expect(tab.locator("#text")).to_have_text(ANSWER)
            expect(tab.locator("#write")).to_be_hidden()


def test_six_connections_are_all_over_http_1(server: Server, people: dict[str, BrowserContext]) -> None:
    tab = people["ann"].new_page()
    tab.route("**/blank", lambda route: route.fulfill(body="<title>quiet</title>", content_type="text/html"))
    tab.goto(f"{server.url}/blank")
    tab.evaluate("""async () => {
        window.sources = Array.from({ length: 6 }, (_, n) => new EventSource(`/tickets/live?n=${n}`));
        await Promise.all(sources.map((source) => new Promise((opened) => (source.onopen = opened))));
    }""")
    ask = """() => fetch("/login/ann", { redirect: "manual", signal: AbortSignal.timeout(700) })
        .then(() => "answered", ({ name }) => name)"""
    assert tab.evaluate(ask) == "TimeoutError"
    tab.evaluate("sources.pop().close()")
    assert tab.evaluate(ask) == "answered"
