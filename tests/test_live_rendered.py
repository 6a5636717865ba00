"""Live queries that send HTML: what they send, and what becomes of it in pages with htmx and Turbo."""

from __future__ import annotations

import asyncio
import html
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup
from playwright.sync_api import ConsoleMessage, Page, expect
from sqlalchemy import JSON, Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.exc import DetachedInstanceError
from sqlmodel import Field, SQLModel, col

import nitro
from nitro import EventSourceResponse
from nitro.datastar import DatastarResponse
from nitro.datastar.wire_format import datastar
from nitro.delivery import live_queries
from nitro.delivery.hub import Hub
from nitro.delivery.query import Operation
from nitro.delivery.query_state import difference, slid
from nitro.errors import ConfigurationError, InvalidQuery
from nitro.repository import SQLModelRepository
from nitro.sse.wire_formats import text
from tests.apps.frontends import LIBRARIES, library
from tests.clients import take
from tests.documents import Document
from tests.hearing import readings_end
from tests.servers import Server, free_port
from tests.test_live_queries import in_a_loop

RUNS_BLOCKS = {
    "docs/how-to/live.md": [
        "A live list: python",
        "HTML instead of JSON: python",
        "html",
        "Events of rows: python",
        "Events of rows: js",
    ]
}
FIRST_PAGE = Document("docs/how-to/live.md").the("html", "A live list")


class LiveMemo(nitro.Entity, table=True, live=True, topic="memo"):
    title: str = ""
    done: bool = False
    secret: str = Field(default="", exclude=True)


class Base(DeclarativeBase):
    pass


class LivePrice(Base):
    __tablename__ = "live_prices"
    shop: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amount: Mapped[Decimal]
    at: Mapped[datetime]
    data: Mapped[Any] = mapped_column(JSON)
    bought_for: Mapped[int] = mapped_column(default=0)


prices = nitro.live_model(LivePrice, "offer", exclude=["bought_for"])


def item(note: LiveMemo) -> str:
    return f'<li id="memo-{html.escape(note.id)}">{html.escape(note.title)}</li>'


def line(note: LiveMemo) -> Markup:
    return Markup('<tr id="memo-{}"><td>{}</td></tr>').format(note.id, note.title)


