"""Live queries: all rows first, then what becomes of them, one message for each commit."""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import httpx
import pytest
from fastapi import FastAPI
from pydantic import computed_field
from sqlalchemy import JSON, Engine, create_engine, event, text, update
from sqlalchemy import insert as insert_rows
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import StaticPool
from sqlmodel import Field, SQLModel, col

import nitro
from nitro.delivery import live_queries
from nitro.delivery.hub import Hub
from nitro.delivery.process import get_hub
from nitro.errors import AccessDenied, ArgumentTypeError, ConfigurationError, InvalidQuery
from nitro.live import state_frames
from nitro.repository import SQLModelRepository
from tests.clients import take
from tests.documents import Document
from tests.hearing import readings_end
from tests.wire import Wire

RUNS_BLOCKS = {"docs/how-to/live.md": ["Live queries: text", "Who may have the rows: python"]}

START, END, RESET = ({"headers": {"control": word}} for word in ("snapshot-start", "snapshot-end", "reset"))


P = ParamSpec("P")


def in_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    @wraps(test)
    def run(*arguments: P.args, **named: P.kwargs) -> None:
        asyncio.run(test(*arguments, **named))

    return run


class LiveCard(nitro.Entity, table=True, live=True, topic="card"):
    owner: int = 0
    title: str = ""
    done: bool = False
    note: str = Field(default="", exclude=True)


class Base(DeclarativeBase):
    pass


class LivePart(Base):
    __tablename__ = "live_parts"
    machine: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column("no", primary_key=True, autoincrement=False)
    weight: Mapped[int | None] = mapped_column(default=None)
    data: Mapped[Any] = mapped_column(JSON, nullable=True)


parts = nitro.live_model(LivePart, "part")


