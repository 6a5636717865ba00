"""Filters at random: of each row, Python says what SQLite and PostgreSQL say of it.

Rows and constants are drawn from the same values, which are those at the edges. Each statement asks the database about
twenty filters; `NITRO_TEST_EXAMPLES=1000` makes it 20,000.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from math import inf, nan
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, and_, case, event, false, insert, literal, not_, null, or_, select, true
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlmodel.sql import sqltypes

from nitro.entities.exact_decimal import ExactDecimal, give_collation
from nitro.errors import InvalidQuery
from nitro.live.filtering import filter_of
from nitro.live.model import LiveTable
from tests.brokers import BROKERS
from tests.hearing import engine_on

EXAMPLES = int(os.environ.get("NITRO_TEST_EXAMPLES", "20"))
FILTERS = 20


class Colour(Enum):
    RED = "red"
    GREEN = "a green"


UTCDateTime: Any = getattr(sqltypes, "UTCDateTime", sa.DateTime)
"""Since SQLModel 0.0.45."""


class Base(DeclarativeBase):
    pass


def optional(kind: Any) -> Any:
    return mapped_column(kind, nullable=True)


class Sample(Base):
    __tablename__ = "samples"
    id: Mapped[int] = mapped_column(primary_key=True)
    big: Mapped[int | None] = optional(sa.BigInteger())
    large: Mapped[int | None] = optional(sa.BigInteger())
    whole: Mapped[int | None] = optional(sa.Integer())
    small: Mapped[int | None] = optional(sa.SmallInteger().with_variant(sa.Integer(), "sqlite"))
    done: Mapped[bool | None] = optional(sa.Boolean())
    seen: Mapped[bool | None] = optional(sa.Boolean())
    title: Mapped[str | None] = optional(sa.String(50))
    note: Mapped[str | None] = mapped_column("remark", sa.Text(), nullable=True)
    weight: Mapped[float | None] = optional(sa.Float())
    width: Mapped[float | None] = optional(sa.Double())
    exact: Mapped[Decimal | None] = optional(ExactDecimal())
    other: Mapped[Decimal | None] = optional(ExactDecimal())
    price: Mapped[Decimal | None] = optional(sa.Numeric(12, 2).with_variant(ExactDecimal(12, 2), "sqlite"))
    begun: Mapped[datetime | None] = optional(sa.DateTime())
    ended: Mapped[datetime | None] = optional(sa.DateTime())
    sent: Mapped[datetime | None] = optional(sa.DateTime(timezone=True))
    heard: Mapped[datetime | None] = optional(sa.DateTime(timezone=True))
    asked: Mapped[datetime | None] = optional(UTCDateTime())
    told: Mapped[datetime | None] = optional(UTCDateTime())
    day: Mapped[date | None] = optional(sa.Date())
    due: Mapped[date | None] = optional(sa.Date())
    opens: Mapped[time | None] = optional(sa.Time())
    closes: Mapped[time | None] = optional(sa.Time())
    key: Mapped[UUID | None] = optional(sa.Uuid())
    owner: Mapped[UUID | None] = optional(sa.Uuid())
    colour: Mapped[Colour | None] = optional(
        sa.Enum(Colour, values_callable=lambda kind: [each.value for each in kind])
    )
    shade: Mapped[Colour | None] = optional(sa.Enum(Colour, values_callable=lambda kind: [each.value for each in kind]))
    state: Mapped[str | None] = optional(sa.Enum("new", "old", name="state"))


samples = LiveTable(Sample, "sample")

BERLIN = ZoneInfo("Europe/Berlin")
SMALL = [0, -1, 1, 2, 2**15 - 1, -(2**15)]
WHOLE = [*SMALL, 2**31 - 1, -(2**31)]
BIG = [*WHOLE, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
TEXTS = ["", " ", "a", "a ", "A", "É", "E\u0301", "0", "ß", "ss", "%", "𝄞", "1.0"]
FLOATS = [0.0, -0.0, 0.1, 0.1 + 0.2, 0.3, 1.0, 2.5, -1.5, 5e-324, 1.7976931348623157e308, 2.0**53, 2.0**31]
LARGE = [2**31, 2**53, -(2**53)]
PRICES = [Decimal(text) for text in ("0", "-0.00", "2.5", "2.50", "1E+2", "100.00", "0.1", "-0.01", "9999999999.99")]
EXACT = [*PRICES, *map(Decimal, ("1E-30", "0.1000000000000000055511151231257827", "9" * 40, "-1E+50", "100.001"))]
TIMES = [
    *map(datetime.fromisoformat, ("0001-01-01", "0999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999")),
    *map(datetime.fromisoformat, ("2024-02-29", "2024-02-29T00:00:00.000001", "2024-03-31T02:30", "2024-10-27T02:30")),
    datetime.fromisoformat("2024-10-27T02:30").replace(fold=1),
]
MOMENTS = [
    datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN),
    datetime(2024, 10, 27, 2, 30, tzinfo=BERLIN, fold=1),
    datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
    datetime(2024, 10, 27, 1, 30, tzinfo=UTC),
    datetime(2024, 10, 26, 20, 30, tzinfo=timezone(timedelta(hours=-4))),
    datetime(2024, 10, 26, 20, 30, tzinfo=ZoneInfo("America/New_York")),
    datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN),
    datetime(2024, 3, 31, 2, 30, tzinfo=BERLIN, fold=1),
    datetime(2024, 3, 31, 1, 30, tzinfo=UTC),
    datetime(2024, 3, 31, 0, 30, 0, 1, tzinfo=UTC),
    datetime(1, 1, 2, tzinfo=UTC),
    datetime(9999, 12, 31, 12, tzinfo=UTC),
]
FAR_MOMENTS = [
    datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-5))),
    datetime.min.replace(tzinfo=BERLIN),
]
DAYS = [date.min, date.max, date(2024, 2, 29), date(2024, 3, 1), date(999, 12, 31)]
HOURS = [time.min, time.max, time(12), time(12, 0, 0, 1), time(9, 59), time(2, 30, fold=1)]
KEYS = [
    UUID(int=0),
    UUID(int=2**128 - 1),
    UUID(int=1 << 127),
    UUID(int=10),
    UUID("12345678-9012-4567-8901-234567890123"),
]

Values = list[Any]
POOLS: list[tuple[str, list[Values]]] = [
    ("big large", [BIG]),
    ("whole", [WHOLE]),
    ("small", [SMALL]),
    ("done seen", [[True, False]]),
    ("title note", [TEXTS]),
    ("weight width", [FLOATS, LARGE, [0, 1, -1, 2]]),
    ("exact other", [EXACT, [*PRICES, 100, -1]]),
    ("price", [PRICES, [0, 100, -1]]),
    ("begun ended", [TIMES]),
    ("sent heard", [MOMENTS, [*MOMENTS, *FAR_MOMENTS]]),
    ("asked told", [TIMES if UTCDateTime is sa.DateTime else MOMENTS]),
    ("day due", [DAYS]),
    ("opens closes", [HOURS]),
    ("key owner", [KEYS]),
    ("colour shade", [list(Colour)]),
    ("state", [["new", "old"]]),
]
CONSTANTS = {name: pools for names, pools in POOLS for name in names.split()}
"""What each column is compared with; values of one list may stand together in an IN."""
ENDLESS = [inf, -inf]
ENDLESS_DECIMALS = [Decimal("NaN"), Decimal("Infinity"), Decimal("-Infinity")]
ROWS_ONLY: dict[str, dict[str, Values]] = {
    "sqlite": {"weight": ENDLESS, "width": ENDLESS},
    "postgresql": {
        "weight": [nan, *ENDLESS],
        "width": [nan, *ENDLESS],
        "exact": ENDLESS_DECIMALS,
        "other": ENDLESS_DECIMALS,
    },
}
"""What columns may hold, and constants may not be."""
UNORDERED = {"done", "seen", "title", "note", "colour", "shade", "state"}
PAIRS = [
    ("big", "large", "whole", "small"),
    *(("done", "seen"), ("title", "note"), ("weight", "width"), ("exact", "other", "price"), ("begun", "ended")),
    *(("sent", "heard"), ("asked", "told"), ("day", "due"), ("opens", "closes"), ("key", "owner"), ("colour", "shade")),
]
EQUALITY = ("__eq__", "__ne__")
ORDER = ("__lt__", "__le__", "__gt__", "__ge__", *EQUALITY)


def held(name: str, dialect: str) -> Values:
    """The values that a column may hold, and NULL."""
    known = [value for values in CONSTANTS[name] for value in values if value not in FAR_MOMENTS]
    return [None, *known, *ROWS_ONLY[dialect].get(name, []), *known]


def names_on(dialect: str) -> list[str]:
    return [name for name in CONSTANTS if dialect == "postgresql" or name not in ("sent", "heard")]


def rows(dialect: str) -> st.SearchStrategy[dict[str, Any]]:
    columns = {name: st.sampled_from(held(name, dialect)) for name in names_on(dialect)}
    return st.fixed_dictionaries(columns)


def edges(dialect: str) -> list[dict[str, Any]]:
    """Rows that have each value once, beside others in each row."""
    pools = {name: held(name, dialect) for name in names_on(dialect)}
    return [
        {name: pool[(row * step) % len(pool)] for step, (name, pool) in enumerate(pools.items(), start=1)}
        for row in range(40)
    ]


@st.composite
def comparisons(draw: Callable[[Any], Any], names: list[str]) -> Any:
    """A column compared with constants."""
    name = draw(st.sampled_from(names))
    column = getattr(Sample, name)
    pool = draw(st.sampled_from(CONSTANTS[name]))
    one, other = draw(st.sampled_from(pool)), draw(st.sampled_from([*pool, None]))
    compare = draw(st.sampled_from(EQUALITY if name in UNORDERED else ORDER))
    shape = draw(st.sampled_from(["right", "right", "left", "null", "unknown", "in", "in", "between", "bare"]))
    if shape == "right":
        return getattr(column, compare)(one)
    if shape == "left":
        return getattr(literal(one, column.type), compare)(column)
    if shape == "null":
        return draw(st.sampled_from([column == None, column != None, column.is_(null()), column.is_not(None)]))  # noqa: E711
    if shape == "unknown":
        return getattr(column, compare)(literal(None, column.type))
    if shape == "in":
        values = draw(st.lists(st.sampled_from(pool), max_size=4)) + draw(st.sampled_from([[], [], [None]]))
        return draw(st.sampled_from([column.in_, column.not_in]))(values)
    if shape == "between" and name not in UNORDERED:
        return draw(st.sampled_from([column.between(one, other), column.between(other, one)]))
    flag = draw(st.sampled_from([Sample.done, Sample.seen]))
    return draw(st.sampled_from([flag, ~flag, flag.is_(True), flag.is_not(True), flag.is_(False), flag.is_not(False)]))


@st.composite
def pairs(draw: Callable[[Any], Any], names: list[str]) -> Any:
    """A column compared with others of the same kind."""
    group = draw(st.sampled_from([each for each in PAIRS if each[0] in names]))
    one, two, three = (getattr(Sample, draw(st.sampled_from(group))) for _ in range(3))
    if group[0] not in UNORDERED and draw(st.booleans()):
        value = literal(draw(st.sampled_from(CONSTANTS[group[-1]][0])), getattr(Sample, group[-1]).type)
        return draw(st.sampled_from([one.between(two, three), value.between(one, two)]))
    return getattr(one, draw(st.sampled_from(EQUALITY if group[0] in UNORDERED else ORDER)))(two)


@st.composite
def conditions(draw: Callable[[Any], Any], names: list[str], depth: int = 3) -> Any:
    """Comparisons, and what AND, OR and NOT make of conditions."""
    shape = draw(st.sampled_from(["leaf", "leaf", "pair", "not", "not not", "and", "or", "not and", "not or"]))
    if shape == "leaf" or depth == 0:
        return draw(st.one_of(*[comparisons(names)] * 9, st.sampled_from([true(), false()])))
    if shape == "pair":
        return draw(pairs(names))
    parts = draw(st.lists(conditions(names, depth - 1), min_size=1, max_size=3))
    match shape:
        case "not":
            return not_(parts[0])
        case "not not":
            return not_(not_(parts[0]))
        case "and" | "or":
            return (and_ if shape == "and" else or_)(*parts)
        case _:
            return not_((and_ if shape == "not and" else or_)(*parts).self_group())


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def connection(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    """To a database of the samples that have the edges; its clock on the wall has an hour twice."""
    with BROKERS[request.param](tmp_path_factory.mktemp("samples")) as broker:
        url = broker.url.replace("postgresql://", "postgresql+psycopg://")
        with engine_on(url) as engine:
            if request.param == "sqlite":
                event.listen(engine, "connect", give_collation)
            Base.metadata.create_all(engine)
            with engine.connect() as connection:
                if request.param == "postgresql":
                    connection.exec_driver_sql("SET TimeZone = 'Europe/Berlin'")
                connection.execute(insert(Sample), edges(request.param))
                connection.commit()
                yield connection


@pytest.mark.server
def test_python_says_of_each_row_what_the_database_says(connection: Connection) -> None:
    dialect = connection.dialect.name
    wheres = st.lists(conditions(names_on(dialect)), min_size=1, max_size=3)
    columns = [getattr(Sample, name) for name in samples.names]
    counted = {"selected": 0, "left out": 0}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.reuse, Phase.generate],  # what fails is said by the filter and the row
    )
    @given(st.lists(wheres, min_size=FILTERS, max_size=FILTERS), st.lists(rows(dialect), min_size=1, max_size=5))
    def agree(asked: list[list[Any]], new: list[dict[str, Any]]) -> None:
        filters = [filter_of(samples, where, dialect) for where in asked]
        for where, each in zip(asked, filters, strict=True):
            assert filter_of(samples, [and_(true(), *reversed(where))], dialect) == each
        said = [case((and_(*where), 1), else_=0) for where in asked]
        with connection.begin() as transaction:
            connection.execute(insert(Sample), new)
            found = [tuple(row) for row in connection.execute(select(*columns, *said))]
            transaction.rollback()
        for values in found:
            row = dict(zip(samples.names, values, strict=False))
            for where, each, answer in zip(asked, filters, values[len(samples.names) :], strict=True):
                assert each.selects(row) is bool(answer), (str(and_(*where)), each, row)
                counted["selected" if answer else "left out"] += 1
                if answer:
                    assert all(row[name] in values for name, values in each.equalities.items())

    agree()
    assert min(counted.values()) > sum(counted.values()) / 10, counted


@pytest.mark.server
def test_postgresql_takes_a_list_for_what_its_first_constant_is_which_is_why_it_is_refused(
    connection: Connection,
) -> None:
    if connection.dialect.name == "sqlite":
        pytest.skip("SQLite compares numbers as they are")
    mixed = Sample.weight.in_([1, 2.5])
    found = set(connection.scalars(select(Sample.weight).where(mixed)))
    assert found == {1.0}, "2.5 is given as an INTEGER"
    with pytest.raises(InvalidQuery, match="in a list constants of one type"):
        filter_of(samples, [mixed], "postgresql")