@pytest.fixture
def engine(tmp_path: Path, hub_with: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    hub_with()
    repository = SQLModelRepository(f"sqlite:///{tmp_path / 'data.db'}")
    monkeypatch.setattr(LiveMemo, "_repository", repository)
    SQLModel.metadata.create_all(repository.engine, [SQLModel.metadata.tables["livememo"]])
    Base.metadata.create_all(repository.engine)
    monkeypatch.setattr(prices, "_engine", repository.engine)
    yield repository.engine
    readings_end()
    repository.close()


def live(**options: Any) -> nitro.LiveClient:
    options = {"rendered": item, "target": "notes", "order_by": LiveMemo.title, **options}
    return LiveMemo.live(LiveMemo.done == False, **options)  # noqa: E712 - SQL


def saved(**fields: Any) -> LiveMemo:
    return LiveMemo(**fields).save()


async def data_of(client: nitro.Client, count: int = 1) -> list[Any]:
    """The data of its next messages."""
    return [message.data for message in await take(client, count) if isinstance(message, nitro.Message)]


def write(*notes: LiveMemo, deleted: str | None = None) -> None:
    """Save them in one transaction, and delete one."""
    with Session(LiveMemo._repository.engine) as session:
        for note in notes:
            session.merge(note)
        if deleted is not None:
            session.delete(session.get(LiveMemo, deleted))
        session.commit()


def put(id: str) -> str:
    """How htmx removes what may not be there."""
    return (
        f'<div hx-swap-oob="beforeend:#notes:defined"><i id="memo-{id}"></i></div>'
        f'<div id="memo-{id}" hx-swap-oob="delete"></div>'
    )


EXPECTED = {
    "turbo": (
        '<turbo-stream action="update" target="notes"><template><li id="memo-a">A &lt;</li><li id="memo-b">B</li>'
        "</template></turbo-stream>",
        '<turbo-stream action="remove" target="memo-b"></turbo-stream>'
        '<turbo-stream action="replace" target="memo-a"><template><li id="memo-a">a</li></template></turbo-stream>'
        '<turbo-stream action="append" target="notes"><template><li id="memo-c">C</li></template></turbo-stream>',
    ),
    "htmx": (
        '<div hx-swap-oob="innerHTML:#notes"><li id="memo-a">A &lt;</li><li id="memo-b">B</li></div>',
        f'{put("b")}{put("c")}<li hx-swap-oob="true" id="memo-a">a</li>'
        '<div hx-swap-oob="beforeend:#notes"><li id="memo-c">C</li></div>',
    ),
    "htmx table": (
        '<table><tbody hx-swap-oob="innerHTML:#notes"><tr id="memo-a"><td>A &lt;</td></tr>'
        '<tr id="memo-b"><td>B</td></tr></tbody></table>',
        f'{put("b")}{put("c")}<table><tbody><tr hx-swap-oob="true" id="memo-a"><td>a</td></tr></tbody></table>'
        '<table><tbody hx-swap-oob="beforeend:#notes"><tr id="memo-c"><td>C</td></tr></tbody></table>',
    ),
}


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("name", EXPECTED)
@in_a_loop
async def test_a_commit_is_one_piece_of_html(name: str) -> None:
    for id, title in {"a": "A <", "b": "B"}.items():
        await asyncio.to_thread(saved, id=id, title=title)
    options: dict[str, Any] = {"markup": name.split()[0], "order_by": LiveMemo.id}
    with live(rendered=line if name == "htmx table" else item, **options) as client:
        rows, changes = EXPECTED[name]
        assert await data_of(client) == [rows]
        await asyncio.to_thread(write, LiveMemo(id="a", title="a"), LiveMemo(id="c", title="C"), deleted="b")
        [message] = await take(client, 1)
        assert isinstance(message, nitro.Message)
        assert message.data == changes
        assert text(message).decode() == f"id: {message.id}\ndata: {changes}\n\n"


def test_the_first_thing_that_a_process_does_with_its_models_may_be_a_live_list(tmp_path: Path) -> None:
    database = tmp_path / "data.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE fresh (id INTEGER PRIMARY KEY)")
        connection.execute("INSERT INTO fresh VALUES (7)")
    connection.close()
    script = f"""
import asyncio, nitro, sqlalchemy, sqlalchemy.orm
class Base(sqlalchemy.orm.DeclarativeBase): pass
class Fresh(Base):
    __tablename__ = "fresh"
    id: sqlalchemy.orm.Mapped[int] = sqlalchemy.orm.mapped_column(primary_key=True)
rows = nitro.live_model(Fresh, engine=sqlalchemy.create_engine("sqlite:///{database}"))
async def main():
    with rows.live(rendered=lambda row: f'<li id="fresh-{{row.id}}">', target="list") as client:
        print((await anext(client.messages())).data)
asyncio.run(main())
"""
    environment = os.environ | {"PYTHONPATH": str(Path(nitro.__file__).parents[1])}
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, env=environment, check=True, timeout=60, stdout=subprocess.PIPE, text=True)
    assert done.stdout == '<div hx-swap-oob="innerHTML:#list"><li id="fresh-7"></div>\n'


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_a_commit_is_patches_of_datastar_of_which_the_last_one_has_the_id() -> None:
    for id, title in {"a": "A", "b": "B"}.items():
        await asyncio.to_thread(saved, id=id, title=title)
    with live(markup="datastar", order_by=LiveMemo.id) as client:
        [rows] = await take(client, 1)
        assert isinstance(rows, nitro.Message)
        assert datastar(rows).decode() == (
            f"id: {rows.id}\nevent: datastar-patch-elements\ndata: mode inner\ndata: selector #notes\n"
            'data: elements <li id="memo-a">A</li>\ndata: elements <li id="memo-b">B</li>\n\n'
        )
        await asyncio.to_thread(write, LiveMemo(id="a", title="a"), LiveMemo(id='"', title="C"), deleted="b")
        [changes] = await take(client, 1)
        assert isinstance(changes, nitro.Message)
        assert datastar(changes).decode() == (
            'event: datastar-patch-elements\ndata: mode remove\ndata: selector [id="memo-b"], [id="memo-\\22 "]\n\n'
            'event: datastar-patch-elements\ndata: elements <li id="memo-a">a</li>\n\n'
            f"id: {changes.id}\nevent: datastar-patch-elements\ndata: mode append\ndata: selector #notes\n"
            'data: elements <li id="memo-&quot;">C</li>\n\n'
        )


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_rows_come_in_parts_and_only_the_first_takes_the_place_of_what_is_shown() -> None:
    rows = [{"id": f"{n:04}", "title": "x" * 500} for n in range(400)]
    await asyncio.to_thread(LiveMemo.create_many, rows)
    for markup, first, more in (
        ("turbo", '<turbo-stream action="update"', '<turbo-stream action="append"'),
        ("htmx", '<div hx-swap-oob="innerHTML:#notes">', '<div hx-swap-oob="beforeend:#notes">'),
    ):
        with live(markup=markup, order_by=LiveMemo.id) as client:
            parts = await take(client, 4)
        ids = [part.id for part in parts]
        assert ids[:-1] == ["snapshot-0"] * 3 and ids[-1] != "snapshot-0"
        found = [part.data for part in parts if isinstance(part, nitro.Message)]
        assert found[0].startswith(first) and all(part.startswith(more) for part in found[1:])
        assert "".join(found).count("<li ") == 400


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_no_rows_are_an_empty_place() -> None:
    with live() as client:
        assert await data_of(client) == ['<div hx-swap-oob="innerHTML:#notes"></div>']
    with live(markup="turbo", last_event_id="another") as client:
        assert await data_of(client) == [
            '<turbo-stream action="update" target="notes"><template></template></turbo-stream>'
        ]


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_new_rows_come_first_if_the_order_is_descending_and_so_do_those_that_move() -> None:
    first, _ = [await asyncio.to_thread(saved, id=id, title=id) for id in "ab"]
    with live(order_by=col(LiveMemo.title).desc(), markup="turbo", limit=2) as client:
        await data_of(client)
        first.title = "c"
        await asyncio.to_thread(first.save)
        assert (await data_of(client))[0].startswith('<turbo-stream action="prepend" target="notes">')
        await asyncio.to_thread(saved, id="d", title="d")
        assert await data_of(client) == [
            '<turbo-stream action="remove" target="memo-b"></turbo-stream>'
            '<turbo-stream action="prepend" target="notes"><template><li id="memo-d">d</li></template></turbo-stream>'
        ]


