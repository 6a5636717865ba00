"""Live classes: what a transaction changes is announced, both or neither, over each database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine, ForeignKey, String, bindparam, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column, relationship
from sqlmodel import Field, SQLModel, col, delete

import nitro
from nitro.delivery.hub import Hub
from nitro.errors import ArgumentTypeError, ConfigurationError, InvalidQuery, InvalidTopic, PayloadTooLarge
from nitro.live.changes import MOST_ROWS
from nitro.repository import SQLModelRepository
from nitro.settings import get_settings
from nitro.testing.conformance import eventually
from tests.brokers import BROKERS, Broker
from tests.hearing import Events, Hearing, engine_on


class LiveTask(nitro.Entity, table=True, live=True, topic="task"):
    title: str
    done: bool = False
    price: Decimal | None = None
    note: str = Field(default="", exclude=True)


class Base(DeclarativeBase):
    pass


class LiveOrder(Base):
    __tablename__ = "live_orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), default="")
    secret: Mapped[str | None] = mapped_column(String(50))
    lines: Mapped[list[LiveLine]] = relationship(cascade="all, delete-orphan")


class LiveLine(Base):
    __tablename__ = "live_lines"
    order_id: Mapped[int | None] = mapped_column(ForeignKey("live_orders.id"))
    article: Mapped[str] = mapped_column(String(50), primary_key=True)
    shelf: Mapped[str] = mapped_column(String(50), primary_key=True)


orders = nitro.live_model(LiveOrder, "order", exclude=["secret"])
lines = nitro.live_model(LiveLine, "line")


@pytest.fixture(params=["sqlite", "postgresql", "memory"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker | None]:
    """None: the log is in memory, beside a SQLite file."""
    if request.param == "memory":
        yield None
        return
    with BROKERS[request.param](tmp_path) as started:
        yield started


@pytest.fixture
def engine(
    broker: Broker | None, tmp_path: Path, hub_with: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'data.db'}" if broker is None else broker.url
    repository = SQLModelRepository(url.replace("postgresql://", "postgresql+psycopg://"))
    monkeypatch.setattr(LiveTask, "_repository", repository)
    SQLModel.metadata.create_all(repository.engine, [SQLModel.metadata.tables["livetask"]])
    Base.metadata.create_all(repository.engine)
    hub_with(broker_url="memory://" if broker is None else url)
    yield repository.engine
    repository.close()


@pytest.fixture
def heard(engine: Engine) -> Iterator[Callable[[], Events]]:
    """The events so far, once everything that was committed has come."""
    with Hearing("task.*", "order.*", "line.*", "end") as hearing:
        yield lambda: hearing.new_events(engine)


def task(**fields: Any) -> dict[str, Any]:
    return {"done": False, "price": None} | fields


def test_an_entity_tells_of_its_row(heard: Callable[[], Events]) -> None:
    made = LiveTask(title="write", price=Decimal("2.50"), note="for nobody else").save()
    shown = task(id=made.id, title="write", price="2.50")
    assert heard() == [("task.created", made.id, shown)]
    made.done = True
    made.save()
    made.save()  # changes nothing
    assert heard() == [("task.updated", made.id, shown | {"done": True})]
    assert made.delete()
    assert not made.delete()
    assert heard() == [("task.deleted", made.id, {"id": made.id})]


def test_what_a_client_never_gets_is_a_change_all_the_same(heard: Callable[[], Events]) -> None:
    made = LiveTask(title="write").save()
    heard()
    made.note = "changed"
    made.save()
    assert heard() == [("task.updated", made.id, task(id=made.id, title="write"))]


def test_a_transaction_is_told_by_what_it_leaves_behind(engine: Engine, heard: Callable[[], Events]) -> None:
    with Session(engine) as session:
        one, two, three = (LiveOrder(name=name) for name in ("one", "two", "three"))
        session.add_all([one, two, three])
        session.flush()
        one.name = "first"
        session.flush()
        session.delete(two)
        session.flush()
        three.name = "drei"
        session.flush()
        three.name = "three"
        session.commit()
        assert heard() == [
            ("order.created", str(one.id), {"id": one.id, "name": "first"}),
            ("order.created", str(three.id), {"id": three.id, "name": "three"}),
        ]
        three.name = "drei"
        session.flush()
        three.name = "three"
        session.commit()
        assert heard() == []


def test_what_is_rolled_back_is_not_told_also_to_a_savepoint(engine: Engine, heard: Callable[[], Events]) -> None:
    with Session(engine) as session:
        kept = LiveOrder(name="kept")
        session.add(kept)
        session.flush()
        savepoint = session.begin_nested()
        session.add(LiveOrder(name="gone"))
        kept.name = "changed"
        session.flush()
        session.execute(insert(LiveOrder).from_select(["name"], select(LiveOrder.name)))  # a reset
        savepoint.rollback()
        with session.begin_nested():
            session.add(within := LiveOrder(name="within"))
        session.commit()
        assert heard() == [
            ("order.created", str(kept.id), {"id": kept.id, "name": "kept"}),
            ("order.created", str(within.id), {"id": within.id, "name": "within"}),
        ]
        kept.name = "never"
        session.flush()
        session.rollback()
        kept.name = "nor this"
        session.flush()
    with pytest.raises(IntegrityError), Session(engine) as session:
        session.add_all([LiveOrder(id=kept.id + 100, name="x"), LiveOrder(id=kept.id, name="y")])
        session.commit()
    assert heard() == []


def test_a_row_that_another_transaction_has_changed_since_it_was_read(
    engine: Engine, heard: Callable[[], Events]
) -> None:
    """The unit of work believes that it changes something, or that it changes something else."""
    with Session(engine, expire_on_commit=False) as session:
        session.add(order := LiveOrder(name="old"))
        session.commit()
        key = order.id
        with Session(engine) as other:
            other.get_one(LiveOrder, key).name = "new"
            other.commit()
        heard()
        order.name = "new"
        session.commit()
        assert heard() == []
        with Session(engine) as other:
            other.delete(other.get_one(LiveOrder, key))
            other.commit()
        assert heard() == [("order.deleted", str(key), {"id": key})]
        session.execute(delete(LiveOrder).where(col(LiveOrder.id) == key))
        session.commit()
        assert heard() == []


def test_rows_that_the_unit_of_work_changes_by_itself(engine: Engine, heard: Callable[[], Events]) -> None:
    """Foreign keys of children, and orphans, are in no session.dirty."""
    with Session(engine) as session:
        order = LiveOrder(name="o", lines=[LiveLine(article="a", shelf="1:2"), LiveLine(article="b", shelf="3")])
        session.add(order)
        session.commit()
        assert [event for event in heard() if event[0] == "line.created"] == [
            ("line.created", "a:1\\:2", {"order_id": order.id, "article": "a", "shelf": "1:2"}),
            ("line.created", "b:3", {"order_id": order.id, "article": "b", "shelf": "3"}),
        ]
        order.lines.pop()
        session.commit()
        assert heard() == [("line.deleted", "b:3", {"article": "b", "shelf": "3"})]
        session.add(other := LiveOrder(name="p"))
        session.flush()
        session.add(LiveLine(article="c", shelf="4"))
        session.commit()
        heard()
        other.lines.append(session.get_one(LiveLine, ("c", "4")))
        session.commit()
        assert heard() == [("line.updated", "c:4", {"order_id": other.id, "article": "c", "shelf": "4"})]


def test_a_primary_key_that_is_changed(engine: Engine, heard: Callable[[], Events]) -> None:
    with Session(engine) as session:
        session.add(line := LiveLine(article="a", shelf="1"))
        session.commit()
        heard()
        line.shelf = "2"
        session.commit()
        moved: Events = [
            ("line.deleted", "a:1", {"article": "a", "shelf": "1"}),
            ("line.created", "a:2", {"order_id": None, "article": "a", "shelf": "2"}),
        ]
        assert heard() == moved
        session.execute(update(LiveLine).where(LiveLine.order_id.is_(None)).values(shelf=LiveLine.shelf + "0"))
        session.commit()
        assert heard() == [("line.reset", None, {})]


def test_a_primary_key_that_a_statement_changes(engine: Engine, heard: Callable[[], Events]) -> None:
    table = LiveOrder.metadata.tables["live_orders"]
    at = update(table).where(table.c.id == bindparam("old"))
    named = update(table).where(table.c.name == bindparam("which"))
    upsert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[engine.dialect.name](table)
    again = upsert.values(id=5, name="five").on_conflict_do_update
    with Session(engine) as session:
        session.add(LiveOrder(id=1, name="one"))
        session.commit()
        heard()

        def told(statement: Any, parameters: dict[str, Any]) -> list[tuple[str, str | None]]:
            session.connection().execute(statement, parameters)
            session.commit()
            return [(topic, sender) for topic, sender, _ in heard()]

        moved = [("order.deleted", "1"), ("order.created", "2")]
        assert told(at.values(id=2), {"old": 1}) == moved
        assert told(at, {"old": 2, "id": 1}) == [("order.deleted", "2"), ("order.created", "1")]
        assert told(at.values({"id": bindparam("new")}), {"old": 1, "new": 2}) == moved
        reset = [("order.reset", None)]
        assert told(named.values(id=3), {"which": "one"}) == reset
        assert told(named.ordered_values((table.c.id, 4)), {"which": "one"}) == reset
        assert told(named, {"which": "one", "id": 5}) == reset
        assert told(again(index_elements=["id"], set_={"id": upsert.excluded.id, "name": "5"}), {}) == [
            ("order.updated", "5")
        ]
        assert told(again(index_elements=["id"], set_={"id": 6}), {}) == reset
        assert session.scalars(select(LiveOrder.id)).all() == [6]


def test_statements_on_an_alias_are_a_reset(engine: Engine, heard: Callable[[], Events]) -> None:
    other: Any = aliased(LiveTask)
    table: Any = SQLModel.metadata.tables["livetask"].alias()
    with Session(engine) as session:
        session.add_all([LiveTask(title="a"), LiveTask(title="b")])
        session.commit()
        heard()
        renamed = update(other).where(other.title == "a").values(title="c")
        for statement in (renamed, delete(table).where(table.c.title == "b")):
            assert session.connection().execute(statement).rowcount == 1
            session.commit()
            assert heard() == [("task.reset", None, {})]


def test_statements_tell_of_each_row(engine: Engine, heard: Callable[[], Events]) -> None:
    with Session(engine) as session:
        session.execute(insert(LiveTask), [{"title": "a"}, {"title": "b"}, {"title": "c"}])
        session.execute(insert(LiveTask).values([{"title": "d"}, {"title": "e"}]))
        session.execute(insert(LiveTask).values(title="f"))
        session.commit()
        created = heard()
        assert [(topic, data["title"]) for topic, _, data in created] == [("task.created", title) for title in "abcdef"]
        id_of = {data["title"]: sender for _, sender, data in created}
        session.execute(
            update(LiveTask).where(col(LiveTask.title).in_(["a", "b"]), ~col(LiveTask.done)).values(done=True)
        )
        session.execute(update(LiveTask).where(col(LiveTask.id) == id_of["c"]).values(done=True))
        session.execute(update(LiveTask), [{"id": id_of["d"], "done": True}, {"id": id_of["e"], "done": False}])
        session.execute(update(LiveTask).where(col(LiveTask.title) == "nobody").values(done=True))
        session.commit()
        assert heard() == [
            ("task.updated", id_of[title], task(id=id_of[title], title=title, done=True)) for title in "abcd"
        ]
        session.execute(delete(LiveTask).where(col(LiveTask.title) == "a"))
        session.connection().execute(SQLModel.metadata.tables["livetask"].delete().where(text("title = 'b'")))
        session.commit()
        assert heard() == [("task.deleted", id_of[title], {"id": id_of[title]}) for title in "ab"]
        session.execute(update(LiveTask).values(title="all"))
        session.commit()
        assert [topic for topic, _, _ in heard()] == ["task.updated"] * 4


def test_the_parameters_of_a_condition(engine: Engine, heard: Callable[[], Events]) -> None:
    """Those without a name have another one in the statement that reads the rows; those with a name may come often."""
    with Session(engine) as session:
        session.add_all([LiveOrder(id=n, name=str(n % 2), secret=str(n)) for n in range(4)])
        session.commit()
        heard()
        session.execute(update(LiveOrder).where(LiveOrder.name == "0").values(name="1"))
        session.commit()
        assert [(topic, sender) for topic, sender, _ in heard()] == [("order.updated", "0"), ("order.updated", "2")]
        table = LiveOrder.metadata.tables["live_orders"]
        some = update(table).where(table.c.secret == bindparam("which")).values(name=bindparam("new"))
        session.connection().execute(some, [{"which": "1", "new": "one"}, {"which": "3", "new": "three"}])
        session.commit()
        assert [(sender, data["name"]) for _, sender, data in heard()] == [("1", "one"), ("3", "three")]


def test_keys_that_the_database_makes(engine: Engine, heard: Callable[[], Events]) -> None:
    with Session(engine) as session:
        session.execute(insert(LiveOrder).values(name="one"))
        session.commit()
        assert [(topic, data["name"]) for topic, _, data in heard()] == [("order.created", "one")]
        session.execute(insert(LiveOrder), [{"name": "two"}, {"name": "three"}])  # nobody can know their keys
        session.commit()
        assert heard() == [("order.reset", None, {})]


def test_the_older_bulk_methods(engine: Engine, heard: Callable[[], Events]) -> None:
    with Session(engine) as session:
        session.bulk_save_objects([LiveTask(id="a", title="a"), LiveTask(id="b", title="b")])
        session.bulk_insert_mappings(LiveTask.__mapper__, [{"id": "c", "title": "c"}])  # type: ignore[attr-defined]
        session.commit()
        assert [(topic, sender) for topic, sender, _ in heard()] == [("task.created", id) for id in "abc"]
        session.bulk_update_mappings(LiveTask.__mapper__, [{"id": "c", "title": "d"}])  # type: ignore[attr-defined]
        session.commit()
        assert [(topic, data["title"]) for topic, _, data in heard()] == [("task.updated", "d")]


def test_upserts(engine: Engine, heard: Callable[[], Events]) -> None:
    upsert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[engine.dialect.name]
    with Session(engine) as session:
        session.execute(insert(LiveTask).values(id="a", title="old"))
        session.commit()
        heard()
        statement = upsert(LiveTask).values([{"id": "a", "title": "new"}, {"id": "b", "title": "b"}])
        session.execute(
            statement.on_conflict_do_update(index_elements=["id"], set_={"title": statement.excluded.title})
        )
        session.commit()
        assert heard() == [
            ("task.updated", "a", task(id="a", title="new")),
            ("task.created", "b", task(id="b", title="b")),
        ]
        session.execute(upsert(LiveTask).values(id="a", title="other").on_conflict_do_nothing())
        session.commit()
        assert heard() == []


def test_more_rows_than_can_be_told_are_a_reset(engine: Engine, heard: Callable[[], Events]) -> None:
    with Session(engine) as session:
        session.add_all([LiveTask(title=str(n)) for n in range(MOST_ROWS)])
        session.commit()
        assert [topic for topic, _, _ in heard()] == ["task.created"] * MOST_ROWS
        session.add(LiveTask(title="one more"))
        session.add(LiveTask(title="two more"))
        session.flush()
        session.execute(update(LiveTask).values(done=True))
        session.commit()
        assert heard() == [("task.reset", None, {})]
        assert LiveTask.delete_where(col(LiveTask.title) == "one more") == 1
        assert [topic for topic, _, _ in heard()] == ["task.deleted"]
        assert LiveTask.delete_where(col(LiveTask.price).is_(None)) == MOST_ROWS + 1
        assert heard() == [("task.reset", None, {})]


def test_many_at_once(heard: Callable[[], Events]) -> None:
    made = LiveTask.create_many([LiveTask(title="a", price=Decimal("1.10")), {"title": "b"}])
    assert [each.title for each in made] == ["a", "b"]
    assert made == LiveTask.where(order_by="title")
    assert [(topic, sender) for topic, sender, _ in heard()] == [("task.created", each.id) for each in made]
    assert LiveTask.update_where(col(LiveTask.title) == "a", title="c", done=True) == 1
    assert heard() == [("task.updated", made[0].id, task(id=made[0].id, title="c", done=True, price="1.10"))]
    with pytest.raises(ValidationError):
        LiveTask.create_many([{"title": "x"}, {"titel": "y"}])
    with pytest.raises(IntegrityError):
        LiveTask.create_many([LiveTask(title="new"), LiveTask(id=made[0].id, title="double")])
    wrongs: list[Callable[[], object]] = [
        lambda: LiveTask.update_where(title="all"),
        lambda: LiveTask.update_where(col(LiveTask.title) == "a"),
        lambda: LiveTask.update_where(cast("Any", True), title="x"),
        lambda: LiveTask.update_where(col(LiveTask.title) == "a", titel="x"),
    ]
    for wrong in wrongs:
        with pytest.raises(InvalidQuery):
            wrong()
    assert LiveTask.count() == 2
    assert LiveTask.create_many([]) == []
    assert heard() == []


def test_handlers_can_keep_a_message_back_but_not_the_row(
    engine: Engine, heard: Callable[[], Events], no_handlers: None, caplog: pytest.LogCaptureFixture
) -> None:
    def keep_back(_: Any, *, result: dict[str, Any], **__: Any) -> bool:
        return "private" not in result["title"]

    def fail(_: Any, *, result: dict[str, Any], **__: Any) -> None:
        if "broken" in result["title"]:
            raise ZeroDivisionError

    nitro.on("task.created")(keep_back)
    nitro.on("task.created", required=True)(fail)
    for title in ("private", "broken", "public"):
        LiveTask(title=title).save()
    assert [data["title"] for _, _, data in heard()] == ["public"]
    assert {each.title for each in LiveTask.all()} == {"private", "broken", "public"}
    assert "a required handler keeps 'task.created'" in caplog.text


def test_handlers_are_in_the_transaction(engine: Engine, heard: Callable[[], Events], no_handlers: None) -> None:
    def audit(sender: str, *, session: Session, result: dict[str, Any]) -> None:
        if result["name"] != "refused":
            session.add(LiveLine(article="audit", shelf=sender))
        else:
            session.add(LiveLine(article="audit", shelf=sender, order_id=-1))
            session.flush()
            raise AssertionError("not reached, where foreign keys are checked")

    nitro.on("order.created")(audit)
    with Session(engine) as session:
        session.add(order := LiveOrder(name="o"))
        session.commit()
        assert [(topic, sender) for topic, sender, _ in heard()] == [
            ("order.created", str(order.id)),
            ("line.created", f"audit:{order.id}"),
        ]


def test_handlers_that_never_stop(engine: Engine, heard: Callable[[], Events], no_handlers: None) -> None:
    def another(_: str, *, session: Session, **__: Any) -> None:
        session.add(LiveOrder(name="another"))

    nitro.on("order.created")(another)
    with Session(engine) as session, pytest.raises(ConfigurationError, match="without an end"):
        session.add(LiveOrder(name="first"))
        session.commit()
    with Session(engine) as session:
        assert session.scalars(select(LiveOrder)).all() == []
    assert heard() == []


def test_a_row_that_cannot_be_sent_is_not_committed(
    heard: Callable[[], Events],
) -> None:
    too_long = "x" * get_settings().max_payload_bytes
    with pytest.raises(PayloadTooLarge):
        LiveTask(title=too_long).save()
    assert LiveTask.count() == 0
    LiveTask(title="y", note=too_long).save()
    assert [data["title"] for _, _, data in heard()] == ["y"]


def test_what_cannot_be_seen_is_told_by_hand(engine: Engine, heard: Callable[[], Events]) -> None:
    kept, gone = LiveTask.create_many([{"title": "kept"}, {"title": "gone"}])
    heard()
    with Session(engine) as session:
        session.execute(text("UPDATE livetask SET done = true WHERE title = 'kept'"))
        session.execute(text("DELETE FROM livetask WHERE title = 'gone'"))
        session.commit()
    assert heard() == []
    LiveTask.changed([kept.id, gone.id])
    told = heard()
    assert told == [
        ("task.updated", kept.id, task(id=kept.id, title="kept", done=True)),
        ("task.deleted", gone.id, {"id": gone.id}),
    ]
    with Session(engine) as session:
        orders.changed([7], session)
        lines.changed([("a", "b")], session)
        with pytest.raises(InvalidQuery, match="article, shelf"):
            lines.changed(["a"], session)
        session.rollback()
    assert heard() == []
    for one in (kept.id, b"id", 7):
        with pytest.raises(ArgumentTypeError, match=rf"a list of ids: give \[{one!r}\]"):
            LiveTask.changed(one)  # type: ignore[arg-type]  # a type checker lets a string pass
    with pytest.raises(InvalidQuery, match="this is a row of LiveTask; give its id"):
        LiveTask.changed([kept])  # type: ignore[list-item]
    assert heard() == []


def test_silence(engine: Engine, heard: Callable[[], Events]) -> None:
    with LiveTask.silent():
        made = LiveTask(title="imported").save()
        LiveTask.update_where(col(LiveTask.title) == "imported", title="x")
    with Session(engine) as session:
        with orders.silent():
            session.add(LiveOrder(name="quiet"))
            session.add(LiveLine(article="a", shelf="loud"))
            session.flush()
        session.commit()
    assert [(topic, sender) for topic, sender, _ in heard()] == [("line.created", "a:loud")]
    made.title = "loud"
    made.save()
    assert [data["title"] for _, _, data in heard()] == ["loud"]


def test_a_class_of_another_metadata_is_not_live(engine: Engine, heard: Callable[[], Events]) -> None:
    class Other(DeclarativeBase):
        pass

    class Archived(Other):
        __tablename__ = LiveOrder.__tablename__
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(50))

    with Session(engine) as session:
        session.add(Archived(id=1, name="old"))
        session.commit()
        assert heard() == []
        session.add(LiveOrder(id=2))
        session.commit()
        assert [sender for _, sender, _ in heard()] == ["2"]


def test_async_sessions(engine: Engine, heard: Callable[[], Events]) -> None:
    url = engine.url.set(
        drivername={"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}[engine.dialect.name]
    )

    async def write() -> int:
        asynchronous = create_async_engine(url)
        try:
            async with AsyncSession(asynchronous) as session:
                session.add(order := LiveOrder(name="async"))
                await session.commit()
                await session.refresh(order)
                key = order.id
                await session.execute(update(LiveOrder).where(LiveOrder.name == "async").values(name="later"))
                await session.commit()
                return key
        finally:
            await asynchronous.dispose()

    key = str(asyncio.run(write()))
    assert [(topic, sender, data["name"]) for topic, sender, data in heard()] == [
        ("order.created", key, "async"),
        ("order.updated", key, "later"),
    ]


@pytest.mark.server
@pytest.mark.parametrize("kind", ["redis", "nats", "sqlite"])
def test_a_log_elsewhere_gets_it_right_after_the_commit(
    kind: str, tmp_path: Path, hub_with: Callable[..., Hub]
) -> None:
    (tmp_path / "broker").mkdir()
    with BROKERS[kind](tmp_path / "broker") as broker, engine_on(f"sqlite:///{tmp_path / 'data.db'}") as engine:
        Base.metadata.create_all(engine)
        hub_with(broker_url=broker.url)
        with Hearing("order.*") as hearing, Session(engine) as session:
            session.add(LiveOrder(name="gone"))
            session.flush()
            session.rollback()
            for n in range(20):
                session.add(LiveOrder(name=str(n)))
                session.commit()
            eventually(lambda: len(hearing.events) == 20, "all are heard")
            assert [data["name"] for _, _, data in hearing.events] == [str(n) for n in range(20)]


def test_what_cannot_be_live() -> None:
    class Unmapped:
        pass

    class Other(DeclarativeBase):
        pass

    class Animal(Other):
        __tablename__ = "animals"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012

    class Dog(Animal):
        __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012

    class Stone(Other):
        __tablename__ = "stones"
        id: Mapped[int] = mapped_column(primary_key=True)

    for wrong in (Unmapped, Other, Animal, Dog, LiveOrder):
        with pytest.raises(ConfigurationError):
            nitro.live_model(wrong)
    with pytest.raises(ConfigurationError, match="LiveOrder"):
        nitro.live_model(Stone, "order")
    with pytest.raises(ConfigurationError, match="weight"):
        nitro.live_model(Stone, exclude=["weight"])
    with pytest.raises(ArgumentTypeError, match=r"write exclude=\['id'\]"):
        nitro.live_model(Stone, exclude="id")
    with pytest.raises(InvalidTopic):
        nitro.live_model(Stone, "stones *")
    assert nitro.live_model(Stone).topic == "stone"
    with pytest.raises(ConfigurationError, match="live=True"):

        class Quiet(nitro.Entity, topic="quiet"):
            pass

    with pytest.raises(ConfigurationError, match="no table"):

        class Tableless(nitro.Entity, live=True):
            pass

    class Mute(nitro.Entity, table=True):
        pass

    for call in (Mute.silent, lambda: Mute.changed([])):
        with pytest.raises(ConfigurationError, match="isn't live"):
            call()


def test_names_become_topics() -> None:
    class Names(DeclarativeBase):
        pass

    found = []
    for name in ("HTTPRequest", "UserV2", "Plain"):
        fields = {"__tablename__": name, "__annotations__": {"id": Mapped[int]}, "id": mapped_column(primary_key=True)}
        found.append(nitro.live_model(type(name, (Names,), fields)).topic)
    assert found == ["http_request", "user_v2", "plain"]
