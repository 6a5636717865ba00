"""Live queries where their promises are hardest to keep, found by trying to break them."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import nitro
from nitro.delivery import live_queries
from nitro.delivery.hub import Hub
from nitro.delivery.snapshot import Snapshot
from nitro.errors import AccessDenied, InvalidQuery
from nitro.messages.message import Position
from nitro.messages.row_changes import ROW_CHANGES, PackedRow, RowChanges
from tests.hearing import engine_on

Values = dict[str, Any]


class Base(DeclarativeBase):
    pass


class Memo(Base):
    __tablename__ = "attacked_memos"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    owner: Mapped[int] = mapped_column(default=0)
    size: Mapped[int | None] = mapped_column(default=None)
    secret: Mapped[str | None] = mapped_column(default=None)


class Hidden(Base):
    __tablename__ = "attacked_hidden"
    id: Mapped[int] = mapped_column(primary_key=True)
    part: Mapped[str] = mapped_column(primary_key=True)


memos = nitro.live_model(Memo, "attacked_memo", exclude=["secret"])


@pytest.fixture
def engine(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    with engine_on(f"sqlite:///{tmp_path}/rows.db") as engine:
        Base.metadata.create_all(engine)
        monkeypatch.setattr(memos, "_engine", engine)
        yield engine


class Reading:
    """A client's messages, and the rows that they have told of so far.

    Attributes:
        rows: by key, each as the client got it.
        told: controls and operations with their keys, in order.
        last_id: the newest id.
    """

    def __init__(self, client: nitro.Client) -> None:
        self._messages: AsyncGenerator[nitro.Message | nitro.Gap, None] = client.messages()
        self._task: asyncio.Task[None] = asyncio.create_task(self._read())
        self.rows: dict[str, Values] = {}
        self.told: list[tuple[str, str]] = []
        self.last_id = ""

    async def _read(self) -> None:
        async for message in self._messages:
            assert isinstance(message, nitro.Message)
            self.last_id = message.id or self.last_id
            if message.topic:
                for each in message.data:
                    self._apply(**each)

    def _apply(self, headers: Values, type: str = "", key: str = "", value: Values | None = None) -> None:
        self.told.append((headers.get("control") or headers["operation"], key))
        if headers.get("control") == "snapshot-start":
            self.rows = {}
        elif headers.get("operation") == "delete":
            self.rows.pop(key, None)
        elif "operation" in headers:
            assert value is not None
            self.rows[key] = value

    async def until(self, holds: Callable[[], bool], seconds: float = 3) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while not holds():
            assert not self._task.done(), self._task
            assert asyncio.get_running_loop().time() < deadline, (self.rows, self.told)
            await asyncio.sleep(0.01)

    async def until_begun(self) -> None:
        await self.until(lambda: ("snapshot-end", "") in self.told)


def save(engine: Engine, *rows: Memo) -> None:
    with Session(engine) as session:
        for row in rows:
            session.merge(row)
        session.commit()


def say_changed(engine: Engine, id: int) -> None:
    with Session(engine) as session:
        memos.changed([id], session)
        session.commit()


def publish(hub: Hub, changes: RowChanges) -> None:
    """As another process does, perhaps with another version of the class."""
    hub.publish(ROW_CHANGES, None, changes.payload)


@pytest.mark.parametrize(
    "rights",
    [
        {"allowed": {"attacked_memo.*": ["1"]}},
        {"denied": ["attacked_memo.updated"]},
        {"denied": {"attacked_memo.*": ["1"]}},
        {"denied": {"*.deleted": ["1"]}},
    ],
)
@pytest.mark.usefixtures("engine")
def test_whoever_may_hear_only_some_of_the_rows_gets_no_live_query(rights: Values) -> None:
    with pytest.raises(AccessDenied):
        memos.live(**rights)


@pytest.mark.usefixtures("engine")
def test_a_client_of_which_some_is_revoked_is_disconnected_and_connects_no_more() -> None:
    for topic in ("attacked_memo.*", "attacked_memo.updated"):
        client = memos.live().connect().revoke(topic)
        assert not client.is_connected
        with pytest.raises(AccessDenied):
            client.connect()
        assert not client.is_connected


@pytest.mark.parametrize(
    ("where", "size"),
    [
        (Memo.size > 0, "text"),
        (Memo.size > 0, ["json", {}]),
        (Memo.size > 0, ["uuid", 5]),
        (Memo.size > 0, ["decimal", "sNaN"]),
        (Memo.size != 1, ["json", {}]),
    ],
)
def test_who_resumes_behind_a_value_of_another_type_gets_all_rows(
    engine: Engine, hub: Hub, where: Any, size: Any
) -> None:
    save(engine, Memo(id=1, size=2))
    before = nitro.position()
    with memos.silent():
        save(engine, Memo(id=2, size=3))
    publish(hub, RowChanges("attacked_memo", ["id", "owner", "size"], [PackedRow("2", None, [2, 0, size])]))

    async def scenario() -> None:
        with memos.live(where, last_event_id=before) as client:
            reading = Reading(client)
            await reading.until(lambda: reading.rows.keys() == {"1", "2"})

    asyncio.run(scenario())


@pytest.mark.parametrize("owner", [["json", {}], ["json", []], ["decimal", "sNaN"]])
def test_a_value_that_has_no_hash_hides_no_row_that_changed_with_it(engine: Engine, hub: Hub, owner: Any) -> None:
    async def scenario() -> None:
        with memos.live(Memo.owner == 1) as client:
            reading = Reading(client)
            await reading.until_begun()
            with memos.silent():
                await asyncio.to_thread(save, engine, Memo(id=2, owner=1, size=0))
            with memos.silent():
                await asyncio.to_thread(contextvars.copy_context().run, save, engine, Memo(id=2, owner=1))
            rows = [PackedRow("1", None, [1, owner, 0]), PackedRow("2", None, [2, 1, 0])]
            publish(hub, RowChanges("attacked_memo", ["id", "owner", "size"], rows))
            await reading.until(lambda: "2" in reading.rows)

    asyncio.run(scenario())


@pytest.mark.parametrize("columns", [5, None, "id", {"id": 1}])
def test_who_resumes_behind_changes_without_columns_is_told_the_others(engine: Engine, hub: Hub, columns: Any) -> None:
    before = nitro.position()
    hub.publish(ROW_CHANGES, None, json.dumps(["attacked_memo", columns, None]).encode())
    save(engine, Memo(id=1))

    async def scenario() -> None:
        with memos.live(last_event_id=before) as client:
            reading = Reading(client)
            await reading.until(lambda: reading.told == [("insert", "1")])

    asyncio.run(scenario())


def test_a_change_by_a_version_of_the_class_with_fewer_columns_loses_no_value(engine: Engine, hub: Hub) -> None:
    save(engine, Memo(id=1, owner=1, size=5))

    async def scenario() -> None:
        with memos.live(Memo.owner == 1) as client:
            reading = Reading(client)
            await reading.until_begun()
            publish(hub, RowChanges("attacked_memo", ["id", "owner"], [PackedRow("1", [1, 0], [1, 1])]))
            await reading.until(lambda: len(reading.told) > 3)
            assert reading.rows == {"1": {"id": 1, "owner": 1, "size": 5}}

    asyncio.run(scenario())


def test_a_change_by_a_version_of_the_class_with_more_columns_adds_no_value(engine: Engine, hub: Hub) -> None:
    async def scenario() -> None:
        with memos.live(Memo.owner == 1) as client:
            reading = Reading(client)
            await reading.until_begun()
            row = PackedRow("1", None, [1, 1, 5, "red"])
            publish(hub, RowChanges("attacked_memo", ["id", "owner", "size", "colour"], [row]))
            await reading.until(lambda: "1" in reading.rows)
            assert reading.rows == {"1": {"id": 1, "owner": 1, "size": 5}}

    asyncio.run(scenario())


def test_rows_whose_keys_stay_on_the_server_are_no_live_query(engine: Engine) -> None:
    hidden = nitro.live_model(Hidden, "attacked_hidden", exclude=["part"], engine=engine)
    with pytest.raises(InvalidQuery, match="part"):
        hidden.live()


def test_rows_are_kept_once_however_many_clients_begin_with_them(engine: Engine) -> None:
    query = memos.live().interest.query
    assert query is not None
    rows = [(str(id), b'{"size":"%b"}' % (b"x" * 1000)) for id in range(200)]
    snapshot = Snapshot(query, Position("a", 1), rows)
    *parts, end = snapshot.batches(Position("a", 1), is_reset=False)
    *same_parts, other_end = snapshot.batches(Position("a", 2), is_reset=False)
    assert len(parts) > 2
    assert all(one is other for one, other in zip(parts, same_parts, strict=True))
    assert (end.frames[0].position, other_end.frames[0].position) == (("a", 1, ""), ("a", 2, ""))
    assert engine is memos._engine


def test_who_resumed_a_window_gets_what_another_reading_of_it_saw_before_it_was_told(engine: Engine) -> None:
    save(engine, Memo(id=1))

    async def scenario() -> None:
        with memos.live(limit=5) as first:
            reading = Reading(first)
            await reading.until_begun()
        with memos.live(limit=5, last_event_id=reading.last_id) as resumed:
            after = Reading(resumed)
            after.rows = dict(reading.rows)
            with memos.silent():
                await asyncio.to_thread(save, engine, Memo(id=2))
            with memos.live(limit=5) as other:
                await Reading(other).until_begun()
                assert after.told == []
                await asyncio.to_thread(say_changed, engine, 2)
                await after.until(lambda: after.rows.keys() == {"1", "2"})

    asyncio.run(scenario())


@pytest.mark.parametrize("limit", [None, 5])
def test_who_resumed_in_a_thread_without_a_loop_gets_its_rows_in_the_one_that_reads_it(
    engine: Engine, limit: int | None
) -> None:
    before = nitro.position()
    save(engine, Memo(id=1))
    client = memos.live(limit=limit, last_event_id=before).connect()
    client.send("hello")
    save(engine, Memo(id=2))

    async def scenario() -> None:
        reading = Reading(client)
        await reading.until(lambda: reading.rows.keys() == {"1", "2"})
        client.disconnect()

    try:
        asyncio.run(scenario())
    finally:
        client.disconnect()


@pytest.mark.parametrize("overflow", ["drop_oldest", "latest"])
@pytest.mark.usefixtures("engine")
def test_messages_to_a_live_client_alone_count_in_its_limit(overflow: Any) -> None:
    async def scenario() -> None:
        with memos.live(max_messages=10, overflow=overflow) as client:
            sent = 0
            while client.send(sent):
                sent += 1
                assert sent < 100
                await asyncio.sleep(0)

    asyncio.run(scenario())


def test_a_client_that_is_connected_when_its_browser_says_an_id_resumes_without_the_rows(engine: Engine) -> None:
    save(engine, Memo(id=1))

    async def scenario() -> None:
        before = nitro.position()
        with memos.live() as client:
            client.resume(before)
            reading = Reading(client)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(save, engine, Memo(id=2))
            await reading.until(lambda: "2" in reading.rows)
            assert reading.told == [("insert", "2")]

    asyncio.run(scenario())


def test_a_reading_that_fails_for_clients_who_have_left_ends_nobody_else(
    engine: Engine, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_queries, "_RETRIES_SECONDS", (0.5,))

    async def scenario() -> None:
        stays = nitro.Client(topics=["noise"]).connect()
        with memos.live(limit=5) as first:
            await Reading(first).until_begun()
            await asyncio.to_thread(Base.metadata.drop_all, engine)
            publish(hub, RowChanges("attacked_memo", [], None))
            await asyncio.sleep(0.25)  # its window is read, in vain
        with memos.live(limit=5) as other:
            reading = Reading(other)
            await asyncio.sleep(0.35)  # and now for the last time
            assert other.is_connected
            await asyncio.to_thread(Base.metadata.create_all, engine)
            await reading.until_begun()
        stays.disconnect()

    asyncio.run(scenario())