def same(note: LiveMemo) -> str:
    """The same HTML whatever has changed."""
    return f'<li id="memo-{note.id}"></li>'


def stream(action: str, *ids: str) -> str:
    rows = "".join([f'<li id="memo-{id}"></li>' for id in ids])
    return f'<turbo-stream action="{action}" target="notes"><template>{rows}</template></turbo-stream>'


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("limit", [None, 3, 50])
@in_a_loop
async def test_a_row_that_moves_is_told_of_although_its_html_stays_the_same(limit: int | None) -> None:
    first, *_ = [await asyncio.to_thread(saved, id=id, title=id) for id in "abc"]
    for order, action in ((LiveMemo.title, "append"), (col(LiveMemo.title).desc(), "prepend")):
        first.title = "a"
        await asyncio.to_thread(first.save)
        with live(rendered=same, order_by=order, markup="turbo", limit=limit) as client:
            await data_of(client)
            first.title = "z"
            await asyncio.to_thread(first.save)
            assert await data_of(client) == [stream(action, "a")]


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_new_rows_of_one_commit_are_in_their_order_and_a_window_keeps_its() -> None:
    newest = col(LiveMemo.title).desc()
    options: dict[str, Any] = {"rendered": same, "markup": "turbo"}
    with (
        live(order_by=newest, **options) as every,
        live(order_by=[newest, LiveMemo.id], limit=3, **options) as window,
        live(order_by=LiveMemo.title, limit=9, **options) as few,
    ):
        for client in (every, window, few):
            assert await data_of(client) == [stream("update")]
        notes = [LiveMemo(id=f"{title}{n}", title=title) for title in "bac" for n in (2, 1)]
        await asyncio.to_thread(write, *notes)
        assert await data_of(every) == [stream("prepend", "c1", "c2", "b1", "b2", "a1", "a2")]
        assert await data_of(few) == [stream("append", "a1", "a2", "b1", "b2", "c1", "c2")]
        assert await data_of(window) == [stream("append", "c1", "c2", "b1")]
        await asyncio.to_thread(write, LiveMemo(id="d", title="bb"), deleted="c2")
        removed = '<turbo-stream action="remove" target="memo-c2"></turbo-stream>'
        assert await data_of(window) == [removed + stream("append", "d", "b1")]
        assert await data_of(every) == [removed + stream("prepend", "d")]
        await asyncio.to_thread(write, LiveMemo(id="e", title="e"), deleted="c1")
        await asyncio.to_thread(write, deleted="d")
        removed = '<turbo-stream action="remove" target="memo-c1"></turbo-stream>'
        assert await data_of(window) == [removed + stream("prepend", "e")]
        removed = '<turbo-stream action="remove" target="memo-d"></turbo-stream>'
        assert await data_of(window) == [removed + stream("append", "b2")]


