"""`LiveQuery`: the rows of a live class for which a condition holds, as the delivery sees it.

Made by `Todo.live(…)`. Says what a change of rows means for whoever has the query's rows, and reads them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic_core import to_json
from sqlalchemy import Column, UnaryExpression
from sqlalchemy.orm.attributes import QueryableAttribute
from sqlalchemy.sql import operators

from nitro.delivery.query import Operation, QueryUndecided, RowChange, Shown
from nitro.errors import InvalidQuery
from nitro.events.payload import on_one_line
from nitro.live.filtering import Filter, filter_of
from nitro.live.model import LiveTable
from nitro.live.reading import read_rows
from nitro.live.row_codec import decoded
from nitro.messages.row_changes import RowChanges

__all__ = ["LiveQuery"]

_PART_BYTES: Final = 64 * 1024
"""A snapshot is sent in parts of about this size."""
_CONTROL: Final = b'{"headers":{"control":"%b"}}'
_DIRECTIONS: Final = {operators.asc_op: "asc", operators.desc_op: "desc"}


class LiveQuery:
    """A live query. Two of them are equal if they ask for the same.

    Args:
        model: the class.
        where: conditions that all have to hold; see `filter_of` for what can be said.
        order_by: a column, `column.desc()`, or several of them; by default, and behind them, the primary key.
        limit: the most rows; None for all.

    Attributes:
        topic, equalities, limit, fingerprint: see `Query`.

    Raises:
        InvalidQuery: a condition may mean something else in Python than in the database, a column can't be ordered by,
            or the limit is none.
    """

    def __init__(self, model: LiveTable, where: Sequence[Any], order_by: Any = None, limit: int | None = None) -> None:
        if limit is not None and (type(limit) is not int or limit < 1):
            raise InvalidQuery(f"limit is {limit!r}; it has to be None or an integer of 1 or more")
        self._model = model
        self._check_shown()
        self._filter: Filter = filter_of(model, where, model.dialect)
        self._order = tuple([_ordered(model, each) for each in _listed(order_by)])
        self.topic: str = model.topic
        self.limit: int | None = limit
        self.equalities: Mapping[str, frozenset[Any]] = self._filter.equalities
        self._identity = (model.model, self._filter, self._order, limit)
        self._hash = hash(self._identity)
        self._where = where
        self._head = b'{"type":%b,"key":' % to_json(self.topic)

    @property
    def fingerprint(self) -> str:
        return repr((self.topic, _canonical(self._filter.condition), self._order, self.limit))

    def decode(self, changes: RowChanges) -> Sequence[RowChange]:
        return decoded(changes, self._model.enums)

    def operations(self, rows: Sequence[RowChange]) -> list[Operation]:
        found: list[Operation] = []
        selects = self._filter.selects
        try:
            for row in rows:
                before, after = row.before, row.after
                had = not row.is_before_known or (before is not None and selects(before))
                if after is not None and selects(after):
                    is_moved = not row.is_before_known or (had and self._is_moved(before, after))
                    found.append(Operation("update" if had else "insert", row.key, self._shown(row, after), is_moved))
                elif had:
                    found.append(Operation("delete", row.key, None))
        except KeyError as error:
            raise QueryUndecided from error
        return found

    def encode(self, operations: Sequence[Operation]) -> bytes:
        return on_one_line(b"[%b]" % b",".join([self._encoded(*each[:3]) for each in operations]))

    async def read(self) -> list[Shown]:
        model = self._model
        order = [getattr(model.shown_columns[name], direction)() for name, direction in self._order]
        statement = model.select_shown().where(*self._where).order_by(*order, *model.keys).limit(self.limit)
        return await read_rows(model.source, statement, self._read)

    def snapshot(self, rows: Sequence[Shown], *, is_reset: bool) -> list[bytes]:
        parts = [b"[%b]" % (_CONTROL % b"reset")] if is_reset else []
        part = [_CONTROL % b"snapshot-start"]
        size = 0
        for key, value in rows:
            part.append(self._encoded("insert", key, value))
            size += len(part[-1])
            if size > _PART_BYTES:
                parts.append(on_one_line(b"[%b]" % b",".join(part)))
                part, size = [], 0
        part.append(_CONTROL % b"snapshot-end")
        return [*parts, on_one_line(b"[%b]" % b",".join(part))]

    def _read(self, row: Sequence[Any]) -> Shown:
        values = dict(zip(self._model.shown_columns, row, strict=True))
        return self._model.sender_of(self._model.key_in(values)), self._value(values)

    def _value(self, values: Mapping[str, Any]) -> bytes:
        return to_json(self._model.shown_values(values), inf_nan_mode="null")

    def _shown(self, row: RowChange, values: Mapping[str, Any]) -> bytes:
        """As `_value`, once for all queries of the class. Raises KeyError if a column is missing."""
        shown = row.shown.get(self.topic)
        if shown is None:
            columns = self._model.shown_columns  # those of another version of the class may be others
            shown = row.shown[self.topic] = self._value({name: values[name] for name in columns})
        return shown

    def _encoded(self, operation: str, key: str, value: bytes | None) -> bytes:
        shown = b"" if value is None else b',"value":%b' % value
        return b'%b%b%b,"headers":{"operation":"%b"}}' % (self._head, to_json(key), shown, operation.encode())

    def _is_moved(self, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
        if before is None or not self._order:
            return False
        return any(before[name] != after[name] for name, _ in self._order)

    def _check_shown(self) -> None:
        model = self._model
        if len(model.shown_columns) < len(model.names) and getattr(model.model, "model_computed_fields", None):
            raise InvalidQuery(
                f"{model.model.__name__} has computed fields and excluded ones, which they may be computed from, and "
                f"which no live query has; make a computed field a column, or exclude nothing"
            )
        if hidden := {name for name in model.shown_key(model.keys) if name not in model.shown_columns}:
            raise InvalidQuery(
                f"{model.model.__name__} has {', '.join(sorted(hidden))} in its primary key and excludes it from what "
                f"is sent, and a live query sends the keys of rows"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LiveQuery) and (self is other or self._identity == other._identity)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"<LiveQuery of {self._model.model.__name__}: {self._filter.condition!r:.80}>"


def _listed(order_by: Any) -> Sequence[Any]:
    if order_by is None:
        return ()
    return order_by if isinstance(order_by, list | tuple) else (order_by,)


def _ordered(model: LiveTable, by: Any) -> tuple[str, str]:
    """The attribute and the direction of a part of ORDER BY."""
    direction = "asc"
    each = by
    if isinstance(each, UnaryExpression) and each.modifier in _DIRECTIONS:
        direction = _DIRECTIONS[each.modifier]
        each = each.element
    if isinstance(each, QueryableAttribute):
        each = each.__clause_element__()
    each = getattr(each, "_deannotate", lambda: each)()
    for name, column in model.shown_columns.items():
        if isinstance(each, Column) and each is column:
            return name, direction
    raise InvalidQuery(
        f"order_by has {by!s:.80}, and can have columns of {model.model.__name__} that clients get, and .asc() and "
        f".desc() of them"
    )


def _canonical(value: Any) -> Any:
    """The same for equal conditions in every process: sets have no order."""
    if dataclasses.is_dataclass(value):
        return (type(value).__name__, *(_canonical(getattr(value, field.name)) for field in dataclasses.fields(value)))
    if isinstance(value, frozenset | set):
        return sorted(map(repr, map(_canonical, value)))
    if isinstance(value, tuple | list):
        return [_canonical(each) for each in value]
    return value.__qualname__ if isinstance(value, type) else repr(value)
