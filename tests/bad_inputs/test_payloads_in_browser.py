"""Rows 20 to 23 of docs/reference/bad-inputs.md: what is emitted, as pages get it, in Chromium."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from nitro.messages.row_changes import ROW_CHANGES
from nitro.testing.conformance import End, eventually
from tests.bad_inputs.witnesses import Neighbour
from tests.brokers import SQLite
from tests.cast import wait_until_open
from tests.servers import Server
from tests.sse import Stream
from tests.test_frame import as_read

pytestmark = pytest.mark.browser
LAST = "the end"


@pytest.fixture(scope="module")
def neighbour(server: Server) -> Iterator[Neighbour]:
    """One for all of these tests, beside their tabs."""
    with Neighbour(server) as connected:
        yield connected


@pytest.fixture(scope="module")
def tab(browser: Browser, neighbour: Neighbour) -> Iterator[Page]:
    """A page that reads the same events in each way that there is; none of these tests does anything to it."""
    context = browser.new_context()
    yield open_tab(context.new_page(), neighbour)
    context.close()


def open_tab(page: Page, neighbour: Neighbour, how: str = "") -> Page:
    page.goto(f"{neighbour.server.url}/page{how}")
    eventually(lambda: page.evaluate("window.isOpen?.()"), "its streams are open")
    return page


def heard(tab: Page, neighbour: Neighbour, *events: tuple[str, Any]) -> dict[str, list[Any]]:
    """What each way of the page brought, when these events were emitted."""
    ways = "({ text, json, named, client, seconds, errors })"
    tab.evaluate(f"for (const way of Object.values({ways})) way.length = 0")
    neighbour.emit(*events, ("t.x", LAST))
    eventually(
        lambda: tab.evaluate(f"Object.values({ways}).slice(0, 4).every((way) => way.flat().at(-1) === '{LAST}')"),
        "all that was emitted is heard",
    )
    return dict(tab.evaluate(ways))


@pytest.mark.bad_input(20)
@pytest.mark.parametrize(
    "text",
    [
        *("a\r\nb", "a\rb", "a\nb", "a\n", "a\r\n\r\n", "\r", "\n\n", "a\u2028b", "\u2029", "a\x85b", "a\vb", "a\fb"),
        *(" a", "  a ", "\ufeffa", "a\ufeff", "a\0b", ":a", "data: a", ""),
    ],
    ids=ascii,
)
def test_the_page_gets_the_text_that_was_sent(text: str, tab: Page, neighbour: Neighbour) -> None:
    got = heard(tab, neighbour, ("t.x", text))
    assert got["text"] == [as_read(text), LAST]
    assert got["json"] == got["named"] == [text, LAST]
    assert got["client"] == [["t.x", text], ["t.x", LAST]]
    assert got["errors"] == []
    neighbour.lives_on()


@pytest.mark.bad_input(21)
@pytest.mark.parametrize(
    "text", ["x\n\nevent: admin\ndata: y", "x\r\revent: admin\rdata: y\r\r", "\n\nevent: admin\ndata: y\n\n"], ids=ascii
)
def test_the_page_hears_no_second_event(text: str, tab: Page, neighbour: Neighbour) -> None:
    got = heard(tab, neighbour, ("t.x", text))
    assert got["seconds"] == []
    assert got["text"] == [as_read(text), LAST]
    assert got["json"] == [text, LAST]
    assert got["client"] == [["t.x", text], ["t.x", LAST]]
    got = heard(tab, neighbour, ("admin", "a real one"))
    assert got["seconds"] == [json.dumps("a real one"), "a real one"], "which is what it would look like"
    neighbour.lives_on()


NAMES = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "__proto__.polluted"]
EVIL = {name: {"polluted": 1, "prototype": {"polluted": 1}, "__proto__": {"polluted": 1}} for name in NAMES}
PROTOTYPES = """[Object, Array, Function, Map, Set, String].flatMap(({ prototype }) =>
    Reflect.ownKeys(prototype).flatMap((key) => [key, Object.getOwnPropertyDescriptor(prototype, key).value]))"""
INJECTED = "document.querySelectorAll('main script, main img, main style, iframe, [onerror], [onload]').length"


@pytest.mark.bad_input(22)
@pytest.mark.parametrize("how", ["", "?alone"], ids=["in a shared worker", "alone"])
def test_names_of_javascripts_own_are_inert(how: str, page: Page, neighbour: Neighbour) -> None:
    tab = open_tab(page, neighbour, how)
    tab.evaluate(f"window.before = {PROTOTYPES}")
    tab.evaluate(
        """(names) => { window.exact = [];
            for (const name of names) live.on(name, (data, { topic }) => exact.push([name, topic, data])); }""",
        NAMES,
    )
    got = heard(tab, neighbour, *[(name, n) for n, name in enumerate(NAMES)], ("t.x", EVIL))
    assert tab.evaluate("exact") == [[name, name, n] for n, name in enumerate(NAMES)]
    assert got["client"][:-2] == [[name, n] for n, name in enumerate(NAMES)]
    assert got["errors"] == []
    for way in ("json.at(-2)", "named.at(-2)", "client.at(-2)[1]"):
        keys, written, is_plain = tab.evaluate(
            f"[Object.keys({way}), JSON.stringify({way}), Object.getPrototypeOf({way}) === Object.prototype]"
        )
        assert (keys, json.loads(written), is_plain) == (NAMES, EVIL, True)
    assert tab.evaluate("[{}.polluted, [].polluted, (() => 0).polluted, Object.polluted].every((x) => x === undefined)")
    assert tab.evaluate(
        f"((now) => now.length === before.length && now.every((x, n) => x === before[n]))({PROTOTYPES})"
    )
    assert tab.title() == "quiet"
    neighbour.lives_on()


HOSTILE = [
    "<img src=x onerror=\"document.title='owned'\">",
    "<script>document.title='owned'</script>",
    "</template></li><svg onload=\"document.title='owned'\"><style>*{display:none}</style>",
    "\"'><iframe srcdoc=\"<script>parent.document.title='owned'</script>\">&lt;b&gt;",
]
_later = itertools.count(1)


@dataclass
class Example:
    """An example application, its page's stream, an event of it with hostile text, and where its page shows that."""

    name: str
    stream: str
    topic: str
    sender: str | None
    fill: Callable[[str], Any]
    shows: tuple[str, ...]
    module: str = "examples.{name}"


