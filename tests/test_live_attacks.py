"""Live classes in applications that do what SQLAlchemy allows and no example shows, found by trying to break them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Engine, ForeignKey, Numeric, Sequence, String, Table, event, insert, literal_column, select
from sqlalchemy import Column as ColumnOf
from sqlalchemy import delete as delete_rows
from sqlalchemy import update as update_rows
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

import nitro
from nitro.delivery.hub import Hub
from nitro.errors import ConfigurationError, PayloadTooLarge
from nitro.settings import get_settings
from tests.brokers import BROKERS
from tests.hearing import Events, Hearing


class Colour(str, enum.Enum):  # noqa: UP042 - whose str() is another than its value
    RED = "red"


def unknown(_: Any) -> str:
    """Of a column whose value every UPDATE gives here: it is only called by an UPDATE that isn't the application's."""
    raise AssertionError("a statement of Nitro calls what the application wrote for its own")


class Base(DeclarativeBase):
    pass


class Tag(Base):
    __tablename__ = "attack_tags"
    id: Mapped[int] = mapped_column(primary_key=True)


class Note(Base):
    __tablename__ = "attack_notes"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(String(20_000), unique=True)
    data: Mapped[Any] = mapped_column(JSON(none_as_null=True), default=None, nullable=True)
    renamed: Mapped[str | None] = mapped_column(
        "other_name", onupdate=lambda context: context.get_current_parameters()["id"]
    )
    tags: Mapped[list[Tag]] = relationship(secondary="attack_links")


class Link(Base):
    __table__ = Table(
        "attack_links",
        Base.metadata,
        ColumnOf("note_id", ForeignKey("attack_notes.id"), primary_key=True),
        ColumnOf("tag_id", ForeignKey("attack_tags.id"), primary_key=True),
    )


class Audit(Base):
    __tablename__ = "attack_audits"
    id: Mapped[int] = mapped_column(primary_key=True)
    what: Mapped[str]


class Price(Base):
    __tablename__ = "attack_prices"
    amount: Mapped[Decimal] = mapped_column(Numeric(10, 2), primary_key=True)
    colour: Mapped[str] = mapped_column(String(10), primary_key=True)
    name: Mapped[str] = mapped_column(default="")


notes = nitro.live_model(Note, "note")
prices = nitro.live_model(Price, "price")
for other, name in ((Link, "link"), (Audit, "audit")):
    nitro.live_model(other, name)


@event.listens_for(Note, "after_insert")
def audit(_: object, connection: Any, target: Note) -> None:
    connection.execute(insert(Audit).values(what=f"note {target.id}"))


@pytest.fixture(params=["sqlite", "postgresql"])
def session(request: pytest.FixtureRequest, tmp_path: Path, hub_with: Callable[..., Hub]) -> Iterator[Session]:
    from sqlalchemy import create_engine

    with BROKERS[request.param](tmp_path) as broker:
        engine = create_engine(broker.url.replace("postgresql://", "postgresql+psycopg://"))
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        Base.metadata.create_all(engine)
        hub_with(broker_url=broker.url)
        with Session(engine) as opened:
            yield opened
        engine.dispose()


@pytest.fixture
def heard(session: Session) -> Iterator[Callable[[], Events]]:
    """The events so far, once everything that was committed has come."""
    with Hearing("note.*", "link.*", "audit.*", "price.*", "end") as hearing:
        yield lambda: hearing.new_events(session.get_bind())


def names(events: Events) -> list[tuple[str, str | None]]:
    return [(topic, sender) for topic, sender, _ in events]


def test_rows_that_another_mapper_or_a_listener_inserts(session: Session, heard: Callable[[], Events]) -> None:
    session.add(Note(id=1, tags=[Tag(id=1), Tag(id=2)]))
    session.commit()
    told = names(heard())
    assert ("note.created", "1") in told
    assert [each for each in told if each[0] == "audit.created"] == [("audit.created", "1")]
    assert {each for each in told if each[0] == "link.created"} == {("link.created", "1:1"), ("link.created", "1:2")}


def test_a_flush_that_a_listener_breaks_off(session: Session, heard: Callable[[], Events]) -> None:
    def refuse(*_: object) -> None:
        raise ZeroDivisionError

    event.listen(session, "before_flush", refuse)
    session.add(note := Note(id=1))
    with pytest.raises(ZeroDivisionError):
        session.flush()
    event.remove(session, "before_flush", refuse)
    session.expunge(note)
    session.execute(insert(Note).values(id=2))
    session.commit()
    assert ("note.created", "2") in names(heard())


def test_keys_that_the_database_gives_back_otherwise(session: Session, heard: Callable[[], Events]) -> None:
    session.add(Price(amount=Decimal("1.5"), colour=Colour.RED))
    session.commit()
    assert names(heard()) == [("price.created", "1.50:red")]
    same = (Price.amount == Decimal("1.500"), Price.colour == Colour.RED)
    session.execute(update_rows(Price).where(*same).values(name="new"))
    session.commit()
    assert names(heard()) == [("price.updated", "1.50:red")]
    session.execute(delete_rows(Price).where(*same))
    session.commit()
    assert names(heard()) == [("price.deleted", "1.50:red")]
    prices.changed([(Decimal("1.5"), Colour.RED), (Decimal("2.5"), "blue")], session)
    session.add(Price(amount=Decimal("2.5"), colour="blue"))
    session.commit()
    assert names(heard())[:2] == [("price.deleted", "1.5:Colour.RED"), ("price.deleted", "2.5:blue")]
    prices.changed([(Decimal("2.5"), "blue")], session)
    session.commit()
    assert names(heard()) == [("price.updated", "2.50:blue")]
    session.add(Note(id=50))
    session.commit()
    heard()
    session.execute(update_rows(Note).where(Note.id == 50.0).values(name="float", renamed="x"))
    session.commit()
    assert names(heard()) == [("note.updated", "50")]


def test_a_commit_while_a_savepoint_is_open(session: Session, heard: Callable[[], Events]) -> None:
    root = session.begin()
    session.begin_nested()
    session.add(Note(id=1))
    root.commit()
    assert ("note.created", "1") in names(heard())


def test_a_commit_that_is_tried_again_is_refused_again(session: Session, heard: Callable[[], Events]) -> None:
    session.add(Note(id=1))
    session.add(Note(id=2, data="x" * get_settings().max_payload_bytes))
    for _ in range(2):
        with pytest.raises(PayloadTooLarge):
            session.commit()
    session.rollback()
    session.add(Note(id=3))
    session.commit()
    assert {each for each in names(heard()) if each[0].startswith("note")} == {("note.created", "3")}


def test_upserts_that_meet_another_unique_column(session: Session, heard: Callable[[], Events]) -> None:
    upsert: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[session.get_bind().dialect.name]
    session.execute(insert(Note), [{"id": 1, "name": "a"}, {"id": 5, "name": "b"}])
    session.commit()
    heard()
    statement = upsert(Note).values(id=5, name="a")
    session.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"other_name": "x"}))
    session.commit()
    assert names(heard()) == [("note.reset", None)]
    session.execute(upsert(Note).values(id=7, name="a").on_conflict_do_nothing(index_elements=["name"]))
    session.execute(upsert(Note).values(id=8, name="c").on_conflict_do_nothing(index_elements=["name"]))
    session.commit()
    assert names(heard()) == [("note.created", "8")]


def test_keys_by_an_expression(session: Session, heard: Callable[[], Events]) -> None:
    session.execute(insert(Audit).values([{"id": 1, "what": ""}, {"id": literal_column("2"), "what": ""}]))
    session.commit()
    assert names(heard()) == [("audit.reset", None)]
    session.execute(update_rows(Audit).where(Audit.id == 2).values(id=Audit.id + 1))
    session.commit()
    assert names(heard()) == [("audit.reset", None)]
    session.execute(update_rows(Audit).where(Audit.id == 3).values(id=4))
    session.commit()
    assert names(heard()) == [("audit.deleted", "3"), ("audit.created", "4")]


def test_values_that_python_takes_for_equal(session: Session, heard: Callable[[], Events]) -> None:
    session.add(note := Note(id=1, data={"a": [1]}))
    session.commit()
    heard()
    for data in ({"a": [True]}, {"a": [1.0]}):
        session.execute(update_rows(Note).where(Note.id == 1).values(data=data, renamed=None))
        session.commit()
        assert [event[2]["data"] for event in heard()] == [data]
    del note


def test_listeners_that_are_called_after_ours(session: Session, heard: Callable[[], Events]) -> None:
    session.add(Audit(id=1, what="old"))
    session.commit()
    heard()

    def add(session: Session) -> None:
        session.add(Audit(id=2, what="late"))
        session.execute(update_rows(Audit).where(Audit.id == 1).values(what="new"))

    event.listen(session, "before_commit", add, once=True)
    session.add(Audit(id=3, what="first"))
    session.commit()
    assert set(names(heard())) == {("audit.created", "3"), ("audit.created", "2"), ("audit.updated", "1")}


def test_what_is_executed_and_is_no_statement(session: Session) -> None:
    if session.get_bind().dialect.name == "postgresql":
        sequence = Sequence("attack_sequence")
        sequence.create(session.connection())
        assert session.scalar(sequence) == 1
    assert session.scalar(select(literal_column("1"))) == 1


def test_reading_a_row_locks_no_more_than_changing_it_does(session: Session) -> None:
    """Another transaction may insert a row that refers to one whose change isn't committed."""
    engine = session.get_bind()
    assert isinstance(engine, Engine)
    if engine.dialect.name != "postgresql":
        return  # SQLite has one writer
    session.add_all([Note(id=1), Tag(id=1)])
    session.commit()
    session.execute(update_rows(Note).where(Note.id == 1).values(data="new", renamed="x"))
    with Session(engine) as other:
        other.connection().exec_driver_sql("SET LOCAL lock_timeout = '2s'")
        other.execute(insert(Link).values(note_id=1, tag_id=1))
        other.commit()
    session.commit()


def test_a_class_that_is_defined_again() -> None:
    def define() -> type[Any]:
        class Again(DeclarativeBase):
            pass

        class Thing(Again):
            __tablename__ = "attack_things"
            id: Mapped[int] = mapped_column(primary_key=True)

        return Thing

    first, second = define(), define()
    assert nitro.live_model(first, "thing").model is first
    assert nitro.live_model(second, "thing").model is second
    with pytest.raises(ConfigurationError, match="live already"):
        nitro.live_model(second, "thing")


def test_an_async_session_is_told_how_it_can_tell(session: Session) -> None:
    from sqlalchemy.ext.asyncio import AsyncSession

    with pytest.raises(ConfigurationError, match="run_sync"):
        notes.changed([1], AsyncSession())  # type: ignore[arg-type]
