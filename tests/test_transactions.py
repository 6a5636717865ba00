"""Emit in a database transaction: committed together with the data, or not at all."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Column, Engine, Integer, MetaData, String, Table, event, insert, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlmodel import Field, SQLModel

import nitro
from nitro.delivery.hub import Hub
from nitro.errors import ArgumentTypeError, ConfigurationError, InvalidPayload
from nitro.messages.message import Position
from nitro.testing.conformance import eventually
from tests.brokers import BROKERS, Broker
from tests.documents import Document
from tests.hearing import Hearing, engine_on
from tests.services import PostgresServer

SCALING = Document("docs/how-to/scaling.md")
RUNS_BLOCKS = {"docs/how-to/scaling.md": ["Events in the transaction of the data: python"]}
metadata = MetaData()


class OrderOfTransactions(SQLModel, table=True):
    id: int = Field(primary_key=True)
    name: str


todos = Table("todos", metadata, Column("id", Integer, primary_key=True), Column("title", String))


@pytest.fixture(params=["sqlite", "postgresql", "memory"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker | None]:
    if request.param == "memory":
        yield None
        return
    with BROKERS[request.param](tmp_path) as started:
        yield started


@pytest.fixture
def engine(broker: Broker | None, tmp_path: Path, hub_with: Callable[..., Hub]) -> Iterator[Engine]:
    if broker is None:
        url = f"sqlite:///{tmp_path / 'data.db'}"
        hub_with(broker_url="memory://")
    else:
        url = broker.url.replace("postgresql://", "postgresql+psycopg://")
        hub_with(broker_url=broker.url)
    with engine_on(url) as engine:
        metadata.create_all(engine)
        yield engine


def test_events_come_in_the_order_that_is_promised(engine: Engine) -> None:
    """Of one transaction in theirs, behind what was committed before, and behind what was flushed before."""
    expected = []
    with Hearing("todo.*") as hearing:
        for n in range(40):
            nitro.emit("todo.created", result=[n, "flushed"])
            nitro.flush()
            with Session(engine) as session:
                for part in ("first", "second"):
                    nitro.emit("todo.created", result=[n, part], session=session)
                session.commit()
            with Session(engine) as session:
                nitro.emit("todo.created", result=[n, "behind"], session=session)
                session.commit()
            expected += [[n, what] for what in ("flushed", "first", "second", "behind")]
        eventually(lambda: len(hearing.heard) == len(expected), "all are heard")
        assert hearing.heard == expected


def test_what_is_committed_is_heard_and_what_is_rolled_back_never_is(engine: Engine) -> None:
    with Hearing("todo.*") as hearing:
        with Session(engine) as session:
            session.execute(insert(todos).values(title="kept"))
            nitro.emit("todo.created", result="kept", session=session)
            assert hearing.heard == []
            session.commit()
        eventually(lambda: hearing.heard == ["kept"], "the committed one is heard")
        with Session(engine) as session:
            session.execute(insert(todos).values(title="dropped"))
            nitro.emit("todo.created", result="dropped", session=session)
            session.rollback()
        with Session(engine) as session:
            nitro.emit("todo.created", result="closed", session=session)
        with pytest.raises(ZeroDivisionError), Session(engine) as session, session.begin():
            nitro.emit("todo.created", result="raised", session=session)
            raise ZeroDivisionError
        nitro.emit("todo.created", result="last")
        eventually(lambda: hearing.heard[-1] == "last", "the last is heard")
        assert hearing.heard == ["kept", "last"]


@pytest.mark.parametrize("ends", ["rollback", "close", "reset"])
def test_what_was_not_committed_is_not_heard_after_the_sessions_next_commit(engine: Engine, ends: str) -> None:
    with Hearing("todo.*") as hearing, Session(engine) as session:
        nitro.emit("todo.created", result="dropped", session=session)  # before the session has run any SQL
        getattr(session, ends)()
        nitro.emit("todo.created", result="kept", session=session)
        session.commit()
        getattr(session, ends)()
        session.commit()
        nitro.emit("todo.created", result="last")
        eventually(lambda: hearing.heard[-1:] == ["last"], "the last is heard")
        assert hearing.heard == ["kept", "last"]


def begin_as_sqlalchemy_says(engine: Engine) -> None:
    """What its documentation has for savepoints with `sqlite3`."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        engine.dispose()


