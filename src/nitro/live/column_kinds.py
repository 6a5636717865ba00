"""Kinds of columns: those whose values Python compares exactly as the database does, and which constants they take.

`filtering` asks it for each column and each constant of a live query. It knows exact types of SQLAlchemy, and refuses
all others, subclasses included: PostgreSQL's CITEXT is a TEXT that ignores case. It takes for granted that a column
holds what SQLAlchemy writes to one of its type.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from math import isfinite
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Column, TypeDecorator
from sqlalchemy.types import TypeEngine

from nitro.entities.exact_decimal import ExactDecimal
from nitro.errors import InvalidQuery
from nitro.live.conditions import Reading, instant

__all__ = ["ColumnKind", "check_null", "kind_of", "kind_of_column"]

KNOWN: Final = "a live query may compare integers, booleans, text, floats, decimals, dates, times, UUIDs and enums"
_MOST_EXACT: Final = 2**53
"""Floats hold all integers up to it."""
_MOST_DIGITS: Final = 131_072
_MOST_DECIMALS: Final = 16_383
"""PostgreSQL's NUMERIC holds so many digits before and after the point."""
_AS_TEXT: Final = ("datetime", "instant", "date", "time", "uuid")
"""What SQLite keeps, and compares, as the text that SQLAlchemy writes."""


@dataclass(frozen=True, slots=True)
class ColumnKind:
    """What a column holds.

    Attributes:
        sort: columns are compared with columns of the same.
        types: of Python's constants.
        remedy: what may be given as a constant, in words.
        fault: says what is wrong with a constant of the right type; None if nothing is.
        kept: a constant as a condition has it.
        reading: how values are compared.
        unordered: why it can't be said which of two values is less; None if it can.
    """

    sort: Hashable
    types: tuple[type[Any], ...]
    remedy: str
    fault: Callable[[Any], str | None] = lambda _: None
    kept: Callable[[Any], Any] = lambda value: value
    reading: Reading = Reading.PLAIN
    unordered: str | None = None

    def constant(self, value: Any, label: str) -> Any:
        """A constant that `label` is compared with, as a condition has it.

        Raises:
            InvalidQuery: it is of another type, or the database may take it for something else.
        """
        if type(value) not in self.types and not (self.sort == "uuid" and isinstance(value, UUID)):  # asyncpg's own
            given = f"{value!r:.80}, of the type {type(value).__name__}"
            raise InvalidQuery(f"{label} is compared with {given}: give {self.remedy}")
        if (fault := self.fault(value)) is not None:
            raise InvalidQuery(f"{label} is compared with {value!r:.80}, which {fault}: give {self.remedy}")
        return self.kept(value)


def kind_of_column(column: Column[Any], dialect: str, label: str) -> ColumnKind:
    """The kind of a column, which messages call `label`.

    Raises:
        InvalidQuery: Python may say otherwise than this database about its values.
    """
    kind = kind_of(column.type, dialect, label)
    if dialect == "sqlite" and kind.sort in _AS_TEXT and _is_made_by_sql(column):
        raise InvalidQuery(
            f"{label} has a value that SQLite makes, as text of another form than SQLAlchemy's, such as without "
            f"microseconds, which makes it unequal to the same value: let Python make it, by default="
        )
    return kind


def kind_of(kind: TypeEngine[Any], dialect: str, label: str) -> ColumnKind:
    """The kind of columns, or of constants, of a type; raises as `kind_of_column` does."""
    kind = _on(dialect, kind)
    maker = _maker_of(kind)
    if dialect not in ("sqlite", "postgresql") and maker not in (_integer, _boolean, _refused):
        raise InvalidQuery(
            f"{label} is compared by {dialect}, which may do so otherwise than Python, as where = ignores case: there, "
            f"a live query may compare integers and booleans; on SQLite and PostgreSQL, {type(kind).__name__}, too"
        )
    return maker(kind, dialect, label)


def check_null(kind: TypeEngine[Any], dialect: str, label: str) -> None:
    """Check that what columns of a type hold is NULL if, and only if, Python reads it as None.

    Raises:
        InvalidQuery: it may be otherwise.
    """
    kind = _on(dialect, kind)
    is_refused = isinstance(kind, sa.JSON | TypeDecorator) and not isinstance(kind, sa.Interval)
    if _maker_of(kind) is _refused and (is_refused or not type(kind).__module__.startswith("sqlalchemy.")):
        raise InvalidQuery(
            f"{label} is of the type {type(kind).__name__}, of which it isn't known that None is NULL, and nothing "
            f"else, as JSON's null is; another column can say whether there is a value"
        )


