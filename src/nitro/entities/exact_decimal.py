"""ExactDecimal: the column type of Decimal fields, which keeps every digit, on SQLite too.

SQLite has no decimal type and would round to a float of 15 digits. So there the digits are stored as text, in a column
whose collation compares numbers: for `=`, `<`, BETWEEN, IN, ORDER BY, UNIQUE, min and max, 10 is greater than 9, and
2.5 equals 2.50. Other databases use their own NUMERIC.

Records use it when their classes are mapped; the collation is registered with each SQLite connection that opens, and
tables that are read from a SQLite database have it, for migrations that make a table anew.
"""

from __future__ import annotations

from contextlib import nullcontext
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import (
    Connection,
    Dialect,
    Engine,
    Inspector,
    MetaData,
    Numeric,
    Table,
    Text,
    TypeDecorator,
    event,
    inspect,
)
from sqlalchemy.exc import DontWrapMixin, OperationalError
from sqlalchemy.types import DECIMAL, NUMERIC, TypeEngine

from nitro.errors import InvalidQuery

__all__ = ["ExactDecimal", "give_collation", "keep_digits", "misfits_in"]

COLLATION: Final = "nitro_decimal"


class InvalidNumber(InvalidQuery, DontWrapMixin):
    """Not wrapped by SQLAlchemy in an error of its own."""


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal number that keeps all its digits: `Decimal("2.50")` is read as `Decimal("2.50")`.

    SQLite still computes (`func.sum`, `price * 2`) in floats; compute in Python what has to be exact.
    """

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = Numeric
    cache_ok: bool | None = True

    class comparator_factory(TypeDecorator.Comparator[Decimal], Numeric.Comparator[Decimal]):
        """That of `Numeric`: computed values are numeric, not text."""

        def _adapt_expression(self, op: Any, other_comparator: Any) -> tuple[Any, TypeEngine[Any]]:
            op, kind = super()._adapt_expression(op, other_comparator)
            return op, Numeric() if isinstance(kind, ExactDecimal) else kind

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Text(collation=COLLATION))
        return super().load_dialect_impl(dialect)

    def as_source(self, prefix: str) -> str:
        """Python for the same column without Nitro, in migrations; `prefix` stands before SQLAlchemy's names."""
        numeric = cast("Numeric[Decimal]", self.impl)
        plain = Numeric(numeric.precision, numeric.scale)
        return f"{prefix}{plain!r}.with_variant({prefix}{Text(collation=COLLATION)!r}, 'sqlite')"

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
        return value if value is None or isinstance(value, Decimal) else Decimal(str(value))


def keep_digits(table: Table) -> None:
    """Change the decimal columns of `table` to this type, except those declared with `asdecimal=False`."""
    for column in table.columns:
        kind = column.type
        if type(kind) in (Numeric, NUMERIC, DECIMAL) and kind.asdecimal:  # type: ignore[attr-defined]  # it is a Numeric
            column.type = ExactDecimal(kind.precision, kind.scale)  # type: ignore[attr-defined]
            _give_to_all()


def give_collation(connection: Any, _record: object = None) -> None:
    """Register the collation with a SQLite connection; does nothing for other databases."""
    if hasattr(connection, "create_collation"):
        connection.create_collation(COLLATION, _compare)
    elif hasattr(connection, "run_async"):  # SQLAlchemy's view of an asynchronous driver
        connection.run_async(_give_awaited)


class Misfits(NamedTuple):
    """The decimal columns, as `table.column`, of a SQLite database that are not as they would be created.

    Attributes:
        rounding: those of a type that rounds.
        unordered: those of text without the collation, which compares them as text.
    """

    rounding: list[str]
    unordered: list[str]


def misfits_in(connection: Connection, metadata: MetaData) -> Misfits:
    """The decimal columns of the metadata's tables that are not as they would be created."""
    misfits = Misfits([], [])
    if connection.dialect.name != "sqlite":
        return misfits
    for table in metadata.tables.values():
        decimals = {column.name for column in table.columns if isinstance(column.type, ExactDecimal)}
        if not decimals:
            continue
        for found in inspect(connection).get_columns(table.name, schema=table.schema):
            name, kind = found["name"], found["type"]
            if name in decimals and not isinstance(kind, Text):
                misfits.rounding.append(f"{table.name}.{name}")
            elif name in decimals and not _has_collation(connection, table, name):
                misfits.unordered.append(f"{table.name}.{name}")
    return misfits


def _has_collation(connection: Connection, table: Table, column: str) -> bool:
    """Whether a column of text has it. SQLite doesn't tell a column's collation, but compares by that of the first
    SELECT where several are united.
    """
    quoted = connection.dialect.identifier_preparer
    first = f"SELECT {quoted.quote_identifier(column)} FROM {quoted.format_table(table)} WHERE 0"  # noqa: S608 - quoted
    try:
        return len(connection.exec_driver_sql(f"{first} UNION SELECT '2.5' UNION SELECT '2.50'").all()) == 1
    except OperationalError as error:  # a connection that doesn't have the column's, and names it
        return f": {COLLATION}" in str(error.orig)


def _keep_collation(inspector: Inspector, table: Table, column: Any) -> None:
    """Give a column that is read from SQLite its collation, which SQLAlchemy doesn't read."""
    if inspector.dialect.name != "sqlite" or not isinstance(column["type"], Text):
        return
    bind = inspector.bind
    with bind.connect() if isinstance(bind, Engine) else nullcontext(bind) as connection:
        if _has_collation(connection, table, column["name"]):
            column["type"] = Text(collation=COLLATION)


@cache
def _give_to_all() -> None:
    """From the first decimal column on, register the collation with all engines, including the application's own, and
    let tables that are read from databases have it.
    """
    event.listen(Engine, "connect", give_collation)
    event.listen(Table, "column_reflect", _keep_collation)


async def _give_awaited(driver: Any) -> None:
    if hasattr(driver, "_conn") and hasattr(driver, "_execute"):  # aiosqlite, which has no public method for it
        await driver._execute(driver._conn.create_collation, COLLATION, _compare)


def _compare(one: str, other: str) -> int:
    """Compare by number. Text that is no number, which Nitro never writes, sorts last, as text."""
    left, right = _key(one), _key(other)
    return (left > right) - (left < right)


def _key(text: str) -> tuple[bool, Decimal, str]:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return True, Decimal(0), text
    return (False, number, "") if number.is_finite() else (True, Decimal(0), text)
