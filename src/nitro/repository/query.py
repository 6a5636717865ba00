"""Builds SQL from the arguments of queries: columns, conditions, order and limits.

Pure: executes nothing. Invalid arguments raise `InvalidQuery`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, cast

from sqlalchemy import JSON, ColumnElement, Dialect, Enum, String, Text, TypeDecorator, false, func, literal, or_
from sqlalchemy import cast as cast_to
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapper
from sqlmodel import SQLModel

from nitro.errors import InvalidQuery

__all__ = ["Page", "column", "columns_of", "mapper_of", "matching", "order", "searched", "text_columns"]

OPTIONS: Final = ("sorting_field", "sort_direction", "limit", "offset", "as_dict", "fields", "exact_match")


@dataclass(frozen=True, slots=True)
class Page:
    """The order and the limits of the rows: sorted by a field, then by `id`."""

    sorting_field: str | None = None
    sort_direction: str = "asc"
    limit: int | None = None
    offset: int | None = None

    def __post_init__(self) -> None:
        if self.sort_direction not in ("asc", "desc"):
            raise InvalidQuery(f"sort_direction is {self.sort_direction!r}; it may be 'asc' or 'desc'")
        for name, rows in (("limit", self.limit), ("offset", self.offset)):
            if rows is not None and (not isinstance(rows, int) or isinstance(rows, bool) or rows < 0):
                raise InvalidQuery(f"{name} is {rows!r}; it has to be None or an integer of 0 or more")

    def of(self, entity_type: type[SQLModel], statement: Any) -> Any:
        """`statement` with this order and these limits."""
        if self.sorting_field is not None:
            by = column(entity_type, self.sorting_field)
            keys = mapper_of(entity_type).primary_key
            statement = statement.order_by(by.desc() if self.sort_direction == "desc" else by.asc(), *keys)
        return statement.limit(self.limit).offset(self.offset)


def mapper_of(entity_type: type[SQLModel]) -> Mapper[Any]:
    """SQLAlchemy's mapper of a class with its own table; raises InvalidQuery for one without."""
    mapper = vars(entity_type).get("__mapper__")
    if not isinstance(mapper, Mapper):
        name = entity_type.__name__
        raise InvalidQuery(f"{name} has no table; declare it as `class {name}(Entity, table=True)`")
    return mapper


def column(entity_type: type[SQLModel], name: str) -> Any:
    """The column of the field `name`."""
    names = mapper_of(entity_type).column_attrs.keys()
    if name not in names:
        near = get_close_matches(name, (*names, *OPTIONS), n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise InvalidQuery(
            f"{entity_type.__name__} has no field {name!r}{hint}; its fields are {', '.join(sorted(names))}"
        )
    return getattr(entity_type, name)


def columns_of(entity_type: type[SQLModel], fields: Iterable[str]) -> list[Any]:
    """The columns of these fields."""
    chosen = [column(entity_type, name) for name in ([fields] if isinstance(fields, str) else fields)]
    if not chosen:
        raise InvalidQuery("fields is empty; name the fields that you want, or leave it out for all")
    return chosen


def matching(
    entity_type: type[SQLModel], values: Mapping[str, Any], *, exact: bool, casefold: str | None, dialect: Dialect
) -> list[ColumnElement[bool]]:
    """A condition for each field, as described by `Entity.filter`."""
    found: list[ColumnElement[bool]] = []
    for name, value in values.items():
        field = column(entity_type, name)
        is_json = isinstance(field.type, JSON)
        found.append(_equals_json(field, value, dialect) if is_json else _matches(field, value, exact, casefold))
    return found


def _equals_json(field: Any, value: Any, dialect: Dialect) -> ColumnElement[bool]:
    given = JSON.NULL if value is None else value  # None is written as JSON's null
    same: ColumnElement[bool] = field == given
    if dialect.name == "postgresql" and not isinstance(field.type.dialect_impl(dialect), JSONB):
        same = cast_to(field, Text) == cast_to(literal(given, field.type), Text)  # it has no = for json
    return or_(field.is_(None), same) if value is None else same


def _matches(field: Any, value: Any, exact: bool, casefold: str | None) -> ColumnElement[bool]:
    condition: ColumnElement[bool]
    if isinstance(value, list | set | frozenset):
        condition = _among(field, value, exact, casefold)
    elif isinstance(value, tuple):
        condition = _between(field, value)
    elif isinstance(value, str) and not exact and _is_text(field.type):
        condition = searched([field], value, casefold=casefold)
    else:
        condition = field == value
    return condition


def _among(field: Any, values: Collection[Any], exact: bool, casefold: str | None) -> ColumnElement[bool]:
    if not exact and _is_text(field.type):
        return or_(false(), *(_matches(field, each, exact, casefold) for each in values))
    known = field.in_([each for each in values if each is not None])
    return or_(known, field.is_(None)) if None in values else cast("ColumnElement[bool]", known)


def _between(field: Any, ends: tuple[Any, ...]) -> ColumnElement[bool]:
    match ends:
        case (None, None):
            pass
        case (low, None):
            return cast("ColumnElement[bool]", field >= low)
        case (None, high):
            return cast("ColumnElement[bool]", field <= high)
        case (low, high):
            return cast("ColumnElement[bool]", field.between(low, high))
    raise InvalidQuery(
        f"{field.key} can't be compared with {ends!r}: a tuple has the two ends of a range, of which one may be None; "
        f"for one of several values give a list"
    )


def order(entity_type: type[SQLModel], order_by: Any) -> list[Any]:
    """The sort keys for a field's name, a column expression or a list of these."""
    if order_by is None:
        return []
    keys = order_by if isinstance(order_by, (list, tuple)) else [order_by]
    return [column(entity_type, key) if isinstance(key, str) else key for key in keys]


def searched(columns: Iterable[Any], text: str, *, casefold: str | None) -> ColumnElement[bool]:
    """The condition that one of `columns` contains `text`, ignoring case and without wildcards.

    `casefold` names a SQL function that casefolds any Unicode text, if the database has one.
    """
    if casefold is None:
        return or_(false(), *(each.icontains(text, autoescape=True) for each in columns))
    fold = getattr(func, casefold)
    return or_(false(), *(func.instr(fold(each), text.casefold()) > 0 for each in columns))


def text_columns(entity_type: type[SQLModel], fields: Iterable[str] | None) -> list[Any]:
    """The string columns named by `fields`; if None, all string columns that are no keys."""
    columns = {each.key: each.columns[0] for each in mapper_of(entity_type).column_attrs}
    texts = {name for name, each in columns.items() if _is_text(each.type)}
    if fields is None:
        keys = {name for name, each in columns.items() if each.primary_key or each.foreign_keys}
        chosen = [name for name in columns if name in texts - keys]
    else:
        chosen = [fields] if isinstance(fields, str) else list(fields)
    for name in chosen:
        column(entity_type, name)
        if name not in texts:
            raise InvalidQuery(
                f"{entity_type.__name__}.{name} is no string column; these are: {', '.join(sorted(texts))}"
            )
    if not chosen:
        raise InvalidQuery(f"{entity_type.__name__} has no string column to search; name one in fields=")
    return [column(entity_type, name) for name in chosen]


def _is_text(kind: Any) -> bool:
    while isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    return isinstance(kind, String) and not isinstance(kind, Enum)