def _on(dialect: str, kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type that a database has in the place of this one."""
    return kind._variant_mapping.get(dialect, kind)  # pyright: ignore[reportPrivateUsage] - with_variant() has no other


def _maker_of(kind: TypeEngine[Any]) -> Callable[[Any, str, str], ColumnKind]:
    exact = type(kind)
    if exact.__module__ == "sqlmodel.sql.sqltypes":  # whose oldest versions lack some
        return _SQLMODELS.get(exact.__name__, _refused)
    return _MAKERS.get(exact, _refused)


def _refused(kind: Any, _: str, label: str) -> ColumnKind:
    name = type(kind).__name__
    if isinstance(kind, TypeDecorator):
        reason = "which may keep values in another form than it gives them back"
    elif isinstance(kind, sa.CHAR | sa.NCHAR):
        reason = "for which spaces at the end count in one database and not in the other: declare it as String"
    elif isinstance(kind, sa.REAL):
        reason = "which keeps other numbers than it is given: declare it as Double"
    else:
        reason = "of which it isn't known that Python compares it as the database does"
    raise InvalidQuery(f"{label} is of the type {name}, {reason}; {KNOWN}")


def _integer(kind: Any, dialect: str, _: str) -> ColumnKind:
    is_small = isinstance(kind, sa.SmallInteger)
    bits = 64 if dialect == "sqlite" or isinstance(kind, sa.BigInteger) else 16 if is_small else 32
    end = 1 << (bits - 1)
    return ColumnKind(
        "integer",
        (int,),
        f"an int of at most {bits} bits",
        lambda value: None if -end <= value < end else f"is beyond {bits} bits",
    )


def _boolean(*_: Any) -> ColumnKind:
    return ColumnKind("boolean", (bool,), "True or False", unordered="of booleans, none is less than the other")


def _text(kind: Any, _: str, label: str) -> ColumnKind:
    text = _implemented(kind)
    if text.collation is not None:
        raise InvalidQuery(
            f"{label} has the collation {text.collation}, by which texts may be equal that Python finds different; "
            f"a live query may compare text without one"
        )
    return ColumnKind(
        "text",
        (str,),
        "a str of Unicode text without NUL",
        _text_fault,
        unordered="the database's collation decides which text is less: compare it by ==, !=, in_() and not_in()",
    )


def _implemented(kind: Any) -> Any:
    return kind.impl_instance if isinstance(kind, TypeDecorator) else kind


def _text_fault(value: str) -> str | None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return "has half a character (a lone surrogate)"
    return "has a NUL" if "\0" in value else None


def _float(kind: Any, dialect: str, label: str) -> ColumnKind:
    if kind.asdecimal:
        raise InvalidQuery(f"{label} is a float that is read as a Decimal, rounded: declare it without asdecimal=True")
    if kind.precision is not None and kind.precision <= 24:
        return _refused(sa.REAL(), dialect, label)
    return ColumnKind(
        "float", (float, int), "a finite float, or an int within ±2**53", _float_fault, float, Reading.NUMBER
    )


def _float_fault(value: float) -> str | None:
    if isinstance(value, int):
        return None if abs(value) <= _MOST_EXACT else "no float may be"
    return None if isfinite(value) else "isn't finite"


def _decimal(kind: Any, dialect: str, label: str) -> ColumnKind:
    numeric = _implemented(kind)
    if not numeric.asdecimal:
        raise InvalidQuery(f"{label} is a decimal that is read as a float, rounded: declare it without asdecimal=False")
    if dialect == "sqlite" and not isinstance(kind, ExactDecimal):
        raise InvalidQuery(
            f"{label} is of the type {type(kind).__name__}, which SQLite keeps as a float, rounded: Decimal fields of "
            f"an Entity are kept exactly"
        )
    limits = (None, None) if dialect == "sqlite" else (numeric.precision, numeric.scale)
    remedy = "a Decimal that the column can hold, or an int of at most 64 bits"
    return ColumnKind(
        "decimal", (Decimal, int), remedy, lambda value: _decimal_fault(value, *limits), Decimal, Reading.NUMBER
    )


def _decimal_fault(value: Decimal | int, precision: int | None, scale: int | None) -> str | None:
    """What is wrong with a constant. Drivers of PostgreSQL round it to the column's digits, or fail, or do neither."""
    if isinstance(value, int):
        if value.bit_length() > 63:
            return "is beyond 64 bits"
        value = Decimal(value)
    if not value.is_finite():
        return "isn't finite"
    _, digits, exponent = value.as_tuple()
    zeros = len(digits) - len("".join(map(str, digits)).rstrip("0"))
    decimals = max(0, -int(exponent) - zeros) if value else 0
    whole = max(0, value.adjusted() + 1) if value else 0
    most_decimals = _MOST_DECIMALS if precision is None else scale or 0
    most_whole = _MOST_DIGITS if precision is None else precision - most_decimals
    if decimals > most_decimals or whole > most_whole:
        return f"has more than {most_whole} digits before the point or {most_decimals} after it"
    return None


def _datetime(kind: Any, dialect: str, label: str) -> ColumnKind:
    if not kind.timezone:
        return ColumnKind(
            "datetime",
            (datetime,),
            "a datetime without tzinfo, as the column has none",
            lambda value: None if value.tzinfo is None else "has a time zone",
        )
    if dialect == "sqlite":
        raise InvalidQuery(
            f"{label} has a time zone, which SQLite drops: declare it without timezone=True, and keep UTC in it; or as "
            f"SQLModel's UTCDateTime, as a datetime field is by itself"
        )
    return _instant(lambda _: None)


def _utc_datetime(*_: Any) -> ColumnKind:
    return _instant(_utc_fault)


def _instant(fault: Callable[[datetime], str | None]) -> ColumnKind:
    return ColumnKind(
        "instant",
        (datetime,),
        "a datetime with tzinfo, as the column has a time zone",
        lambda value: fault(value) if value.utcoffset() is not None else "has no time zone",
        instant,
        Reading.INSTANT,
    )


def _utc_fault(value: datetime) -> str | None:
    try:
        value.astimezone(UTC)
    except OverflowError:
        return "is in no year from 1 to 9999 in UTC"
    return None


def _date(*_: Any) -> ColumnKind:
    return ColumnKind("date", (date,), "a date, not a datetime")


def _time(kind: Any, _: str, label: str) -> ColumnKind:
    if kind.timezone:
        raise InvalidQuery(f"{label} is a time of day with a time zone: declare it without timezone=True")
    return ColumnKind(
        "time",
        (time,),
        "a time without tzinfo",
        lambda value: None if value.tzinfo is None else "has a time zone",
    )


def _uuid(kind: Any, dialect: str, label: str) -> ColumnKind:
    if not kind.as_uuid:
        raise InvalidQuery(f"{label} is a UUID that is read as text: declare it without as_uuid=False")
    if type(kind) is sa.UUID if dialect == "sqlite" else not kind.native_uuid:
        raise InvalidQuery(
            f"{label} is kept in a form that has another order, or none: declare it as sqlalchemy.Uuid()"
        )
    return ColumnKind("uuid", (UUID,), "a uuid.UUID", kept=lambda value: UUID(int=value.int))


def _enum(kind: Any, _: str, label: str) -> ColumnKind:
    members: Any = kind.enum_class
    texts = tuple(kind.enums)
    if members is not None and not _is_plain(list(members), texts):
        raise InvalidQuery(f"{label} is of an enum of which members are equal, or are kept as the same text")
    return ColumnKind(
        ("enum", members, texts, kind.native_enum, kind.name),
        (str,) if members is None else (members,),
        "one of " + ", ".join(texts if members is None else map(str, members)),
        lambda value: None if members is not None or value in texts else "it doesn't have",
        unordered="each database orders enums in its own way: compare them by ==, !=, in_() and not_in()",
    )


def _is_plain(members: list[Any], texts: tuple[str, ...]) -> bool:
    """Whether each member equals itself alone, and has one text of its own."""
    differ = all((one == other) is (one is other) for one in members for other in members)
    return differ and len(texts) == len(set(texts)) == len(members)


def _is_made_by_sql(column: Column[Any]) -> bool:
    made = (column.default, column.onupdate)
    on_server = (column.server_default, column.server_onupdate)
    return any(each is not None for each in on_server) or any(
        each is not None and each.is_clause_element for each in made
    )


_MAKERS: Final[dict[type[Any], Callable[[Any, str, str], ColumnKind]]] = {
    **dict.fromkeys((sa.Integer, sa.SmallInteger, sa.BigInteger, sa.INTEGER, sa.SMALLINT, sa.BIGINT), _integer),
    **dict.fromkeys((sa.Boolean, sa.BOOLEAN), _boolean),
    **dict.fromkeys((sa.String, sa.Text, sa.Unicode, sa.UnicodeText, sa.VARCHAR, sa.TEXT), _text),
    **dict.fromkeys((sa.Float, sa.FLOAT, sa.Double, sa.DOUBLE, sa.DOUBLE_PRECISION), _float),
    **dict.fromkeys((sa.Numeric, sa.NUMERIC, sa.DECIMAL, ExactDecimal), _decimal),
    **dict.fromkeys((sa.DateTime, sa.DATETIME, sa.TIMESTAMP), _datetime),
    **dict.fromkeys((sa.Date, sa.DATE), _date),
    **dict.fromkeys((sa.Time, sa.TIME), _time),
    **dict.fromkeys((sa.Uuid, sa.UUID), _uuid),
    sa.Enum: _enum,
}
_SQLMODELS: Final = {"AutoString": _text, "UTCDateTime": _utc_datetime}
