"""Live queries under random writes: whenever it is quiet, every client has its query's rows, and never had others.

Two workers serve streams of nine queries over one database, whose log retains little. Two sessions take turns with
savepoints, rollbacks and statements on many rows; streams are cut, resumed at the other worker, and left alone while
the log forgets.
"""

from __future__ import annotations

import contextlib
import json
import os
import select as sockets
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select
from sqlalchemy import delete as delete_rows
from sqlalchemy import insert as insert_rows
from sqlalchemy import update as update_rows
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

import nitro
from nitro.delivery.hub import Hub
from tests.apps.live_queries import QUERIES, Base, Card, Values, cards, engine_on
from tests.brokers import BROKERS
from tests.servers import Server
from tests.session_steps import SessionSteps
from tests.sse import Stream

EXAMPLES = int(os.environ.get("NITRO_TEST_EXAMPLES", "60"))
STEPS = 45
RETAINED = 60
"""Messages in the log; a flood of more makes the ids of those who were away worthless."""
NAMES = tuple(QUERIES)
KINDS = (
    *("add", "add", "set", "set", "set", "set", "delete", "flush", *["commit"] * 8, "rollback"),
    *("savepoint", "release", "undo", "update", "erase", "insert", "move", "changed"),
    *("cut", "cut", "resume", "resume", "resume", "begin", "check", "flood", "many"),
)
steps = st.tuples(st.integers(0, 1), st.sampled_from(KINDS), st.integers(0, 8), st.integers(0, 5))
Step = tuple[int, str, int, int]


class Follower:
    """A stream of a query, and the rows that it has told of so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: dict[str, Values] = {}
        self.last_id = ""
        self.resets = 0
        self._new: dict[str, Values] | None = None
        self._stream: Stream | None = None

    def connect(self, port: int, *, anew: bool) -> None:
        self.cut()
        if anew:
            self.rows, self.last_id, self._new = {}, "", None
        headers = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
        self._stream = Stream(port, f"/live/{self.name}", headers)
        self._stream.read_head()

    def cut(self, *, takes: bool = True) -> None:
        if self._stream is not None:
            try:
                if takes:
                    self.take()
            finally:
                self._stream.reset()
                self._stream = None

    @property
    def is_connected(self) -> bool:
        return self._stream is not None

    def take(self) -> None:
        """Whatever has come."""
        stream = self._stream
        if stream is None:
            return
        while sockets.select([stream.socket], [], [], 0)[0]:
            stream._raw += stream._receive()
        stream._parse()
        *events, stream.body = stream.body.split(b"\n\n")
        for event in events:
            fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if b": " in line)
            assert b"event" not in fields, event
            if b"data" in fields:
                for message in json.loads(fields[b"data"]):
                    self._apply(**message)
            if b"id" in fields:
                self.last_id = fields[b"id"].decode()

    def _apply(self, headers: Values, type: str = "", key: str = "", value: Values | None = None) -> None:
        control = headers.get("control")
        if control is not None:
            if control == "snapshot-start":
                self._new = {}
            elif control == "snapshot-end":
                assert self._new is not None
                self.rows, self._new = self._new, None
            else:
                assert control == "reset"
                self.resets += 1
            return
        assert type == "live_card"
        rows = self.rows if self._new is None else self._new
        if headers["operation"] == "delete":
            assert value is None
            rows.pop(key, None)
        else:
            assert value is not None and key == str(value["id"]) and "secret" not in value
            assert QUERIES[self.name].selects(value), f"{self.name} got {value}"
            rows[key] = value


class World(NamedTuple):
    """What outlives an example: the database, two workers, and the engine of the writers."""

    engine: Engine
    patient: Engine
    ports: tuple[int, int]


class Run(SessionSteps):
    """One example."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.sessions = (Session(world.engine), Session(world.engine))
        with Session(world.patient) as session:
            session.execute(delete_rows(Card))
            session.commit()
        self.followers = [Follower(name) for name in NAMES]
        for number, follower in enumerate(self.followers):
            follower.connect(world.ports[number % 2], anew=True)

    def step(self, step: Step) -> None:
        which, kind, key, value = step
        try:
            getattr(self, f"_{kind}")(self.sessions[which], key, value)
        except SQLAlchemyError:  # a conflict: with the other session, or with a row that is there
            self.sessions[which].rollback()

    def end(self) -> None:
        for session in self.sessions:
            session.close()
        for number, follower in enumerate(self.followers):
            if not follower.is_connected:
                follower.connect(self.world.ports[number % 2], anew=False)
        self.quiet()

    def close(self) -> None:
        for session in self.sessions:
            session.close()
        for follower in self.followers:
            follower.cut(takes=False)

    def quiet(self) -> None:
        """Whoever is connected has the rows of its query, soon."""
        with Session(self.world.patient) as session:
            rows = [
                {name: getattr(card, name) for name in ("id", "owner", "size", "done", "note")}
                for card in session.scalars(select(Card))
            ]
        deadline = time.monotonic() + 10
        for follower in self.followers:
            expected = {str(row["id"]): row for row in QUERIES[follower.name].rows(rows)}
            while follower.is_connected:
                follower.take()
                if follower.rows == expected:
                    break
                assert time.monotonic() < deadline, f"{follower.name} has {follower.rows}, and not {expected}"
                time.sleep(0.002)

    def _add(self, session: Session, key: int, value: int) -> None:
        session.add(Card(id=key, **_values(value)))

    def _set(self, session: Session, key: int, value: int) -> None:
        if (card := session.get(Card, key)) is not None:
            for name, new in _values(value + key).items():
                setattr(card, name, new)

    def _delete(self, session: Session, key: int, _: int) -> None:
        if (card := session.get(Card, key)) is not None:
            session.delete(card)

    def _update(self, session: Session, key: int, value: int) -> None:
        session.execute(update_rows(Card).where(Card.id >= key).values(**_values(value)))

    def _erase(self, session: Session, key: int, value: int) -> None:
        session.execute(delete_rows(Card).where(Card.id < key, Card.size == value))

    def _insert(self, session: Session, key: int, value: int) -> None:
        rows = [{"id": key + 9 * n, **_values(value + n)} for n in range(1, 4)]
        session.execute(insert_rows(Card), rows)

    def _move(self, session: Session, key: int, value: int) -> None:
        if (card := session.get(Card, key)) is not None:
            card.id = key + 9 + value

    def _changed(self, session: Session, key: int, value: int) -> None:
        """By SQL that isn't seen, and then said."""
        new = _values(value)
        session.flush()
        with cards.silent():
            session.execute(update_rows(Card).where(Card.id == key).values(**new))
        cards.changed([key], session)

    def _many(self, session: Session, key: int, value: int) -> None:
        """More than are told one by one; they go as they came."""
        session.execute(insert_rows(Card), [{"id": n, **_values(value)} for n in range(1000, 2002 + key)])
        session.commit()
        session.execute(delete_rows(Card).where(Card.id >= 1000))
        session.commit()

    def _flood(self, session: Session, *_: int) -> None:
        """The log forgets all that it had."""
        for n in range(RETAINED + 20):
            nitro.emit("noise", result=n, session=session)
        session.commit()

    def _cut(self, _: Session, key: int, __: int) -> None:
        self.followers[key % len(NAMES)].cut()

    def _resume(self, _: Session, key: int, value: int) -> None:
        follower = self.followers[key % len(NAMES)]
        if not follower.is_connected:
            follower.connect(self.world.ports[value % 2], anew=False)

    def _begin(self, _: Session, key: int, value: int) -> None:
        self.followers[key % len(NAMES)].connect(self.world.ports[value % 2], anew=True)

    def _check(self, *_: object) -> None:
        with contextlib.suppress(SQLAlchemyError):  # on SQLite, a session may be writing
            self.quiet()