def listed(rows: dict[str, bytes], operations: list[Operation]) -> dict[str, bytes]:
    """What a page lists that has these rows, and takes these operations as the markups send them."""
    placed = {each.key: each for each in operations if each.is_placed}
    values = {**rows, **{each.key: each.value for each in operations}}
    order = [
        *[key for key, each in placed.items() if each.is_first],
        *[key for key in rows if key not in placed],
        *[key for key, each in placed.items() if not each.is_first],
    ]
    return {key: value for key in order if (value := values[key]) is not None}


rows_by_key = st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from([b"1", b"2"]))
windows = rows_by_key.flatmap(lambda rows: st.permutations(list(rows.items()))).map(dict)


@given(windows, windows)
def test_pages_have_the_order_of_a_window_that_was_read_again(
    before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    operations = difference(before, after, is_html=True)
    assert list(listed(before, operations).items()) == list(after.items())
    plain = {each.key: each for each in difference(before, after, is_html=False)}
    assert plain.keys() == {key for key in before | after if before.get(key) != after.get(key)}
    assert all(each.value == after.get(key) for key, each in plain.items())


@given(windows, windows, st.booleans())
def test_pages_list_rows_as_their_window_does(
    before: dict[str, bytes], changed: dict[str, bytes], is_first: bool
) -> None:
    operations = [Operation("update", key, value, is_moved=True, is_first=is_first) for key, value in changed.items()]
    found = slid(before, operations, 20, is_html=True)
    assert found is not None
    after, given = found
    assert list(listed(before, given).items()) == list(after.items())
    assert after == before | changed


@in_a_loop
async def test_rows_without_an_order_in_python_are_in_that_of_what_has_one(engine: Engine) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC).replace(tzinfo=None)

    def write() -> None:
        with Session(engine) as session:
            for number, data in ((3, {"x": 1}), (2, None), (1, [])):
                session.add(LivePrice(shop="a", number=number, amount=Decimal(number % 2), at=at, data=data))
            session.commit()

    def shown(price: LivePrice) -> str:
        return f'<p id="offer-{price.shop}:{price.number}">'

    with prices.live(rendered=shown, target="offers", order_by=[LivePrice.data, LivePrice.amount]) as client:
        await data_of(client)
        await asyncio.to_thread(write)
        [rows] = await data_of(client)
        assert re.findall(r'<p id="offer-a:(\d)">', rows) == ["2", "1", "3"]