@pytest.fixture
def engine(tmp_path: Path, hub_with: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    hub_with()
    repository = SQLModelRepository(f"sqlite:///{tmp_path / 'data.db'}")
    monkeypatch.setattr(LiveCard, "_repository", repository)
    SQLModel.metadata.create_all(repository.engine, [SQLModel.metadata.tables["livecard"]])
    Base.metadata.create_all(repository.engine)
    monkeypatch.setattr(parts, "_engine", repository.engine)
    yield repository.engine
    readings_end()
    repository.close()


class Reader:
    """A client that is read in the background.

    Attributes:
        batches: the data of its messages.
        ids: their ids.
    """

    def __init__(self, client: nitro.Client) -> None:
        self.client = client
        self.batches: list[list[dict[str, Any]]] = []
        self.ids: list[str] = []
        self._news = asyncio.Event()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.client.messages():
            assert isinstance(message, nitro.Message), "a live query never gets a gap"
            self.batches.append(message.data)
            self.ids.append(str(message.id))
            self._news.set()

    async def take(self, batches: int = 1) -> list[list[dict[str, Any]]]:
        """The next batches."""
        async with asyncio.timeout(10):
            while len(self.batches) < batches:
                self._news.clear()
                await self._news.wait()
        taken, self.batches = self.batches[:batches], self.batches[batches:]
        return taken

    async def next(self) -> list[dict[str, Any]]:
        """The next batch; all rows together with the reset before them."""
        [batch] = await self.take()
        return [*batch, *(await self.take())[0]] if batch == [RESET] else batch


@asynccontextmanager
async def reading(client: nitro.Client) -> AsyncIterator[Reader]:
    with client:
        reader = Reader(client)
        try:
            yield reader
        finally:
            client.disconnect()
            await reader._task


def shown(card: LiveCard) -> dict[str, Any]:
    return {"id": card.id, "owner": card.owner, "title": card.title, "done": card.done}


def change(operation: str, card: LiveCard) -> dict[str, Any]:
    value = {} if operation == "delete" else {"value": shown(card)}
    return {"type": "card", "key": card.id, **value, "headers": {"operation": operation}}


def unfinished(card: LiveCard) -> dict[str, Any]:
    """Its insert before it was done."""
    inserted = change("insert", card)
    inserted["value"]["done"] = False
    return inserted


def saved(**fields: Any) -> LiveCard:
    return LiveCard(**fields).save()


@in_a_loop
async def test_on_the_wire_it_looks_as_in_the_documentation(engine: Engine) -> None:
    """Whose `…` stands for anything."""
    shown = Document("docs/how-to/live.md").the("text", "Live queries").source.replace('"todo"', '"card"')
    pattern = re.escape(re.sub(r"1f3a…-\d+", "…", shown).strip()).replace("…", ".*")
    leaves, _, stays = saved(id="7"), saved(id="8", title="x" * state_frames.PART_BYTES), saved(id="9")
    wire = Wire()
    streaming = wire.answer(LiveCard.live(col(LiveCard.done).is_(False), order_by=LiveCard.id))
    await wire.until(b"snapshot-end")
    with Session(engine) as session:
        for card, changed in ((leaves, {"done": True}), (stays, {"title": "another"})):
            session.execute(update(LiveCard).where(col(LiveCard.id) == card.id).values(changed))
        session.commit()
    body = await wire.until(b'"update"')
    assert re.search(pattern, body.decode())
    wire.gone.set()
    await streaming


@pytest.fixture
def selects(engine: Engine) -> list[str]:
    """The SELECTs of live queries."""
    found: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        if threading.current_thread().name.startswith("nitro live query") and statement.startswith("SELECT"):
            found.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    return found


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_rows_that_enter_stay_and_leave() -> None:
    card = await asyncio.to_thread(saved, owner=1, title="first", note="for nobody")
    await asyncio.to_thread(saved, owner=2, title="of another")
    async with reading(LiveCard.live(LiveCard.owner == 1, LiveCard.done == False)) as reader:  # noqa: E712 - SQL
        assert await reader.next() == [START, change("insert", card), END]
        card.title = "changed"
        await asyncio.to_thread(card.save)
        assert await reader.next() == [change("update", card)]
        card.done = True
        await asyncio.to_thread(card.save)
        assert await reader.next() == [change("delete", card)]
        card.title = "nobody sees it"
        await asyncio.to_thread(card.save)
        card.done = False
        await asyncio.to_thread(card.save)
        assert await reader.next() == [change("insert", card)]
        card.note = "stays on the server"
        await asyncio.to_thread(card.save)
        await asyncio.to_thread(card.delete)
        assert await reader.next() == [change("delete", card)]


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_a_commit_is_one_batch_and_what_is_rolled_back_is_none(engine: Engine) -> None:
    async with reading(parts.live(LivePart.weight > 1)) as reader:
        assert await reader.next() == [START, END]

        def write() -> None:
            with Session(engine) as session:
                session.add(LivePart(machine="lost", number=1, weight=5))
                session.rollback()
                session.add(LivePart(machine="a:b", number=1, weight=5, data={"x": [None, 1.5]}))
                session.add(LivePart(machine="a", number=2, weight=2))
                session.add(LivePart(machine="light", number=3, weight=1))
                session.commit()

        await asyncio.to_thread(write)
        [batch] = await reader.take()
        assert {each["key"] for each in batch} == {"a:2", "a\\:b:1"}
        values = {each["key"]: each["value"] for each in batch}
        assert values["a\\:b:1"] == {"machine": "a:b", "number": 1, "weight": 5, "data": {"x": [None, 1.5]}}
        assert reader.batches == []


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_who_resumes_gets_what_it_missed_and_no_rows_again(selects: list[str]) -> None:
    async with reading(LiveCard.live(LiveCard.owner == 1)) as reader:
        await reader.next()
        last_id = reader.ids[-1]
        assert last_id == str(get_hub().broker.head)
    assert len(selects) == 1
    card = await asyncio.to_thread(saved, owner=1)
    await asyncio.to_thread(saved, owner=2)
    async with reading(LiveCard.live(LiveCard.owner == 1, last_event_id=last_id)) as reader:
        assert await reader.next() == [change("insert", card)]
        await asyncio.to_thread(card.delete)
        assert await reader.next() == [change("delete", card)]
    assert len(selects) == 1


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("last_event_id", ["nonsense", "0abc-5", "snapshot-0", "snapshot-1"])
@in_a_loop
async def test_who_can_not_resume_gets_all_rows_behind_a_reset(last_event_id: str) -> None:
    card = await asyncio.to_thread(saved, owner=1)
    async with reading(LiveCard.live(LiveCard.owner == 1, last_event_id=last_event_id)) as reader:
        assert await reader.next() == [RESET, START, change("insert", card), END]


@in_a_loop
async def test_a_log_that_has_forgotten_is_a_reset(hub_with: Callable[..., Hub], engine: Engine) -> None:
    hub_with(history_messages=4)
    async with reading(LiveCard.live()) as reader:
        await reader.next()
        last_id = reader.ids[-1]
    cards = [await asyncio.to_thread(saved, title=str(n)) for n in range(4)]
    async with reading(LiveCard.live(order_by=LiveCard.title, last_event_id=last_id)) as reader:
        assert await reader.next() == [RESET, START, *[change("insert", card) for card in cards], END]


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_only_the_last_part_of_the_rows_has_an_id_to_resume_from() -> None:
    rows = [{"id": f"{n:04}", "title": "x" * 500} for n in range(400)]
    await asyncio.to_thread(LiveCard.create_many, rows)
    async with reading(LiveCard.live()) as reader:
        parts = await reader.take(4)
        assert set(reader.ids[:-1]) == {"snapshot-0"}
        assert reader.ids[-1] == str(get_hub().broker.head)
        assert parts[0][0] == START and parts[-1][-1] == END
        assert [each["key"] for part in parts for each in part if "key" in each] == [row["id"] for row in rows]


@in_a_loop
async def test_more_rows_than_are_told_one_by_one_are_read_again(engine: Engine) -> None:
    async with (
        reading(parts.live(LivePart.weight == 7)) as reader,
        reading(parts.live(order_by=LivePart.number.desc(), limit=2)) as first,
    ):
        assert await reader.next() == await first.next() == [START, END]
        rows = [{"machine": "m", "number": n, "weight": 7 if n < 3 else 0} for n in range(1001)]

        def write() -> None:
            with Session(engine) as session:
                session.execute(insert_rows(LivePart), rows)
                session.commit()

        await asyncio.to_thread(write)
        batch = await reader.next()
        assert batch[:2] == [RESET, START] and [each["key"] for each in batch[2:-1]] == ["m:0", "m:1", "m:2"]
        assert [(each["key"], each["headers"]) for each in await first.next()] == [
            ("m:1000", {"operation": "insert"}),
            ("m:999", {"operation": "insert"}),
        ]


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_what_is_said_by_hand_comes_as_what_it_is_now(engine: Engine) -> None:
    cards = [await asyncio.to_thread(saved, owner=1) for _ in range(3)]
    async with reading(LiveCard.live(LiveCard.owner == 1, order_by=LiveCard.title)) as reader:
        await reader.next()

        def write() -> None:
            with engine.begin() as connection:
                connection.execute(text("update livecard set title = 'sql' where id = :id"), {"id": cards[0].id})
                connection.execute(text("update livecard set owner = 2 where id = :id"), {"id": cards[1].id})
                connection.execute(text("delete from livecard where id = :id"), {"id": cards[2].id})
            LiveCard.changed([card.id for card in cards])

        await asyncio.to_thread(write)
        cards[0].title = "sql"
        assert await reader.next() == [
            change("update", cards[0]),
            change("delete", cards[1]),
            change("delete", cards[2]),
        ]


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_a_window_slides(selects: list[str]) -> None:
    a, b, c = [await asyncio.to_thread(saved, title=title) for title in "abc"]
    async with reading(LiveCard.live(order_by=LiveCard.title, limit=2)) as reader:
        assert await reader.next() == [START, change("insert", a), change("insert", b), END]
        b.done = True
        await asyncio.to_thread(b.save)
        assert await reader.next() == [change("update", b)]
        c.done = True
        await asyncio.to_thread(c.save)  # outside, and where it was
        assert len(selects) == 1
        a.title = "z"
        await asyncio.to_thread(a.save)
        assert await reader.next() == [change("delete", a), change("insert", c)]
        await asyncio.to_thread(b.delete)
        assert await reader.next() == [change("delete", b), change("insert", a)]
        await asyncio.to_thread(c.delete)
        assert await reader.next() == [change("delete", c)]
        read = len(selects)
        async with reading(LiveCard.live(order_by=LiveCard.title, limit=2)) as other:
            assert await other.next() == [START, change("insert", a), END]
        assert len(selects) == read, "whoever comes gets the window that is there"
        d = await asyncio.to_thread(saved, title="d")
        assert await reader.next() == [change("insert", d)]
        assert len(selects) == read, "there is room in the window"
        async with reading(LiveCard.live(order_by=LiveCard.title, limit=2)) as other:
            assert await other.next() == [START, change("insert", d), change("insert", a), END]


def change_in_silence(gone: LiveCard, changed: LiveCard) -> LiveCard:
    """Delete a row, save another one and add one, which nobody is told of."""
    with LiveCard.silent():
        gone.delete()
        changed.save()
        return saved(title="z")


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_a_window_that_is_not_new_is_read_again_for_those_who_begin_and_all_get_what_was_not_seen(
    monkeypatch: pytest.MonkeyPatch, selects: list[str]
) -> None:
    monkeypatch.setattr(live_queries, "_SHARED_SECONDS", 60.0)
    a, b = [await asyncio.to_thread(saved, title=title) for title in "ab"]
    query: dict[str, Any] = {"order_by": LiveCard.title, "limit": 5}
    async with reading(LiveCard.live(**query)) as reader:
        assert await reader.next() == [START, change("insert", a), change("insert", b), END]
        async with reading(LiveCard.live(last_event_id=reader.ids[-1], **query)) as resumed:
            b.done = True
            c = await asyncio.to_thread(change_in_silence, a, b)
            async with reading(LiveCard.live(**query)) as other:
                assert await other.next() == [START, change("insert", a), unfinished(b), END]
            assert len(selects) == 1, "a moment later, the rows are shared"
            monkeypatch.setattr(live_queries, "_SHARED_SECONDS", 0.0)
            async with reading(LiveCard.live(**query)) as other:
                assert await other.next() == [START, change("insert", b), change("insert", c), END]
            assert await reader.next() == [change("delete", a), change("update", b), change("insert", c)]
            assert await resumed.next() == [RESET, START, change("insert", b), change("insert", c), END]
            b.done = False
            await asyncio.to_thread(b.save)
            assert await reader.next() == await resumed.next() == [change("update", b)]


@in_a_loop
async def test_who_begins_while_rows_can_not_be_read_ends_nobody_who_has_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_queries, "_RETRIES_SECONDS", ())
    monkeypatch.setattr(live_queries, "_SHARED_SECONDS", 0.0)
    gate = Gate(engine)
    card = await asyncio.to_thread(saved, title="a")
    query: dict[str, Any] = {"order_by": LiveCard.title, "limit": 2}
    async with reading(LiveCard.live(**query)) as reader:
        assert await reader.next() == [START, change("insert", card), END]
        gate.shut()
        gate.fails = True
        async with reading(LiveCard.live(**query)) as other:
            assert await asyncio.to_thread(gate.reached.wait, 10)
            card.done = True
            await asyncio.to_thread(card.save)
            gate.open()
            await other._task
            assert other.batches == []
        assert await reader.next() == [change("update", card)]
        second = await asyncio.to_thread(saved, title="b")
        assert await reader.next() == [change("insert", second)]
        await asyncio.to_thread(saved, title="0")  # the window's edge: it is wrong until it is read
        async with asyncio.timeout(10):
            await reader._task


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_a_window_is_resumed_if_nothing_has_happened_in_it() -> None:
    card = await asyncio.to_thread(saved, owner=1)
    query: dict[str, Any] = {"order_by": LiveCard.title, "limit": 2}
    async with reading(LiveCard.live(LiveCard.owner == 1, **query)) as reader:
        await reader.next()
        last_id = reader.ids[-1]
    await asyncio.to_thread(saved, owner=2)
    async with reading(LiveCard.live(LiveCard.owner == 1, last_event_id=last_id, **query)) as reader:
        card.title = "changed"
        await asyncio.to_thread(card.save)  # what a client had before is known to nobody here
        assert await reader.next() == [RESET, START, change("insert", card), END]
        last_id = reader.ids[-1]
    card.title = "again"
    await asyncio.to_thread(card.save)
    async with reading(LiveCard.live(LiveCard.owner == 1, last_event_id=last_id, **query)) as reader:
        assert await reader.next() == [RESET, START, change("insert", card), END]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("limit", [None, 5])