def test_savepoints_that_are_rolled_back_take_their_events_along(engine: Engine) -> None:
    begin_as_sqlalchemy_says(engine)
    with Hearing("todo.*") as hearing, Session(engine) as session:
        nitro.emit("todo.created", result=1, session=session)
        with session.begin_nested() as savepoint:
            nitro.emit("todo.created", result=2, session=session)
            savepoint.rollback()
        with session.begin_nested():
            nitro.emit("todo.created", result=3, session=session)
        session.commit()
        nitro.emit("todo.created", result=4, session=session)
        session.commit()
        eventually(lambda: hearing.heard[-1:] == [4], "all are heard")
        assert hearing.heard == [1, 3, 4]


@pytest.mark.parametrize("ends", ["commit", "rollback"])
def test_in_a_joined_transaction_the_log_in_the_database_follows_it_and_memory_the_session(
    engine: Engine, broker: Broker | None, ends: str
) -> None:
    begin_as_sqlalchemy_says(engine)
    with Hearing("todo.*") as hearing:
        with engine.connect() as connection:
            outer = connection.begin()
            with Session(bind=connection, join_transaction_mode="create_savepoint") as session:
                session.execute(insert(todos).values(title="joined"))
                nitro.emit("todo.created", result="joined", session=session)
                session.commit()
                nitro.emit("todo.created", result="rolled back", session=session)
                session.rollback()
            getattr(outer, ends)()
        nitro.emit("todo.created", result="last")
        eventually(lambda: hearing.heard[-1:] == ["last"], "the last is heard")
        nitro.flush()
        expected = ["joined", "last"] if broker is None or ends == "commit" else ["last"]
        assert hearing.heard == expected


def test_an_emit_after_a_commit_comes_after_what_was_committed(engine: Engine) -> None:
    with Hearing("todo.*") as hearing:
        for n in range(0, 40, 2):
            with Session(engine) as session:
                nitro.emit("todo.created", result=n, session=session)
                session.commit()
            nitro.emit("todo.created", result=n + 1)
            nitro.flush()
        eventually(lambda: len(hearing.heard) == 40, "all are heard")
        assert hearing.heard == list(range(40))


def test_what_no_log_takes_is_refused_before_the_commit(engine: Engine) -> None:
    nitro.connect_broker()
    with Session(engine) as session:
        with pytest.raises(InvalidPayload, match="use shorter ids"):
            nitro.emit("todo.created", "x" * 5_000, result=1, session=session)
        session.commit()


@pytest.mark.parametrize("broker", ["postgresql"], indirect=True)
def test_8_the_transaction_that_began_first_and_commits_last(engine: Engine) -> None:
    with Hearing("todo.*") as hearing, Session(engine) as first, Session(engine) as second:
        nitro.emit("todo.created", result="first", session=first)
        nitro.emit("todo.created", result="second", session=second)
        second.commit()
        eventually(lambda: hearing.heard == ["second"], "the one that is committed is heard")
        first.commit()
        eventually(lambda: hearing.heard == ["second", "first"], "and then the other")
        before, behind = (Position.parse(id) for id in hearing.ids)
        assert before is not None
        assert behind is not None
        assert behind[:2] == (before.epoch, before.sequence + 1)