@in_a_loop
async def test_a_row_is_the_same_when_it_is_read_and_when_it_has_changed(engine: Engine) -> None:
    seen: list[LivePrice] = []

    def see(price: LivePrice) -> str:
        with pytest.raises(DetachedInstanceError):
            _ = price.bought_for
        seen.append(price)
        return f'<p id="offer-{price.shop}:{price.number}">'

    def write(amount: str) -> None:
        at = datetime(2026, 1, 2, tzinfo=UTC).replace(tzinfo=None)
        with Session(engine) as session:
            session.merge(LivePrice(shop="a", number=1, amount=Decimal(amount), at=at, data={"x": [1, None]}))
            session.commit()

    await asyncio.to_thread(write, "1.50")
    with prices.live(rendered=see, target="offers") as client:
        await data_of(client)
        await asyncio.to_thread(write, "2.50")
        await data_of(client)
    with prices.live(rendered=see, target="offers") as client:
        await data_of(client)
    [_, changed, read] = seen
    assert type(changed) is LivePrice and changed is not read
    for name in ("shop", "number", "amount", "at", "data"):
        assert getattr(changed, name) == getattr(read, name)
        assert type(getattr(changed, name)) is type(getattr(read, name))
    assert changed.amount == Decimal("2.5") and changed.data == {"x": [1, None]}


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_an_excluded_field_of_an_entity_is_not_there() -> None:
    seen: list[LiveMemo] = []

    def see(note: LiveMemo) -> str:
        seen.append(note)
        return item(note)

    await asyncio.to_thread(saved, id="a", title="A", secret="for nobody")
    with live(rendered=see) as client:
        await data_of(client)
    assert seen[0].title == "A" and seen[0].done is False
    with pytest.raises(DetachedInstanceError):
        _ = seen[0].secret


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_templates(tmp_path: Path) -> None:
    (tmp_path / "note.html").write_text(
        """{# one #}\n<li class="x" id='memo-{{ key }}'>{% include "title.html" %}{{ row.done }}</li>\n"""
    )
    (tmp_path / "title.html").write_text("<b>{{ memo.title }}</b>")
    await asyncio.to_thread(saved, id="a", title="<A>")
    expected = """<li class="x" id='memo-a'><b>&lt;A&gt;</b>False</li>"""
    loaded = jinja2.Environment(loader=jinja2.FileSystemLoader(tmp_path), autoescape=True).get_template("note.html")
    for rendered in (str(tmp_path / "note.html"), tmp_path / "note.html", loaded):
        with live(rendered=rendered) as client:
            [found] = await data_of(client)
            assert expected in found
    with pytest.raises(ConfigurationError, match=r"no .*/absent\.html"):
        live(rendered=str(tmp_path / "absent.html"))


@pytest.mark.usefixtures("engine")
def test_a_template_without_jinja_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(ConfigurationError, match="pip install jinja2"):
        live(rendered=str(tmp_path / "note.html"))


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_rows_are_rendered_once_for_all_queries_that_show_them_alike() -> None:
    calls: list[str] = []

    def count(note: LiveMemo) -> str:
        calls.append(note.title)
        return item(note)

    clients = [
        live(rendered=count, target=target, markup=markup, limit=limit).connect()
        for target in ("notes", "others")
        for markup in ("turbo", "htmx")
        for limit in (None, 10)
    ]
    for client in clients:
        await data_of(client)
    await asyncio.to_thread(saved, id="a", title="A")
    for client in clients:
        assert "memo-a" in (await data_of(client))[0]
        client.disconnect()
    assert calls == ["A"]


@in_a_loop
async def test_queries_are_one_if_they_show_rows_alike(engine: Engine) -> None:
    def query(**options: Any) -> Any:
        return live(**options).interest.query

    assert query() == query() and hash(query()) == hash(query()) and query().fingerprint == query().fingerprint
    options: list[dict[str, Any]] = [{}, {"rendered": line}, {"target": "others"}, {"markup": "turbo"}]
    plain = LiveMemo.live(LiveMemo.done == False, order_by=LiveMemo.title).interest.query  # noqa: E712 - SQL
    queries = [*[query(**each) for each in options], plain]
    assert len(set(queries)) == len({each.fingerprint for each in queries}) == 5
    assert " at 0x" not in query().fingerprint
    assert engine is LiveMemo._repository.engine


@pytest.mark.usefixtures("engine")
def test_what_is_wrong_is_said_where_it_is_declared() -> None:
    for target in (None, "", "a b", 'a"', "<a>", "#a", "a.b"):
        with pytest.raises(InvalidQuery, match="target is "):
            live(target=target)
    with pytest.raises(InvalidQuery, match="markup is 'react'"):
        live(markup="react")
    with pytest.raises(ConfigurationError, match="a function of a row or a template"):
        live(rendered=7)
    with pytest.raises(InvalidQuery, match="give rendered="):
        live(rendered=None)