@in_a_loop
async def test_a_thousand_clients_of_one_query_read_its_rows_once(selects: list[str], limit: int | None) -> None:
    await asyncio.to_thread(LiveCard.create_many, [{"title": str(n)} for n in range(10)])
    query: dict[str, Any] = {"order_by": LiveCard.title, "limit": limit}
    clients = [LiveCard.live(LiveCard.owner == 0, **query).connect() for _ in range(1_000)]
    try:
        found = await asyncio.gather(*(take(client, 1) for client in clients))
        assert {message.json for [message] in found} == {found[0][0].json}
        assert len(selects) == 1
        lane = get_hub()._lanes[asyncio.get_running_loop()]
        assert len(lane.feeds) == len(lane.feeds.queries) == 1
    finally:
        for client in clients:
            client.disconnect()
    assert not lane.queries._states and not lane.queries._waiting


@in_a_loop
async def test_equal_queries_are_one(engine: Engine) -> None:
    def query(*where: Any, **options: Any) -> Any:
        return LiveCard.live(*where, **options).interest.query

    assert query(LiveCard.owner == 1) == query(LiveCard.owner == 1) != query(LiveCard.owner == 2)
    assert hash(query(LiveCard.owner == 1)) == hash(query(LiveCard.owner == 1))
    assert query(LiveCard.owner == 1).fingerprint == query(LiveCard.owner == 1).fingerprint
    assert len({query(limit=2), query(limit=3), query(order_by=LiveCard.title), query()}) == 4
    one, other = LiveCard.live(LiveCard.owner == 1), LiveCard.live(LiveCard.owner == 2)
    assert (
        one.greeting({})["for"] == LiveCard.live(LiveCard.owner == 1).greeting({})["for"] != other.greeting({})["for"]
    )
    assert engine is LiveCard._repository.engine


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_who_reads_slowly_gets_the_rows_again(monkeypatch: pytest.MonkeyPatch) -> None:
    client = LiveCard.live(max_messages=3, overflow="drop_oldest")
    with client:
        [first] = await take(client, 1)
        assert json.loads(first.json) == [START, END]
        for n in range(40):
            await asyncio.to_thread(saved, title=str(n))
            await asyncio.sleep(0)
        messages: list[dict[str, Any]] = []
        while sum("key" in each for each in messages) < 40:
            [then] = await take(client, 1)
            messages += json.loads(then.json)
        assert messages[:2] == [RESET, START] and messages.count(RESET) == messages.count(END) == 1


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_rights() -> None:
    with pytest.raises(AccessDenied):
        LiveCard.live(allowed=["task.*"])
    with pytest.raises(AccessDenied):
        LiveCard.live(allowed={"card.*": ["1"]})
    with pytest.raises(AccessDenied):
        LiveCard.live(denied=["card.deleted"])
    client = LiveCard.live(allowed=["card.*"], user_id="7")
    async with reading(client) as reader:
        await reader.next()
        client.revoke("other.*")
        assert client.is_connected
        client.revoke("card.updated")
        assert not client.is_connected
    client = LiveCard.live(user_id="8", expires_at=time.time() + 0.2)
    with client:
        async with asyncio.timeout(5):
            assert len([message async for message in client.messages()]) == 1
    with LiveCard.live(user_id="9") as client:
        await take(client, 1)
        nitro.disconnect_user("9")
        assert not client.is_connected
    for method in (client.subscribe, client.unsubscribe, client.mute, client.unmute, client.grant):
        with pytest.raises(ConfigurationError, match="a live client gets the rows of its query"):
            method("card.*")


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_rights_that_are_missing_are_answered_as_the_documentation_has_it() -> None:
    app = FastAPI()
    document = Document("docs/how-to/live.md")
    document.run(document.the("python", "Who may have the rows"), {"app": app})

    @app.get("/{topic}/{expires_at}")
    async def live(topic: str, expires_at: float) -> nitro.EventSourceResponse:
        return nitro.EventSourceResponse(LiveCard.live(grant=nitro.Grant([topic], expires_at=expires_at)))

    later = time.time() + 1000
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        for path, status, said in (
            (f"/card.created/{later}", 403, "'card.updated' is not allowed"),
            ("/card.*/1", 401, "have expired"),
        ):
            answer = await http.get(path)
            assert answer.status_code == status
            assert said in answer.json()["detail"]


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_what_can_not_be_asked() -> None:
    with pytest.raises(InvalidQuery, match="limit is 0"):
        LiveCard.live(limit=0)
    with pytest.raises(InvalidQuery, match="order_by has"):
        LiveCard.live(order_by=text("title"))
    with pytest.raises(InvalidQuery, match="order_by has"):
        LiveCard.live(order_by=LiveCard.note)
    for written, meant in (("title", "LiveCard.title"), ("-owner", "LiveCard.owner.desc()")):
        with pytest.raises(InvalidQuery, match=rf"write order_by={re.escape(meant)}$"):
            LiveCard.live(order_by=written)
    with pytest.raises(InvalidQuery, match="order_by has note, and can have columns"):
        LiveCard.live(order_by="note")
    with pytest.raises(ArgumentTypeError, match=r"write live\(LiveCard.title == …\), not live\(title=…\)"):
        LiveCard.live(title="a")
    with pytest.raises(ArgumentTypeError, match=r"takes no 'topics'; it takes conditions, and order_by, .*user_id"):
        LiveCard.live(topics=["card.*"])
    with pytest.raises(InvalidQuery, match="note"):
        LiveCard.live(LiveCard.note == "secret")
    with pytest.raises(InvalidQuery):
        LiveCard.live(col(LiveCard.title).like("%a%"))
    LiveCard.live(order_by=[LiveCard.title, col(LiveCard.owner).desc()])


