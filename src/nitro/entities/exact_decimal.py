"""ExactDecimal: the column type of Decimal fields, which keeps every digit, over SQLite as well.

SQLite has no decimal numbers: what it is given as one it keeps as a binary number of 15 digits. So there the digits are
kept as text, in a column whose collation compares numbers: `=`, `<`, BETWEEN, IN, ORDER BY, UNIQUE, min and max see 10
behind 9, and 2.5 and 2.50 as equal. Other databases have their own NUMERIC.

Fed by the classes of records when they are mapped; the collation is given to each connection to SQLite when it opens.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Engine, MetaData, Numeric, Table, Text, TypeDecorator, event, inspect
from sqlalchemy.exc import DontWrapMixin
from sqlalchemy.types import DECIMAL, NUMERIC, TypeEngine

from nitro.errors import InvalidQuery

__all__ = ["ExactDecimal", "give_collation", "keep_digits", "rounding_columns"]

COLLATION: Final = "nitro_decimal"


class InvalidNumber(InvalidQuery, DontWrapMixin):
    """Raised as it is, and not within an error of SQLAlchemy's."""


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal number with the digits that it has: `Decimal("2.50")` comes back as just that.

    What SQLite computes (`func.sum`, `price * 2`) it computes in binary numbers, as ever; add up in Python what has to
    be exact.
    """

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = Numeric
    cache_ok: bool | None = True

    class comparator_factory(TypeDecorator.Comparator[Decimal], Numeric.Comparator[Decimal]):
        """As of a `Numeric`: what is computed is one, and no text."""

        def _adapt_expression(self, op: Any, other_comparator: Any) -> tuple[Any, TypeEngine[Any]]:
            op, kind = super()._adapt_expression(op, other_comparator)
            return op, Numeric() if isinstance(kind, ExactDecimal) else kind

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text(collation=COLLATION))
        return super().load_dialect_impl(dialect)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        try:
            number = value if isinstance(value, Decimal) else Decimal(str(value))
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise InvalidNumber(f"{value!r:.80} is no decimal number that a column could hold or be compared with")
        return str(number)

    def process_result_value(
        self,
        value: Any,
        dialect: Dialect,  # noqa: ARG002 - the signature is SQLAlchemy's
    ) -> Decimal | None:
        return None if value is None or isinstance(value, Decimal) else Decimal(str(value))


def keep_digits(table: Table) -> None:
    """Let the decimal columns of `table` be of this type, unless they are asked for as floats."""
    for column in table.columns:
        kind = column.type
        if type(kind) in (Numeric, NUMERIC, DECIMAL) and kind.asdecimal:  # type: ignore[attr-defined]  # it is a Numeric
            column.type = ExactDecimal(kind.precision, kind.scale)  # type: ignore[attr-defined]
            _give_to_all()


def give_collation(connection: Any, _record: object = None) -> None:
    """Teach a connection to SQLite to compare decimals; one to something else is left alone."""
    if hasattr(connection, "create_collation"):
        connection.create_collation(COLLATION, _compare)
    elif hasattr(connection, "run_async"):  # SQLAlchemy's view of an asynchronous driver
        connection.run_async(_give_awaited)


def rounding_columns(connection: Connection, metadata: MetaData) -> list[str]:
    """The decimal columns, as `table.column`, that the database has with a type that rounds: SQLite, made otherwise."""
    if connection.dialect.name != "sqlite":
        return []
    return [
        f"{table.name}.{found['name']}"
        for table in metadata.tables.values()
        if any(isinstance(column.type, ExactDecimal) for column in table.columns)
        for found in inspect(connection).get_columns(table.name, schema=table.schema)
        if isinstance(_type_of(table, found["name"]), ExactDecimal) and not isinstance(found["type"], Text)
    ]


def _type_of(table: Table, name: str) -> TypeEngine[Any] | None:
    found = [column.type for column in table.columns if column.name == name]
    return found[0] if found else None


@cache
def _give_to_all() -> None:
    """From the first decimal column on: also applications' own engines open files that have such columns."""
    event.listen(Engine, "connect", give_collation)


async def _give_awaited(driver: Any) -> None:
    if hasattr(driver, "_conn") and hasattr(driver, "_execute"):  # aiosqlite, which has no method of its own for it
        await driver._execute(driver._conn.create_collation, COLLATION, _compare)


def _compare(one: str, other: str) -> int:
    """By their numbers; what is none, which only others can have written, comes behind all, by its letters."""
    left, right = _key(one), _key(other)
    return (left > right) - (left < right)


def _key(text: str) -> tuple[bool, Decimal, str]:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return True, Decimal(0), text
    return (False, number, "") if number.is_finite() else (True, Decimal(0), text)