def row(model: str, **values: Any) -> Any:
    """A row that has changed, as another process tells of it that doesn't know what it was."""
    return [model, list(values), [[values["id"], "unknown", list(values.values())]]]


def order(text: str) -> Any:
    return row("figure", id="orders", total=1_000_000 + next(_later), recent=["json", [1] * 40], news=text)


def todo(text: str) -> Any:
    return row("todo", id=f"{next(_later)}{text}", title=text, completed=False, created_at=1e9 + next(_later))


def card(text: str) -> Any:
    return row("card", id=f"{next(_later)}{text}", title=text, lane="todo", place=1e9 + next(_later), moved_by=text)


def words(text: str) -> dict[str, Any]:
    id, at = f"{next(_later)}", "2026-01-02T12:00:00Z"
    return {"id": f"{id}{text}", "room": "lobby", "username": text, "message": text, "timestamp": at}


EXAMPLES = [
    Example("todo", "/todos/live", ROW_CHANGES, None, todo, ("#todos .title",)),
    Example("kanban", "/cards/live", ROW_CHANGES, None, card, (".item .title", ".item .by")),
    Example("chat", "/chat/events/lobby", "chat.message", "lobby", words, ("#messages .text", "#messages b")),
    Example(
        "dashboard", "/dashboard/live", ROW_CHANGES, None, order, ("#news li span",), "tests.apps.dashboard_at_rest"
    ),
]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Server], End]]:
    """The examples, and an end of the log that they share, on which anything can be put."""
    directory = tmp_path_factory.mktemp("examples")
    broker = SQLite(directory)
    environment = {"NITRO_BROKER_URL": broker.url, "NITRO_DB_URL": f"sqlite:///{directory / 'todo.db'}"}
    servers = {
        example.name: Server(f"{example.module.format(name=example.name)}:app", environment=environment)
        for example in EXAMPLES
    }
    end = End(broker.log("nitro"))
    try:
        for server in servers.values():
            server.wait_until_up()
        wait_until_open(end)
        yield servers, end
    finally:
        end.broker.close(1)
        for server in servers.values():
            server.end()
    for server in servers.values():
        assert "Traceback" not in server.output, server.output


@pytest.mark.bad_input(23)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_a_page_of_the_examples_shows_it_as_text(
    example: Example, examples: tuple[dict[str, Server], End], page: Page
) -> None:
    servers, end = examples
    server = servers[example.name]
    page.goto(server.url)
    expect(page.locator("#state[data-state=live]")).to_be_visible()
    title = page.title()
    with Stream(server.port, example.stream).read_until(b"id: ") as other:
        for text in HOSTILE:
            end.broker.publish(example.topic, example.sender, json.dumps(example.fill(text)).encode())
            for place in example.shows:
                shown = page.locator(place).filter(has_text=text)
                expect(shown).to_have_count(1)
                assert shown.text_content() == text
        end.broker.publish(example.topic, example.sender, json.dumps(example.fill("harmless")).encode())
        expect(page.locator(example.shows[0]).filter(has_text="harmless")).to_be_visible()
        other.read_until(b"harmless")
    assert page.evaluate(INJECTED) == 0
    assert page.title() == title
    assert server.get("/").status_code == 200