@in_a_loop
async def test_a_class_of_somebody_elses_needs_an_engine(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_engine", None)
    with pytest.raises(ConfigurationError, match=r"nitro.live_model\(LivePart, engine=engine\)"):
        parts.live()
    with Session(engine) as session:
        session.add(LivePart(machine="m", number=1))
        session.commit()
    asynchronous = create_async_engine(str(engine.url).replace("sqlite:", "sqlite+aiosqlite:"))
    monkeypatch.setattr(parts, "_engine", asynchronous)
    async with reading(parts.live(LivePart.weight.is_(None))) as reader:
        value = {"machine": "m", "number": 1, "weight": None, "data": None}
        inserted = {"type": "part", "key": "m:1", "value": value, "headers": {"operation": "insert"}}
        assert await reader.next() == [START, inserted, END]
    await asynchronous.dispose()


@in_a_loop
async def test_rows_that_can_not_be_read_are_tried_again_and_then_end_the_client(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live_queries, "_RETRIES_SECONDS", (0.01, 0.01))
    with engine.begin() as connection:
        connection.execute(text("alter table livecard rename to elsewhere"))
    client = LiveCard.live()
    with client:
        async with asyncio.timeout(5):
            assert [message async for message in client.messages()] == []
    assert "its clients are ended" in caplog.text
    assert caplog.text.count("trying again") == 2
    assert "the tables are made by LiveCard._repository.init_db()" in caplog.text
    with LiveCard.live() as client:
        await asyncio.sleep(0)
        with engine.begin() as connection:
            connection.execute(text("alter table elsewhere rename to livecard"))
        [message] = await take(client, 1)
        assert json.loads(message.json) == [START, END]


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_a_client_that_was_connected_without_a_loop_gets_its_rows_in_one() -> None:
    card = await asyncio.to_thread(saved, owner=1)
    client = await asyncio.to_thread(LiveCard.live(LiveCard.owner == 1).connect)
    [message] = await take(client, 1)
    assert json.loads(message.json) == [START, change("insert", card), END]
    client.disconnect()


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_what_others_write_to_the_log_under_the_reserved_topic_harms_nobody() -> None:
    async with reading(LiveCard.live(LiveCard.owner == 1)) as reader:
        await reader.next()
        for payload in (b"1", b"[]", b'["card",["id"],[["a",null,[]]]]', b'["card",["id"],[[1,null,["a"]]]]', b"{}"):
            get_hub().publish("nitro.rows", None, payload)
        get_hub().publish("nitro.rows", None, b'["card",["owner"],[["a",null,[["nonsense",1]]]]]')
        assert await reader.next() == [RESET, START, END]
        get_hub().publish("nitro.rows", None, b'["card",["id","title"],[["a",null,["a","b"]]]]')
        assert await reader.next() == [RESET, START, END]
        card = await asyncio.to_thread(saved, owner=1)
        assert await reader.next() == [change("insert", card)]


@in_a_loop
async def test_two_commits_of_one_row_that_are_told_in_the_wrong_order(engine: Engine, selects: list[str]) -> None:
    """The log is in memory: what a transaction has changed is published after its commit, and another may be faster."""
    card = await asyncio.to_thread(saved, title="first", owner=1)
    has_committed, may_publish = threading.Event(), threading.Event()

    def hold_up(session: Session) -> None:
        if threading.current_thread().name == "late":
            has_committed.set()
            assert may_publish.wait(10)

    def late() -> None:
        with Session(engine) as session:
            session.execute(update(LiveCard).where(col(LiveCard.id) == card.id).values(title="second"))
            session.commit()

    event.listen(Session, "after_commit", hold_up, insert=True)
    try:
        async with (
            reading(LiveCard.live()) as reader,
            reading(LiveCard.live(order_by=LiveCard.title, limit=1)) as window,
            reading(LiveCard.live(LiveCard.owner == 2)) as other,
        ):
            for each in (reader, window, other):
                await each.next()
            before = reader.ids[-1]
            thread = threading.Thread(target=late, name="late")
            thread.start()
            assert await asyncio.to_thread(has_committed.wait, 10)
            card.title = "third"
            await asyncio.to_thread(card.save)
            assert await reader.next() == await window.next() == [change("update", card)]
            between = reader.ids[-1]
            may_publish.set()
            await asyncio.to_thread(thread.join)
            assert await reader.next() == [RESET, START, change("insert", card), END]
            card.title = "fourth"
            await asyncio.to_thread(card.save)
            assert await reader.next() == await window.next() == [change("update", card)]
            assert other.batches == []
            assert len(selects) == 3 + 2 + 2, (
                "nobody reads again who is not concerned, and the window, whose order has changed"
            )
            for last_id in (before, between):
                async with reading(LiveCard.live(last_event_id=last_id)) as reader:
                    assert await reader.next() == [RESET, START, change("insert", card), END]
            async with reading(LiveCard.live(last_event_id=str(get_hub().broker.head))) as reader:
                await asyncio.to_thread(card.delete)
                assert await reader.next() == [change("delete", card)]
    finally:
        event.remove(Session, "after_commit", hold_up)


class Gate:
    """Holds up what live queries read: the rows are read, and nobody has them yet.

    Attributes:
        reached: set when rows are held up.
        fails: whether the reading fails behind it.
    """

    def __init__(self, engine: Engine) -> None:
        self._is_open = threading.Event()
        self._is_open.set()
        self.reached = threading.Event()
        self.fails = False
        event.listen(engine, "after_cursor_execute", self._pass)

    def shut(self) -> None:
        self.reached.clear()
        self._is_open.clear()

    def open(self) -> None:
        self._is_open.set()

    def _pass(self, _: object, __: object, statement: str, *___: object) -> None:
        is_reading = threading.current_thread().name.startswith("nitro live query") and statement.startswith("SELECT")
        if is_reading and not self._is_open.is_set():
            self.reached.set()
            assert self._is_open.wait(10)
        if is_reading and self.fails:
            raise OSError("the database is away")


def rows_of(batches: list[list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """What a page has that applies these."""
    rows: dict[str, dict[str, Any]] = {}
    for message in (message for batch in batches for message in batch):
        match message["headers"]:
            case {"control": "snapshot-start"}:
                rows = {}
            case {"operation": "delete"}:
                rows.pop(message["key"], None)
            case {"operation": _}:
                rows[message["key"]] = message["value"]
    return rows


async def until(reader: Reader, rows: list[LiveCard]) -> None:
    expected = {card.id: shown(card) for card in rows}
    async with asyncio.timeout(10):
        while rows_of(reader.batches) != expected:
            reader._news.clear()
            await reader._news.wait()


@pytest.mark.parametrize("limit", [None, 2])
@in_a_loop
async def test_what_changes_while_rows_are_read(engine: Engine, limit: int | None) -> None:
    gate = Gate(engine)
    a, b, c = [await asyncio.to_thread(saved, title=title) for title in "abc"]
    gate.shut()
    async with reading(LiveCard.live(order_by=LiveCard.title, limit=limit)) as reader:
        assert await asyncio.to_thread(gate.reached.wait, 10)
        a.done = True
        await asyncio.to_thread(a.save)
        await asyncio.to_thread(b.delete)
        d = await asyncio.to_thread(saved, title="d")
        await asyncio.sleep(0.02)
        assert reader.batches == []
        gate.open()
        await until(reader, [a, c] if limit else [a, c, d])
        gate.shut()
        await asyncio.to_thread(c.delete)
        if limit:
            assert await asyncio.to_thread(gate.reached.wait, 10)
        d.done = True
        await asyncio.to_thread(d.save)
        a.done = False
        await asyncio.to_thread(a.save)
        gate.open()
        await until(reader, [a, d])


@in_a_loop
async def test_who_has_resumed_a_window_while_another_reads_it(engine: Engine) -> None:
    gate = Gate(engine)
    card = await asyncio.to_thread(saved, title="a")
    async with reading(LiveCard.live(order_by=LiveCard.title, limit=3)) as reader:
        await until(reader, [card])
        last_id = reader.ids[-1]
    async with reading(LiveCard.live(order_by=LiveCard.title, limit=3, last_event_id=last_id)) as resumed:
        await asyncio.sleep(0.02)
        gate.shut()
        async with reading(LiveCard.live(order_by=LiveCard.title, limit=3)) as begun:
            assert await asyncio.to_thread(gate.reached.wait, 10)
            other = await asyncio.to_thread(saved, title="b")
            gate.open()
            await until(begun, [card, other])
            await until(resumed, [card, other])


@in_a_loop
async def test_rows_that_were_read_before_changes_were_lost_are_read_again(engine: Engine) -> None:
    gate = Gate(engine)
    gate.shut()
    async with reading(LiveCard.live()) as reader:
        assert await asyncio.to_thread(gate.reached.wait, 10)
        with LiveCard.silent():
            card = await asyncio.to_thread(contextvars.copy_context().run, saved)
        hub = get_hub()
        with hub.broker.lock:
            hub.lose("overflow", hub.broker.head)
        gate.open()
        await until(reader, [card])


@in_a_loop
async def test_what_handlers_change_belongs_to_the_same_batch(engine: Engine) -> None:
    def weigh(sender: str, *, session: Session, **_: Any) -> None:
        part = session.get_one(LivePart, ("m", 1))
        if part.weight != 9:
            part.weight = 9
            session.add(LivePart(machine="m", number=2, weight=9))

    parts.created.receivers.clear()
    parts.created.connect(weigh)
    try:
        async with reading(parts.live(LivePart.weight == 9)) as reader:
            await reader.next()

            def write() -> None:
                with Session(engine) as session:
                    session.add(LivePart(machine="m", number=1, weight=1))
                    session.commit()

            await asyncio.to_thread(write)
            batch = await reader.next()
            assert [(each["key"], each["headers"]["operation"]) for each in batch] == [
                ("m:1", "insert"),
                ("m:2", "insert"),
            ]
            assert reader.batches == []
    finally:
        parts.created.receivers.clear()


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_an_engine_with_one_connection_for_all_is_refused() -> None:
    class Alone(Base):
        __tablename__ = "live_alone"
        id: Mapped[int] = mapped_column(primary_key=True)

    engine = create_engine("sqlite://", poolclass=StaticPool)
    with pytest.raises(ConfigurationError, match="StaticPool"):
        nitro.live_model(Alone, "alone", engine=engine)
    engine.dispose()


@pytest.mark.usefixtures("engine")
@in_a_loop
async def test_computed_fields_beside_excluded_ones_are_refused() -> None:
    class LiveAccount(nitro.Entity, table=True, live=True, topic="account"):
        password: str = Field(exclude=True)

        @computed_field  # type: ignore[prop-decorator]
        @property
        def has_password(self) -> bool:
            return bool(self.password)

    with pytest.raises(InvalidQuery, match="computed fields and excluded ones"):
        LiveAccount.live()


@in_a_loop
async def test_what_is_said_by_hand_is_told_as_the_transaction_leaves_it(engine: Engine) -> None:
    async with reading(parts.live()) as reader:
        await reader.next()

        def write() -> None:
            with Session(engine) as session:
                gone, stays = LivePart(machine="gone", number=1), LivePart(machine="stays", number=2)
                session.add_all([gone, stays])
                session.flush()
                parts.changed([("gone", 1), ("stays", 2)], session)
                session.delete(gone)
                stays.weight = 3
                with session.begin_nested() as savepoint:
                    parts.changed([("stays", 2)], session)
                    savepoint.rollback()
                session.commit()

        await asyncio.to_thread(write)
        batch = await reader.next()
        assert {each["key"]: each.get("value", {}).get("weight") for each in batch} == {"gone:1": None, "stays:2": 3}
        assert rows_of([batch]).keys() == {"stays:2"}
