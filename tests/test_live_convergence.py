"""Live classes under random transactions: whoever applies the events in order has the table's rows, always.

Two sessions take turns, with savepoints, rollbacks, statements on many rows, and conflicts between them. Whenever both
are out of a transaction, what was told is compared with what is there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, event, insert, select
from sqlalchemy import delete as delete_rows
from sqlalchemy import update as update_rows
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import nitro
from nitro.delivery.hub import Hub
from nitro.testing.conformance import eventually
from tests.brokers import BROKERS
from tests.hearing import Hearing, readings_end
from tests.session_steps import SessionSteps

EXAMPLES = int(os.environ.get("NITRO_TEST_EXAMPLES", "40"))


class Base(DeclarativeBase):
    pass


class Cell(Base):
    __tablename__ = "live_cells"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int] = mapped_column(default=0)
    other: Mapped[int | None] = mapped_column(default=None)


nitro.live_model(Cell, "cell", exclude=["other"])

Values = dict[str, Any]
Step = tuple[int, str, int, int]

KINDS = (
    *("add", "add", "set", "set", "set", "touch", "delete", "delete", "flush", *["commit"] * 6, "rollback"),
    *("savepoint", "release", "undo", "update", "raise", "erase", "insert", "move", "outside", "bulk"),
)
steps = st.tuples(st.integers(0, 1), st.sampled_from(KINDS), st.integers(0, 5), st.integers(0, 3))


class World(SessionSteps):
    """Two sessions on one table, and one who applies what is told.

    Args:
        engine: that of the sessions, which give up soon when they meet a lock.
        patient: waits for locks.
    """

    def __init__(self, engine: Engine, patient: Engine, hearing: Hearing) -> None:
        self._patient = patient
        self._looking = engine if engine.dialect.name == "sqlite" else patient  # where a session may be writing
        self._hearing = hearing
        self._seen = len(hearing.events)
        self._sessions = (Session(engine), Session(engine))
        self.rows: dict[int, Values] = {}
        with Session(patient) as session:
            session.execute(delete_rows(Cell))
            session.commit()
        self.check(patient)

    def run(self, step: Step) -> None:
        which, kind, key, value = step
        session = self._sessions[which]
        try:
            getattr(self, f"_{kind}")(session, key, value)
        except SQLAlchemyError:  # a conflict: with the other session, or with a row that is there
            session.rollback()
            return
        if kind == "commit":
            with contextlib.suppress(OperationalError):  # on SQLite, the other session may be writing
                self.check(self._looking)

    def end(self) -> None:
        for session in self._sessions:
            session.close()
        self.check(self._patient)

    def check(self, engine: Engine) -> None:
        with Session(engine) as session:
            nitro.emit("cells.end", result=0, session=session)
            session.commit()
            rows = {cell.id: {"id": cell.id, "value": cell.value} for cell in session.scalars(select(Cell))}
        events = self._hearing.events
        eventually(lambda: len(events) > self._seen and events[-1][0] == "cells.end", "the end is heard")
        for topic, sender, data in events[self._seen : -1]:
            self._apply(topic, sender, data, rows)
        self._seen = len(events)
        assert self.rows == rows

    def _apply(self, topic: str, sender: str | None, data: Values, rows: dict[int, Values]) -> None:
        if topic == "cell.reset":
            self.rows = dict(rows)
            return
        key = data["id"]
        assert sender == str(key)
        if topic == "cell.deleted":
            assert data == {"id": key}
            self.rows.pop(key, None)
        else:
            assert topic in ("cell.created", "cell.updated")
            self.rows[key] = dict(data)

    def _add(self, session: Session, key: int, value: int) -> None:
        session.add(Cell(id=key, value=value))

    def _set(self, session: Session, key: int, value: int) -> None:
        if (cell := session.get(Cell, key)) is not None:
            cell.value = value

    def _touch(self, session: Session, key: int, value: int) -> None:
        """Without having loaded the row, as `merge` does."""
        session.merge(Cell(id=key, value=value), load=bool(value % 2))

    def _delete(self, session: Session, key: int, _: int) -> None:
        if (cell := session.get(Cell, key)) is not None:
            session.delete(cell)

    def _update(self, session: Session, key: int, value: int) -> None:
        session.execute(update_rows(Cell).where(Cell.id >= key).values(value=value, other=value))

    def _raise(self, session: Session, key: int, value: int) -> None:
        session.execute(update_rows(Cell).where(Cell.value == value).values(value=Cell.value + key))

    def _erase(self, session: Session, key: int, value: int) -> None:
        session.execute(delete_rows(Cell).where(Cell.id < key, Cell.value == value))

    def _insert(self, session: Session, key: int, value: int) -> None:
        session.execute(insert(Cell), [{"id": key, "value": value}, {"id": key + 6, "value": value}])

    def _move(self, session: Session, key: int, value: int) -> None:
        if (cell := session.get(Cell, key)) is not None:
            cell.id = key + 6 + value

    def _outside(self, session: Session, key: int, value: int) -> None:
        """By the table, past the unit of work."""
        table = Cell.metadata.tables["live_cells"]
        session.connection().execute(update_rows(table).where(table.c.id == key).values(value=value))

    def _bulk(self, session: Session, key: int, value: int) -> None:
        session.bulk_update_mappings(Cell.__mapper__, [{"id": key, "value": value}])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with BROKERS[request.param](tmp_path_factory.mktemp("broker")) as broker:
        yield broker.url


@pytest.fixture
def world(place: str, hub_with: Callable[..., Hub]) -> Iterator[Callable[[], World]]:
    if place.startswith("sqlite"):
        engine = create_engine(place, connect_args={"timeout": 0.02})
        patient = create_engine(place)
        for each in (engine, patient):
            # Else sqlite3 begins no transaction at a savepoint, whose release is a commit then: SQLAlchemy documents
            # these two lines.
            event.listen(each, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
            event.listen(each, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    else:
        driver = place.replace("postgresql://", "postgresql+psycopg://")
        engine = create_engine(driver, connect_args={"options": "-c lock_timeout=100ms"})
        patient = create_engine(driver)
    Base.metadata.create_all(engine)
    hub_with(broker_url=place)
    with Hearing("cell.*", "cells.*") as hearing:
        yield lambda: World(engine, patient, hearing)
    readings_end()
    engine.dispose()
    patient.dispose()


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")  # of objects with the key of another
@pytest.mark.server
def test_who_applies_the_events_has_the_rows(world: Callable[[], World]) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    )
    @given(st.lists(steps, min_size=30, max_size=60))
    def holds(taken: list[Step]) -> None:
        here = world()
        try:
            for step in taken:
                here.run(step)
        finally:
            with contextlib.suppress(SQLAlchemyError):
                here.end()

    holds()
