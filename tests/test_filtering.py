"""Filters of live queries: what a WHERE is translated to, and what is refused because Python might say otherwise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from math import inf, nan
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from sqlalchemy import and_, bindparam, cast, func, literal, not_, null, or_, select, true, tuple_, type_coerce
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, aliased, mapped_column, relationship
from sqlmodel import Field, SQLModel, col
from sqlmodel.sql import sqltypes

from nitro.entities.exact_decimal import ExactDecimal
from nitro.errors import InvalidQuery
from nitro.live.filtering import Filter, filter_of
from nitro.live.model import LiveTable


class Base(DeclarativeBase):
    pass


class Colour(Enum):
    RED = 1
    GREEN = 2


class Loose(Enum):
    """Its members may be equal though they are two."""

    ONE = "one"
    UNO = "uno"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Loose)

    def __hash__(self) -> int:
        return 1


class Padded(sa.TypeDecorator[str]):
    impl = sa.String
    cache_ok = True


class Owner(Base):
    __tablename__ = "filter_owners"
    id: Mapped[int] = mapped_column(primary_key=True)


class Todo(Base):
    __tablename__ = "filter_todos"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int | None] = mapped_column(sa.ForeignKey(Owner.id))
    owner: Mapped[Owner | None] = relationship()
    done: Mapped[bool | None]
    starred: Mapped[bool | None]
    title: Mapped[str | None] = mapped_column("headline", sa.String(50))
    rank: Mapped[int | None] = mapped_column(sa.SmallInteger())
    serial: Mapped[int | None] = mapped_column(sa.BigInteger())
    weight: Mapped[float | None]
    price: Mapped[Decimal | None] = mapped_column(ExactDecimal())
    tax: Mapped[Decimal | None] = mapped_column(ExactDecimal(6, 2))
    rough: Mapped[Decimal | None] = mapped_column(sa.Numeric(6, 2))
    begun: Mapped[datetime | None]
    sent: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    made: Mapped[datetime | None] = mapped_column(server_default=func.now())
    day: Mapped[date | None]
    opens: Mapped[time | None]
    key: Mapped[UUID | None]
    colour: Mapped[Colour | None]
    secret: Mapped[str | None]
    state: Mapped[str | None] = mapped_column(sa.Enum("new", "old", name="state"))
    loose: Mapped[Loose | None]
    clock: Mapped[time | None] = mapped_column(sa.Time(timezone=True))
    thin: Mapped[float | None] = mapped_column(sa.Float(precision=24))
    real: Mapped[float | None] = mapped_column(sa.REAL())
    read_as_decimal: Mapped[Decimal | None] = mapped_column(sa.Float(asdecimal=True))
    read_as_float: Mapped[float | None] = mapped_column(sa.Numeric(6, 2, asdecimal=False))
    code: Mapped[str | None] = mapped_column(sa.CHAR(3))
    name: Mapped[str | None] = mapped_column(sa.String(collation="NOCASE"))
    caseless: Mapped[str | None] = mapped_column(CITEXT())
    padded: Mapped[str | None] = mapped_column(Padded())
    data: Mapped[Any] = mapped_column(sa.JSON(), nullable=True)
    tags: Mapped[Any] = mapped_column(sa.ARRAY(sa.String()), nullable=True)
    raw: Mapped[bytes | None]
    spent: Mapped[timedelta | None]
    key_text: Mapped[str | None] = mapped_column(sa.Uuid(as_uuid=False))
    varied: Mapped[int | None] = mapped_column(sa.Integer().with_variant(sa.CHAR(3), "sqlite"))

    @hybrid_property
    def is_open(self) -> bool:
        return not self.done

    @is_open.inplace.expression
    @classmethod
    def _is_open(cls) -> Any:
        return ~cls.done

    @hybrid_property
    def loud(self) -> str:
        return str(self.title).upper()

    @loud.inplace.expression
    @classmethod
    def _loud(cls) -> sa.ColumnElement[str]:
        return func.upper(cls.title)


class FilterNote(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    text: str
    internal: str = Field(default="", exclude=True)


class FilterMoment(SQLModel, table=True):
    id: int = Field(primary_key=True)
    at: datetime | None = None
    made: datetime | None = Field(default=None, sa_column_kwargs={"server_default": func.now()})


UTCDateTime: Any = getattr(sqltypes, "UTCDateTime", None)
"""Since SQLModel 0.0.45."""
todos = LiveTable(Todo, "filter_todo", exclude=["secret"])
notes = LiveTable(FilterNote)
moments = LiveTable(FilterMoment)
T: Any = Todo
NAIVE = datetime.fromisoformat("2024-01-01")


def filtered(*where: Any, dialect: str = "sqlite") -> Filter:
    return filter_of(todos, where, dialect)


def selects(where: Any, dialect: str = "postgresql", **row: Any) -> bool:
    return filtered(where, dialect=dialect).selects(row)


def test_no_condition_selects_every_row() -> None:
    every = filtered()
    assert every.selects({})
    assert (every.names, dict(every.equalities)) == (frozenset(), {})


def test_conditions_are_joined_by_and() -> None:
    mine = filtered(T.owner_id == 1, T.done == False)  # noqa: E712
    assert mine.selects({"owner_id": 1, "done": False})
    assert not mine.selects({"owner_id": 1, "done": True})
    assert not mine.selects({"owner_id": 2, "done": False})
    assert not mine.selects({"owner_id": None, "done": False})


def test_rows_have_the_names_of_attributes_not_of_columns() -> None:
    titled = filtered(T.title == "a", T.rank < 3)
    assert titled.names == {"title", "rank"}
    assert titled.selects({"title": "a", "rank": 2})
    assert filtered(Todo.__table__.c.headline == "a") == filtered(T.title == "a")


A, B = T.rank == 1, T.serial == 1
TRUTHS = [True, False, None]
VALUE = {True: 1, False: 0, None: None}


def kleene(one: bool | None, other: bool | None, deciding: bool) -> bool | None:
    if deciding in (one, other):
        return deciding
    return None if None in (one, other) else not deciding


@pytest.mark.parametrize("one", TRUTHS)
@pytest.mark.parametrize("other", TRUTHS)
def test_and_or_and_not_know_three_truths(one: bool | None, other: bool | None) -> None:
    row: dict[str, Any] = {"rank": VALUE[one], "serial": VALUE[other]}
    both, either = kleene(one, other, False), kleene(one, other, True)
    for where, said in [(and_(A, B), both), (or_(A, B), either)]:
        assert selects(where, **row) is (said is True)
        assert selects(not_(where), **row) is (said is False)
        assert selects(not_(not_(where).self_group()), **row) is (said is True)
        assert selects(or_(not_(where), where), **row) is (said is not None)
    assert selects(and_(A, not_(or_(not_(B), and_(A, not_(A))))), **row) is (both is True)


UNKNOWN = literal(None, sa.Integer())


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        (T.rank == None, {None}),  # noqa: E711
        (T.rank != None, {1, 2, 3}),  # noqa: E711
        (T.rank == null(), {None}),
        (T.rank.is_(None), {None}),
        (not_(T.rank.is_(None)), {1, 2, 3}),
        (T.rank.is_not(None), {1, 2, 3}),
        (T.rank == UNKNOWN, set()),
        (T.rank != UNKNOWN, set()),
        (T.rank < UNKNOWN, set()),
        (not_(T.rank < UNKNOWN), set()),
        (null() == T.rank, set()),
        (T.rank == 2, {2}),
        (T.rank != 2, {1, 3}),
        (not_(T.rank == 2), {1, 3}),
        (T.rank < 2, {1}),
        (not_(T.rank < 2), {2, 3}),
        (T.rank <= 2, {1, 2}),
        (T.rank > 2, {3}),
        (T.rank >= 2, {2, 3}),
        (2 < T.rank, {3}),  # noqa: SIM300
        (literal(2) < T.rank, {3}),
        (literal(2) >= T.rank, {1, 2}),
        (literal(2) == T.rank, {2}),
        (T.rank.in_([1, 2, 2]), {1, 2}),
        (T.rank.in_([1, None]), {1}),
        (T.rank.in_([None]), set()),
        (T.rank.in_([]), set()),
        (T.rank.in_([literal(1), null()]), {1}),
        (T.rank.not_in([1, 1]), {2, 3}),
        (T.rank.not_in([1, None]), set()),
        (T.rank.not_in([null(), literal(1)]), set()),
        (T.rank.not_in([]), {1, 2, 3, None}),
        (~T.rank.in_([]), {1, 2, 3, None}),
        (~T.rank.not_in([1, None]), {1}),
        (T.rank.between(1, 2), {1, 2}),
        (T.rank.between(2, 1), set()),
        (~T.rank.between(2, 2), {1, 3}),
        (T.rank.between(None, 2), set()),
        (~T.rank.between(None, 2), {3}),
        (literal(2).between(T.rank, T.rank), {2}),
        (T.rank == T.rank, {1, 2, 3}),
        (T.rank < T.rank, set()),
        (true(), {1, 2, 3, None}),
        (~true(), set()),
        (and_(True, T.rank == 1), {1}),
        (or_(False, T.rank == 1), {1}),
    ],
)
def test_what_a_comparison_selects(where: Any, chosen: set[Any]) -> None:
    assert {value for value in (1, 2, 3, None) if selects(where, rank=value)} == chosen


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        (T.done, {True}),
        (~T.done, {False}),
        (not_(not_(T.done)), {True}),
        (T.done == True, {True}),  # noqa: E712
        (T.done != True, {False}),  # noqa: E712
        (T.done == sa.false(), {False}),
        (T.done == literal(True), {True}),
        (true() == T.done, {True}),
        (T.done.is_(True), {True}),
        (T.done.is_(False), {False}),
        (T.done.is_(None), {None}),
        (T.done.is_not(True), {False, None}),
        (~T.done.is_(False), {True, None}),
        (T.done.is_not(None), {True, False}),
        (T.done.in_([True]), {True}),
        (T.done.not_in([True]), {False}),
        (T.done.in_([True, False]), {True, False}),
        (T.is_open, {False}),
    ],
)
def test_what_a_condition_on_a_boolean_selects(where: Any, chosen: set[Any]) -> None:
    assert {value for value in (True, False, None) if selects(where, done=value)} == chosen


def test_columns_are_compared_with_columns() -> None:
    above = filtered(T.rank > T.serial)
    assert above.names == {"rank", "serial"}
    assert above == filtered(T.serial < T.rank) == filtered(not_(T.rank <= T.serial))
    assert above.selects({"rank": 2, "serial": 1})
    assert not above.selects({"rank": 1, "serial": 1})
    assert not above.selects({"rank": 2, "serial": None})
    assert not above.selects({"rank": None, "serial": 1})
    assert filtered(T.done == T.starred) == filtered(T.starred == T.done)


def test_nan_equals_itself_and_is_greater_than_all_else() -> None:
    assert selects(T.weight > 1.5, weight=nan)
    assert not selects(T.weight <= 1.5, weight=nan)
    assert selects(T.weight < 1.5, weight=-inf)
    assert selects(and_(T.weight >= 1.5, T.weight != 1.5, T.weight.not_in([1.5])), weight=nan)
    assert selects(T.price > 1, price=Decimal("NaN"))
    assert not selects(T.price < 1, price=Decimal("NaN"))
    both = filtered(T.price == T.tax)
    assert both.selects({"price": Decimal("NaN"), "tax": Decimal("NaN")})
    assert selects(T.price < T.tax, price=Decimal("Infinity"), tax=Decimal("NaN"))
    assert not selects(T.price < T.tax, price=Decimal("NaN"), tax=Decimal("Infinity"))


def test_moments_are_compared_in_whatever_time_zone() -> None:
    west, noon = timezone(timedelta(hours=-5)), datetime(2024, 1, 1, 12, tzinfo=UTC)
    assert selects(T.sent == noon, sent=datetime(2024, 1, 1, 7, tzinfo=west))
    assert not selects(T.sent != noon, sent=datetime(2024, 1, 1, 7, tzinfo=west))
    assert selects(T.sent > noon, sent=datetime(9999, 12, 31, 23, tzinfo=west))
    assert not selects(T.sent > noon, sent=datetime(2024, 1, 1, 13, tzinfo=timezone(timedelta(hours=5))))
    assert filtered(T.sent == noon, dialect="postgresql").equalities == {}


@pytest.mark.skipif(UTCDateTime is None, reason="this SQLModel has no UTCDateTime")
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_datetime_field_of_sqlmodel_is_a_moment(dialect: str) -> None:
    at, made = col(FilterMoment.at), col(FilterMoment.made)
    noon = datetime(2024, 1, 1, 12, tzinfo=UTC)
    east = datetime(2024, 1, 1, 13, tzinfo=timezone(timedelta(hours=1)))
    assert filter_of(moments, [at == noon, made == None], dialect).selects({"at": east, "made": None})  # noqa: E711 - SQL
    assert filter_of(moments, [at <= noon], dialect).selects({"at": east})
    assert not filter_of(moments, [at.not_in([noon])], dialect).selects({"at": east})
    for constant, said in (
        (NAIVE, "has no time zone: give a datetime with tzinfo"),
        (datetime.min.replace(tzinfo=east.tzinfo), "is in no year from 1 to 9999 in UTC"),
    ):
        with pytest.raises(InvalidQuery, match=said):
            filter_of(moments, [at > constant], dialect)
    if dialect == "sqlite":
        with pytest.raises(InvalidQuery, match="has a value that SQLite makes"):
            filter_of(moments, [made > noon], dialect)


def test_an_hour_that_exists_twice_is_two_moments() -> None:
    first = datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    second = first.replace(fold=1)
    assert first == second, "for Python, they are one"
    assert not selects(T.sent == first, sent=second)
    assert selects(T.sent > first, sent=second)
    assert selects(T.sent.in_([second]), sent=datetime(2024, 10, 27, 1, 30, tzinfo=UTC))
    assert filtered(T.sent == first, dialect="postgresql") != filtered(T.sent == second, dialect="postgresql")


@pytest.mark.parametrize(
    ("where", "equalities"),
    [
        ([T.rank == 1], {"rank": {1}}),
        ([T.rank == 1, T.title.in_(["a", "b", None])], {"rank": {1}, "title": {"a", "b"}}),
        ([and_(T.rank == 1, and_(T.serial == 2, T.rank > 0).self_group())], {"rank": {1}, "serial": {2}}),
        ([T.rank.in_([1, 2]), T.rank.in_([2, 3])], {"rank": {2}}),
        ([T.rank == 1, T.rank == 2], {"rank": set()}),
        ([T.rank.in_([])], {"rank": set()}),
        ([not_(T.rank != 1)], {"rank": {1}}),
        ([T.done, ~T.starred], {"done": {True}, "starred": {False}}),
        ([or_(T.rank == 1, T.serial == 1)], {}),
        ([T.rank != 1, T.serial > 1, T.title == None], {}),  # noqa: E711
        ([T.rank == T.serial], {}),
    ],
)
def test_equalities_are_what_a_selected_row_has(where: list[Any], equalities: dict[str, Any]) -> None:
    assert dict(filtered(*where).equalities) == equalities


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([T.rank == 1, T.done], [and_(T.done == True, T.rank == 1)]),  # noqa: E712
        ([T.rank.in_([2, 1, 1])], [T.rank.in_([1, 2])]),
        ([T.rank.in_([1])], [literal(1) == T.rank]),
        ([T.rank.between(1, 2)], [T.rank >= 1, T.rank <= 2]),
        ([not_(or_(T.rank == 1, T.serial < 1))], [T.rank != 1, T.serial >= 1]),
        ([T.weight == 1], [T.weight == 1.0]),
        ([T.price == Decimal("2.50")], [T.price == Decimal("2.5")]),
        ([T.price == Decimal(2)], [T.price == 2]),
        ([or_(T.rank == 1, or_(T.rank == 1, T.serial == 2).self_group())], [or_(T.serial == 2, T.rank == 1)]),
        ([], [true()]),
    ],
)
def test_filters_that_say_the_same_are_equal(one: list[Any], other: list[Any]) -> None:
    assert filtered(*one) == filtered(*other)
    assert hash(filtered(*one)) == hash(filtered(*other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([T.rank == 1], [T.serial == 1]),
        ([T.rank == 1], [T.rank == 2]),
        ([T.rank == 1], [T.rank != 1]),
        ([T.rank == 1, T.serial == 1], [or_(T.rank == 1, T.serial == 1)]),
        ([T.rank < 1], [T.rank <= 1]),
        ([T.done.is_not(True)], [T.done != True]),  # noqa: E712
    ],
)
def test_filters_that_say_something_else_differ(one: list[Any], other: list[Any]) -> None:
    assert filtered(*one) != filtered(*other)


def test_filters_of_two_classes_differ_and_none_can_be_changed() -> None:
    every = filtered()
    assert every != filter_of(notes, [], "sqlite")
    with pytest.raises(AttributeError):
        every.names = frozenset({"rank"})  # type: ignore[misc]  # it's frozen
    with pytest.raises(TypeError):
        filtered(T.rank == 1).equalities["rank"] = frozenset()  # type: ignore[index]  # it's a mapping that is read


class Elsewhere(Base):
    __tablename__ = "filter_elsewhere"
    id: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int]


MAY_SAY = r"a live query may say ==, !=, <, <=, >, >=, in_\(\).* of columns of Todo and constants"
EXPRESSIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "a function": (lambda: func.abs(T.rank) == 1, r"abs\(filter_todos.rank\) can't be known.*" + MAY_SAY),
    "arithmetic": (lambda: T.rank + 1 == 2, r"filter_todos.rank \+ :rank_1 .*" + MAY_SAY),
    "minus": (lambda: -T.rank == 1, MAY_SAY),
    "LIKE": (lambda: T.title.like("a%"), "LIKE.*" + MAY_SAY),
    "startswith": (lambda: T.title.startswith("a"), MAY_SAY),
    "an operator": (lambda: T.title.op("~")("a"), MAY_SAY),
    "IS DISTINCT FROM": (lambda: T.rank.is_distinct_from(1), MAY_SAY),
    "a cast": (lambda: cast(T.rank, sa.BigInteger) == 1, "CAST.*" + MAY_SAY),
    "another type": (lambda: type_coerce(T.rank, sa.String) == "1", MAY_SAY),
    "a collation": (lambda: T.title.collate("NOCASE") == "a", "COLLATE.*" + MAY_SAY),
    "a label": (lambda: T.rank.label("place") == 1, MAY_SAY),
    "a hybrid": (lambda: T.loud == "A", "upper.*" + MAY_SAY),
    "CASE": (lambda: sa.case((T.done, 1), else_=2) == 1, "CASE.*" + MAY_SAY),
    "symmetric": (lambda: T.rank.between(1, 2, symmetric=True), "SYMMETRIC.*" + MAY_SAY),
    "tuples": (lambda: tuple_(T.rank, T.serial).in_([(1, 2)]), MAY_SAY),
    "a subquery": (lambda: T.rank == select(Elsewhere.rank).scalar_subquery(), MAY_SAY),
    "ANY": (lambda: T.rank == sa.any_(select(Elsewhere.rank).scalar_subquery()), MAY_SAY),
    "IN a subquery": (lambda: T.rank.in_(select(Elsewhere.rank)), "a list of constants"),
    "EXISTS": (lambda: sa.exists().where(Elsewhere.id == T.id), MAY_SAY),
    "text": (lambda: sa.text("rank = 1"), MAY_SAY),
    "text as a column": (lambda: sa.literal_column("rank") == 1, MAY_SAY),
    "a comparison of comparisons": (lambda: (T.rank == 1) == (T.serial == 1), MAY_SAY),
    "IS of a comparison": (lambda: (T.rank == 1).is_(None), MAY_SAY),
    "a bare constant": (lambda: literal(True), MAY_SAY),
    "nothing but constants": (
        lambda: literal(1) == literal(1),
        r"compares no column of Todo: say true\(\) or false\(\)",
    ),
    "a column that is no boolean": (lambda: T.rank, "Todo.rank is no boolean"),
    "NOT of a column that is no boolean": (lambda: and_(T.done, T.rank), "Todo.rank is no boolean"),
    "IN with a column": (lambda: T.rank.in_([1, T.serial]), r"a list of constants; with another column say or_\("),
    "IS of another constant": (lambda: T.rank.is_(sa.true()), r"is_\(\) and is_not\(\) take None, and of a boolean"),
    "another table": (lambda: Elsewhere.rank == 1, "filter_elsewhere.rank is no column of Todo's table"),
    "an alias": (lambda: aliased(Todo).rank == 1, "is no column of Todo's table"),
    "a relationship": (lambda: T.owner == Owner(id=1), "gets its value when the statement runs"),
    "a parameter": (lambda: T.rank == bindparam("x"), "a parameter with a name.*write the value itself"),
    "a named parameter": (lambda: T.rank == bindparam("x", 1), "a parameter with a name"),
    "a callable": (lambda: T.rank == bindparam("x", callable_=lambda: 1), "gets its value when the statement runs"),
    "a parameter in IN": (lambda: T.rank.in_(bindparam("x", expanding=True)), "a parameter with a name"),
    "what Python decides": (lambda: Todo.rank is None, r"False is no expression of SQLAlchemy.*\.is_\(None\)"),
    "what Python negates": (lambda: not Todo.done, r"False is no expression of SQLAlchemy.*not_\("),
    "None": (lambda: None, "None is no expression of SQLAlchemy"),
    "a str": (lambda: "rank = 1", "'rank = 1' is no expression of SQLAlchemy"),
    "a list": (lambda: [T.rank == 1], "is no expression of SQLAlchemy"),
    "a select": (lambda: select(Todo), MAY_SAY),
    "an excluded attribute": (lambda: T.secret == "a", "Todo.secret is excluded from what is sent"),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_an_expression_that_python_may_read_otherwise_is_refused(name: str, dialect: str) -> None:
    expression, said = EXPRESSIONS[name]
    with pytest.raises(InvalidQuery, match=said):
        filtered(expression(), dialect=dialect)
    with pytest.raises(InvalidQuery):
        filtered(T.done, expression(), dialect=dialect)


def test_a_field_that_a_model_excludes_is_refused() -> None:
    assert filter_of(notes, [col(FilterNote.text) == "a"], "sqlite").selects({"text": "a"})
    with pytest.raises(InvalidQuery, match=r"FilterNote\.internal is excluded"):
        filter_of(notes, [col(FilterNote.internal) == "a"], "sqlite")


CONSTANTS: dict[str, tuple[Callable[[], Any], str]] = {
    "bool for int": (lambda: T.rank == literal(True), "True, of the type bool: give an int"),
    "true() for int": (lambda: T.rank == true(), "True, of the type bool: give an int"),
    "float for int": (lambda: T.rank == 1.0, "1.0, of the type float: give an int"),
    "str for int": (lambda: T.rank == "1", "'1', of the type str: give an int"),
    "list for int": (lambda: T.rank == [1], "type list: give an int"),
    "int of more than 64 bits": (lambda: T.serial == 2**63, "beyond 64 bits"),
    "negative int of more than 64 bits": (lambda: T.serial > -(2**63) - 1, "beyond 64 bits"),
    "int for bool": (lambda: T.done == 1, "1, of the type int: give True or False"),
    "int for text": (lambda: T.title == 1, "1, of the type int: give a str"),
    "NUL": (lambda: T.title == "a\0", "has a NUL"),
    "half a character": (lambda: T.title == "\ud800", "lone surrogate"),
    "order of text": (
        lambda: T.title < "b",
        r"Todo.title is asked whether it is <.*collation.*compare it by ==, !=, in_",
    ),
    "text between": (lambda: T.title.between("a", "b"), "the database's collation"),
    "order of text columns": (lambda: T.title < T.title, "the database's collation"),
    "order of booleans": (lambda: T.done < literal(True), "none is less than the other"),
    "order of enums": (lambda: T.colour < Colour.RED, "each database orders enums in its own way"),
    "Decimal for float": (lambda: T.weight == Decimal("0.1"), "type Decimal: give a finite float"),
    "NaN": (lambda: T.weight == nan, "isn't finite"),
    "infinity": (lambda: T.weight < inf, "isn't finite"),
    "int that no float is": (lambda: T.weight == 2**53 + 1, "no float may be"),
    "bool for float": (lambda: T.weight == literal(True), "type bool"),
    "ints and floats in a list": (lambda: T.weight.in_([1, 2.5]), "and in a list constants of one type"),
    "float for decimal": (lambda: T.price == 0.1, "0.1, of the type float: give a Decimal"),
    "decimal NaN": (lambda: T.price == Decimal("NaN"), "isn't finite"),
    "decimal infinity": (lambda: T.price == Decimal("-Infinity"), "isn't finite"),
    "a large int for decimal": (lambda: T.price == 10**20, "beyond 64 bits"),
    "an aware time for a naive": (
        lambda: T.begun < datetime(2024, 1, 1, tzinfo=UTC),
        "has a time zone: give a datetime without",
    ),
    "date for datetime": (lambda: T.begun == date(2024, 1, 1), "type date: give a datetime"),
    "datetime for date": (lambda: T.day == NAIVE, "type datetime: give a date, not a datetime"),
    "str for date": (lambda: T.day == "2024-01-01", "type str: give a date"),
    "an aware time of day": (lambda: T.opens == time(1, tzinfo=UTC), "has a time zone: give a time without"),
    "str for UUID": (lambda: T.key == "00000000-0000-0000-0000-000000000000", r"type str: give a uuid.UUID"),
    "name for enum": (lambda: T.colour == "RED", "'RED', of the type str: give one of Colour.RED, Colour.GREEN"),
    "member of another enum": (lambda: T.colour == Loose.ONE, "type Loose: give one of Colour.RED"),
    "no member": (lambda: T.state == "gone", "'gone', which it doesn't have: give one of new, old"),
    "the type of another column": (
        lambda: T.rank == literal(1, sa.String()),
        "Todo.rank, given a constant as String.*another type than its own",
    ),
    "decimal sent as a float": (
        lambda: T.price == literal(Decimal("0.1"), sa.Float()),
        "Todo.price, given a constant as Float.*another type than its own",
    ),
    "int with float": (lambda: T.rank == T.weight, "Todo.rank is compared with Todo.weight, which is of another kind"),
    "text with enum": (lambda: T.title == T.state, "of another kind"),
}


@pytest.mark.parametrize("name", CONSTANTS)
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_constant_that_the_database_may_take_for_something_else_is_refused(name: str, dialect: str) -> None:
    expression, said = CONSTANTS[name]
    with pytest.raises(InvalidQuery, match=said):
        filtered(expression(), dialect=dialect)


TYPES = {
    "thin": "keeps other numbers than it is given: declare it as Double",
    "real": "keeps other numbers than it is given: declare it as Double",
    "read_as_decimal": "declare it without asdecimal=True",
    "read_as_float": "declare it without asdecimal=False",
    "code": "type CHAR, for which spaces at the end count.*declare it as String",
    "name": "Todo.name has the collation NOCASE",
    "caseless": "type CITEXT, of which it isn't known",
    "padded": "type Padded, which may keep values in another form",
    "data": "type JSON, of which it isn't known.*a live query may compare integers, booleans, text",
    "tags": "type ARRAY",
    "raw": "type LargeBinary",
    "spent": "type Interval",
    "clock": "declare it without timezone=True",
    "key_text": "declare it without as_uuid=False",
    "loose": "of which members are equal",
}
ON_SQLITE = {
    "rough": "type Numeric, which SQLite keeps as a float.*Decimal fields of an Entity are kept exactly",
    "sent": "time zone, which SQLite drops: declare it without timezone=True",
    "made": "has a value that SQLite makes.*let Python make it, by default=",
    "varied": "type CHAR",
}


@pytest.mark.parametrize("name", TYPES | ON_SQLITE)
def test_a_column_of_which_python_may_say_otherwise_is_refused(name: str) -> None:
    column = getattr(Todo, name)
    for dialect in ("sqlite", "postgresql") if name in TYPES else ("sqlite",):
        with pytest.raises(InvalidQuery, match=(TYPES | ON_SQLITE)[name]):
            filtered(column == column, dialect=dialect)
    if name in ON_SQLITE:
        filtered(column == column, dialect="postgresql")


@pytest.mark.parametrize("name", TYPES | ON_SQLITE)
def test_a_column_may_be_asked_for_null_if_nothing_else_is_none(name: str) -> None:
    column = getattr(Todo, name)
    for dialect in ("sqlite", "postgresql", "mysql"):
        if name in ("data", "padded"):
            with pytest.raises(InvalidQuery, match="of which it isn't known that None is NULL"):
                filtered(column.is_(None), dialect=dialect)
            continue
        assert selects(column == None, dialect, **{name: None})  # noqa: E711 - SQL
        assert not selects(column.is_not(None), dialect, **{name: None})


def test_integers_are_as_wide_as_their_columns_in_a_database_that_has_widths() -> None:
    assert selects(T.rank == 2**15, "sqlite", rank=2**15)
    with pytest.raises(InvalidQuery, match="beyond 16 bits"):
        filtered(T.rank == 2**15, dialect="postgresql")
    with pytest.raises(InvalidQuery, match="beyond 32 bits"):
        filtered(T.id.in_([1, 2**31]), dialect="postgresql")


@pytest.mark.parametrize("text", ["2.505", "0.001", "12345", "1E+4", "-12345.6", "1E-30"])
def test_a_decimal_with_more_digits_than_its_column_is_refused_where_some_drivers_round_it(text: str) -> None:
    with pytest.raises(InvalidQuery, match="more than 4 digits before the point or 2 after it"):
        filtered(T.tax == Decimal(text), dialect="postgresql")
    assert selects(T.tax == Decimal(text), "sqlite", tax=Decimal(text))
    filtered(T.price == Decimal(text), dialect="postgresql")


@pytest.mark.parametrize("text", ["2.500", "-9999.99", "1E+3", "0E+9", "0E-9", "1000.000000"])
def test_a_decimal_that_its_column_can_hold_is_taken_however_it_is_written(text: str) -> None:
    assert selects(T.tax == Decimal(text), tax=Decimal(text))


def test_a_decimal_beyond_what_postgresql_holds_is_refused() -> None:
    for text in ("1E+131072", "1E-16384"):
        with pytest.raises(InvalidQuery, match="digits before the point"):
            filtered(T.price > Decimal(text), dialect="postgresql")


def test_a_naive_constant_for_a_moment_is_refused() -> None:
    with pytest.raises(InvalidQuery, match="has no time zone: give a datetime with tzinfo"):
        filtered(T.sent > NAIVE, dialect="postgresql")


def test_constants_of_one_list_are_all_given_as_the_type_of_the_first() -> None:
    assert selects(T.weight.in_([2**31, 1]), weight=1.0)
    assert selects(T.weight.in_([2.5, 1]), weight=1.0)
    with pytest.raises(InvalidQuery, match=r"Todo\.weight, given a constant as Integer.*beyond 32 bits"):
        filtered(T.weight.in_([1, 2**31]), dialect="postgresql")


def test_a_type_that_a_constant_is_given_counts() -> None:
    for kind in (sa.DateTime(), sa.String(collation="C")):
        with pytest.raises(InvalidQuery):
            filtered(T.sent > literal(datetime(2024, 1, 1, tzinfo=UTC), kind), dialect="postgresql")
    with pytest.raises(InvalidQuery, match="more than 3 digits before the point or 1 after it"):
        filtered(T.price == literal(Decimal("2.55"), sa.Numeric(4, 1)), dialect="postgresql")


@pytest.mark.parametrize("dialect", ["mysql", "mssql", "oracle", "cockroachdb"])
def test_other_databases_compare_integers_and_booleans(dialect: str) -> None:
    assert filtered(T.rank == 1, T.done, dialect=dialect).selects({"rank": 1, "done": True})
    for where in (T.title == "a", T.weight < 1.5, T.begun == NAIVE, T.colour == Colour.RED):
        with pytest.raises(
            InvalidQuery, match=f"is compared by {dialect}, which may do so otherwise.*integers and booleans"
        ):
            filtered(where, dialect=dialect)


class DriversUUID(UUID):
    """As asyncpg gives them."""


def test_a_uuid_may_be_a_drivers_own() -> None:
    key = UUID(int=5)
    assert filtered(T.key == DriversUUID(int=5)) == filtered(T.key == key)
    assert selects(T.key == key, key=DriversUUID(int=5))