def _values(value: int) -> Values:
    return {
        "owner": value % 3,
        "size": (None, 0, 1, 2, 3)[value % 5],
        "done": bool(value % 2),
        "note": (None, "a", "b", "")[value % 4],
        "secret": str(value),
    }


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with BROKERS[request.param](tmp_path_factory.mktemp("broker")) as broker:
        yield broker.url


@pytest.fixture
def world(place: str, hub_with: Callable[..., Hub]) -> Iterator[World]:
    busy: Values = {"timeout": 0.02} if place.startswith("sqlite") else {"options": "-c lock_timeout=100ms"}
    engine, patient = engine_on(place, connect_args=busy), engine_on(place)
    Base.metadata.create_all(patient)
    hub_with(broker_url=place, history_messages=RETAINED)
    nitro.connect_broker()
    environment = {"NITRO_BROKER_URL": place, "NITRO_HISTORY_MESSAGES": str(RETAINED)}
    with (
        Server("tests.apps.live_queries:app", environment=environment) as one,
        Server("tests.apps.live_queries:app", environment=environment) as other,
    ):
        yield World(engine, patient, (one.wait_until_up().port, other.wait_until_up().port))
    engine.dispose()
    patient.dispose()


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")  # of objects with the key of another
@pytest.mark.server
def test_every_client_has_the_rows_of_its_query(world: World) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )
    @given(st.lists(steps, min_size=STEPS, max_size=STEPS + 20))
    def holds(taken: list[Step]) -> None:
        run = Run(world)
        try:
            for step in taken:
                run.step(step)
            run.end()
        finally:
            run.close()

    holds()