@pytest.mark.usefixtures("engine")
def test_the_response_suits_the_markup() -> None:
    for markup in ("htmx", "turbo"):
        assert EventSourceResponse(live(markup=markup))._wire_format is text
        with pytest.raises(ConfigurationError, match=r"EventSourceResponse\(client\)"):
            DatastarResponse(live(markup=markup))
    DatastarResponse(live(markup="datastar"))
    with pytest.raises(ConfigurationError, match=r"DatastarResponse\(client\)"):
        EventSourceResponse(live(markup="datastar"))


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize(
    ("rendered", "why"),
    [
        (lambda note: f"<li>{note.title}</li>", 'one element with id="memo-a"'),
        (lambda note: f'text <li id="memo-{note.id}">', 'one element with id="memo-a"'),
        (lambda note: f'<li data-id="memo-{note.id}">', 'one element with id="memo-a"'),
        (lambda note: 7, "has to return HTML as text, and has returned 7"),
        (lambda note: note.nothing, "AttributeError"),
        (lambda note: note.secret, "DetachedInstanceError"),
    ],
    ids=["no id", "text", "another attribute", "no text", "an error", "an excluded field"],
)
@in_a_loop
async def test_rows_that_can_not_be_rendered_end_their_clients_and_nobody_else(
    rendered: Any, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live_queries, "_RETRIES_SECONDS", (0.01,))
    with live() as other, live(rendered=rendered) as client, live(rendered=rendered, limit=3) as window:
        for each in (other, client, window):
            await data_of(each)
        await asyncio.to_thread(saved, id="a", title="A")
        async with asyncio.timeout(5):
            assert [message async for message in client.messages()] == []
            assert [message async for message in window.messages()] == []
        assert "memo-a" in (await data_of(other))[0]
    assert why in caplog.text and "its clients are ended" in caplog.text
    with live(rendered=rendered) as client:
        async with asyncio.timeout(5):
            assert [message async for message in client.messages()] == []