@pytest.mark.parametrize("broker", ["postgresql"], indirect=True)
def test_a_long_transaction_holds_up_nobody_elses_events(engine: Engine) -> None:
    with Hearing("todo.*") as hearing, Session(engine) as session:
        nitro.emit("todo.created", result="in the transaction", session=session)
        for n in range(100):
            nitro.emit("todo.created", result=n)
        nitro.flush()
        eventually(lambda: len(hearing.heard) == 100, "the others are heard")
        session.rollback()


@pytest.mark.parametrize("broker", ["postgresql"], indirect=True)
def test_a_session_with_two_phases_is_refused_with_the_remedy_and_goes_on(broker: Broker, engine: Engine) -> None:
    assert isinstance(broker.server, PostgresServer)
    broker.server.run("ALTER SYSTEM SET max_prepared_transactions = 10")
    engine.dispose()
    broker.server.end()
    broker.server.start()
    with Hearing("todo.*") as hearing:
        with Session(engine, twophase=True) as session:
            session.execute(insert(todos).values(title="before"))
            for _ in range(2):
                with pytest.raises(ConfigurationError, match=r"twophase=True.* emit after the commit"):
                    nitro.emit("todo.created", result=0, session=session)
            with session.begin_nested(), pytest.raises(ConfigurationError, match="twophase=True"):
                nitro.emit("todo.created", result=0, session=session)
            session.execute(insert(todos).values(title="after"))
            session.commit()
            nitro.emit("todo.created", result=1)
            nitro.flush()
        with Session(engine) as session:
            nitro.emit("todo.created", result=2, session=session)
            assert session.scalars(select(todos.c.title)).all() == ["before", "after"]
            session.commit()
        eventually(lambda: hearing.heard[-1:] == [2], "the last is heard")
        assert hearing.heard == [1, 2]


def test_handlers_get_the_session(engine: Engine) -> None:
    seen = []
    nitro.connect_broker()

    @nitro.on("todo.seen")
    def handler(sender: object, session: Session | None = None, **_: object) -> None:
        seen.append(session)

    with Session(engine) as session:
        nitro.emit("todo.seen", result=1, session=session)
        assert seen == [session]
        session.rollback()


def test_an_async_session_is_awaited(engine: Engine) -> None:
    driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}[engine.dialect.name]

    async def scenario() -> None:
        asynchronous = create_async_engine(engine.url.set(drivername=driver))
        async with AsyncSession(asynchronous) as session:
            with pytest.raises(ConfigurationError, match="await emit_async"):
                nitro.emit("todo.created", result=0, session=session)
            await nitro.emit_async("todo.created", result=1, session=session)
            await session.rollback()
            await nitro.emit_async("todo.created", result=2, session=session)
            await session.commit()
        await asynchronous.dispose()

    with Hearing("todo.*") as hearing:
        asyncio.run(scenario())
        eventually(lambda: hearing.heard == [2], "the committed one is heard")


WITHOUT_GREENLET = """
import asyncio, json, sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "greenlet":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Without())
import importlib, pkgutil, nitro, sqlalchemy, sqlmodel
for module in pkgutil.walk_packages(nitro.__path__, "nitro."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from sqlalchemy.orm import Session, scoped_session, sessionmaker

engine = sqlalchemy.create_engine(sys.argv[1])

class Todo(nitro.Entity, table=True):
    title: str

class Card(nitro.Entity, table=True, live=True):
    title: str

def emit_all():
    with Session(engine) as session:
        nitro.emit("todo.created", result="kept", session=session)
        session.commit()
        nitro.emit("todo.created", result="dropped", session=session)
        session.rollback()
    with sqlmodel.Session(engine) as session:
        asyncio.run(nitro.emit_async("todo.created", result="awaited", session=session))
        session.commit()
    scoped = scoped_session(sessionmaker(engine))
    nitro.emit("todo.created", result="scoped", session=scoped)
    scoped.commit()
    scoped.remove()
    Todo._repository.init_db()
    nitro.emit("todo.created", result=Todo(title="last").save().title)

async def main():
    nitro.connect_broker()
    heard = []
    async with asyncio.TaskGroup() as group:
        with nitro.Client(topics=["todo.*"]) as client:
            group.create_task(asyncio.to_thread(emit_all))
            async for message in client.messages():
                if isinstance(message, nitro.Message):
                    heard.append(message.data)
                    if heard[-1] == "last":
                        break
    with Card.live(Card.title == "live") as client:
        await asyncio.to_thread(Card(title="live").save)
        async for message in client.messages():
            if "live" in message.json:
                break
    assert "greenlet" not in sys.modules
    print(json.dumps(heard))

asyncio.run(main())
engine.dispose()
"""