NAMES = ["htmx 2", "htmx 4", "Turbo", "Turbo, by the client"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    missing = [path for path in map(library, LIBRARIES) if not path.exists()]
    if missing:
        pytest.skip(f"NO FRONTEND LIBRARIES: {missing[0]} is missing; run `npm ci` in js/ to run this test")
    return {"NITRO_BROKER_URL": f"sqlite:///{tmp_path_factory.mktemp('rendered') / 'data.db'}"}


@pytest.fixture(scope="module")
def server(environment: dict[str, str]) -> Iterator[Server]:
    with Server("tests.apps.rendered:app", environment=environment) as started:
        yield started
    assert "Traceback" not in started.output, started.output


@pytest.fixture
def errors(page: Page) -> Iterator[list[str]]:
    """What the page's libraries complain about."""
    found: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            found.append(message.text)

    page.on("console", note)
    yield found
    page.goto("about:blank")


def open_page(page: Page, server: Server, name: str, rows: str = "list", **notes: str) -> Any:
    """Show the page with these notes, and nothing of another test's."""
    page.goto("about:blank")
    until_clients(server, 0)
    server.post("/forget")
    server.post("/notes", json=notes)
    page.goto(f"{server.url}/pages/{name}/{rows}")
    items = page.locator("#notes > *")
    expect(items).to_have_text(list(notes.values()))
    return items


def until_clients(server: Server, count: int) -> None:
    deadline = time.monotonic() + 10
    while server.get("/clients").json() != count:
        assert time.monotonic() < deadline, f"there are not {count} clients"
        time.sleep(0.01)


@pytest.mark.browser
@pytest.mark.parametrize("rows", ["list", "table"])
@pytest.mark.parametrize("name", NAMES)
def test_a_page_follows_its_rows(server: Server, page: Page, errors: list[str], name: str, rows: str) -> None:
    items = open_page(page, server, name, rows, a="A", b="B<b>&")
    page.evaluate("document.title = 'the same document'")
    server.post("/notes", json={"c": "C", "d:1 \"'<x>": "D"})
    expect(items).to_have_text(["A", "B<b>&", "C", "D"])
    server.post("/notes", json={"d:1 \"'<x>": None})
    expect(items).to_have_text(["A", "B<b>&", "C"])
    server.post("/notes", json={"a": None, "e": "E"})
    expect(items).to_have_text(["B<b>&", "C", "E"])
    server.post("/notes", json={"a": "AA", "c": "", "e": "E"})
    expect(items).to_have_text(["B<b>&", "E", "AA"])
    server.post("/again", params={"id": "b"})
    expect(items).to_have_text(["E", "AA", "B<b>&"])
    server.post("/notes", json={f"n{n}": f"{n}" for n in range(40)})
    expect(items).to_have_count(43)
    server.post("/notes", json={f"n{n}": None for n in range(40)})
    expect(items).to_have_text(["E", "AA", "B<b>&"])
    assert items.evaluate_all("all => new Set(all.map(item => item.tagName)).size") == 1
    assert page.title() == "the same document"
    assert errors == []


@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
def test_all_rows_take_the_place_of_what_a_page_shows(server: Server, page: Page, errors: list[str], name: str) -> None:
    items = open_page(page, server, name, a="A")
    page.evaluate("document.title = 'the same document'")
    server.post("/many")
    expect(items).to_have_count(1101, timeout=20_000)
    texts = items.evaluate_all("all => all.map(item => item.textContent.slice(0, 4))")
    assert texts == [*(f"{n:04}" for n in range(1100)), "A"]
    server.post("/notes", json={"z": "Z"})
    expect(items.last).to_have_text("Z")
    assert page.title() == "the same document"
    assert errors == []


@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
def test_a_window_slides_in_a_page(server: Server, page: Page, errors: list[str], name: str) -> None:
    items = open_page(page, server, name, "window", a="1", b="2", c="3")
    server.post("/notes", json={"d": "0"})
    expect(items).to_have_text(["0", "1", "2"])
    server.post("/notes", json={"d": None, "b": "2"})
    expect(items).to_have_text(["1", "2", "3"])
    newest = open_page(page, server, name, "newest", a="9", b="8")
    server.post("/notes", json={"c": "99"})
    expect(newest).to_have_text(["99", "9", "8"])
    assert errors == []


@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
def test_a_page_whose_server_restarts_goes_on_where_it_was(environment: dict[str, str], page: Page, name: str) -> None:
    port = free_port()
    with Server("tests.apps.rendered:app", environment=environment, port=port) as first:
        items = open_page(page, first, name, a="A", b="B")
        page.evaluate("document.title = 'the same document'")
        page.evaluate("document.querySelector('#note-a').isKept = true")
    with Server("tests.apps.rendered:app", environment=environment, port=port) as second:
        second.post("/notes", json={"b": "", "c": "C"})
        expect(items).to_have_text(["A", "C"], timeout=20_000)
        second.post("/notes", json={"d": "D"})
        expect(items).to_have_text(["A", "C", "D"])
        assert page.evaluate("document.querySelector('#note-a').isKept"), "the rows came again"
        assert page.title() == "the same document"
        page.goto("about:blank")


@pytest.mark.browser
def test_the_examples_of_the_documentation(
    tmp_path: Path, environment: dict[str, str], page: Page, errors: list[str]
) -> None:
    environment = {**environment, "NITRO_DB_URL": f"sqlite:///{tmp_path / 'todos.db'}"}
    (tmp_path / "list.html").write_text(FIRST_PAGE.source)
    with Server("tests.apps.rendered_in_docs:app", directory=tmp_path, environment=environment) as started:
        titles: list[str] = []
        for path in ("pages/htmx 4", "pages/htmx 2", "pages/Turbo", ""):
            page.goto(f"{started.url}/{path}")
            items = page.locator("#list > li")
            expect(items).to_have_text(titles)
            for text in ("<b>", "second"):
                titles.append(f"{len(titles):02} {text}")
                started.post("/todos", params={"title": titles[-1]})
                expect(items).to_have_text(titles)
            page.reload()
            expect(items).to_have_text(titles)
            second = page.context.new_page()
            second.goto(page.url)
            expect(second.locator("#list > li")).to_have_text(titles)
            titles.append(f"{len(titles):02} for both tabs")
            started.post("/todos", params={"title": titles[-1]})
            for tab in (page, second):
                expect(tab.locator("#list > li")).to_have_text(titles)
            second.close()
            assert errors == []
        page.goto(f"{started.url}/pages/events")
        page.wait_for_function("source.readyState === EventSource.OPEN")
        started.post("/todos", params={"title": "heard"})
        expect(items).to_have_text(["heard"])
        page.goto("about:blank")
    assert "Traceback" not in started.output, started.output