def test_a_plain_session_needs_no_greenlet(broker: Broker | None, engine: Engine, tmp_path: Path) -> None:
    env = {
        **os.environ,
        "NITRO_BROKER_URL": broker.url if broker is not None else "memory://",
        "NITRO_DB_URL": f"sqlite:///{tmp_path / 'entities.db'}",
    }
    url = engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", WITHOUT_GREENLET, url]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == ["kept", "awaited", "scoped", "last"]


def test_a_broker_elsewhere_is_refused_with_the_remedy(tmp_path: Path, hub_with: Callable[..., Hub]) -> None:
    hub = hub_with(broker_url=f"sqlite:///{tmp_path / 'events.db'}")
    says = r"data\.db.*events\.db.*NITRO_BROKER_URL"
    with (
        engine_on(f"sqlite:///{tmp_path / 'data.db'}") as elsewhere,
        Session(elsewhere) as session,
        pytest.raises(ConfigurationError, match=says),
    ):
        nitro.emit("todo.created", result=1, session=session)
    hub.broker.close(1)


def test_a_broker_that_is_no_database_is_refused(tmp_path: Path, hub_with: Callable[..., Hub]) -> None:
    hub = hub_with(broker_url="redis://127.0.0.1:1")
    says = "can't take part in a database transaction"
    with (
        engine_on("sqlite://") as elsewhere,
        Session(elsewhere) as session,
        pytest.raises(ConfigurationError, match=says),
    ):
        nitro.emit("todo.created", result=1, session=session)
    hub.broker.close(0)


def test_what_is_no_session_is_refused_before_any_handler_is_called(hub: Hub) -> None:
    called = []
    nitro.event("todo.refused").connect(lambda sender, **_: called.append(sender), weak=False)
    words = "session is a SQLAlchemy session, not str"
    with pytest.raises(ArgumentTypeError, match=words):
        nitro.emit("todo.refused", result=1, session="session")
    with pytest.raises(ArgumentTypeError, match=words):
        asyncio.run(nitro.emit_async("todo.refused", result=1, session="session"))
    with pytest.raises(ConfigurationError, match=r"await emit_async\(\.\.\., session=session\)"):
        nitro.emit("todo.refused", result=1, session=AsyncSession())
    assert called == []
    nitro.emit("todo.refused", session="whatever its handlers take")
    assert len(called) == 1


def test_the_example_in_the_docs_emits_with_its_transaction(engine: Engine) -> None:
    SQLModel.metadata.tables["orderoftransactions"].create(engine)
    order = OrderOfTransactions(id=7, name="chairs")
    with Hearing("order.*") as hearing:
        block = SCALING.the("python", "Events in the transaction of the data")
        SCALING.run(block, {"Session": Session, "engine": engine, "emit": nitro.emit, "order": order})
        eventually(lambda: hearing.events == [("order.placed", "7", {"id": 7, "name": "chairs"})], "it is heard")
    with Session(engine) as session:
        assert session.get(OrderOfTransactions, 7) is not None


def test_the_schema_in_the_docs_is_the_one_that_is_made() -> None:
    from nitro.brokers.postgresql.statements import SCHEMA

    assert SCALING.all("sql")[0].source.strip() == SCHEMA.strip()
