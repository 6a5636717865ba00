"""`LiveQuery`: the rows of a live class for which a condition holds, as the delivery sees it.

Made by `Todo.live(…)`. Says what a change of rows means for whoever has the query's rows, and reads them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any, Final, Literal, Protocol

from sqlalchemy import Column, UnaryExpression
from sqlalchemy.orm.attributes import QueryableAttribute
from sqlalchemy.sql import operators

from nitro.delivery.query import Operation, QueryUndecided, RowChange, Shown
from nitro.entities.missing_table import told_of_tables
from nitro.errors import InvalidQuery
from nitro.live.filtering import Filter, filter_of
from nitro.live.html_frames import HtmlFrames
from nitro.live.model import LiveTable
from nitro.live.reading import read_rows
from nitro.live.renderer import Rendered
from nitro.live.row_codec import decoded
from nitro.live.state_frames import StateFrames
from nitro.messages.row_changes import RowChanges

__all__ = ["LiveQuery"]

_DIRECTIONS: Final = {operators.asc_op: "asc", operators.desc_op: "desc"}
_NULL_IS_GREATEST: Final = ("postgresql", "oracle")
"""Dialects in whose order NULL comes behind all values; in the others before them."""


class Frames(Protocol):
    """What clients get of rows. Those of equal queries are equal."""

    @property
    def markup(self) -> str | None:
        """See `Query`."""

    @property
    def fingerprint(self) -> str | None:
        """What tells them from others in every process; None for those that are the default."""

    @property
    def shown_as(self) -> Hashable:
        """The same for all that make the same of a row, which is kept for them."""

    def value(self, key: str, values: Mapping[str, Any]) -> bytes:
        """A row as clients get it; `values` by attribute."""

    def encode(self, operations: Sequence[Operation]) -> bytes:
        """See `Query`."""

    def snapshot(self, rows: Sequence[Shown], *, is_reset: bool) -> list[bytes]:
        """See `Query`."""

    def __hash__(self) -> int: ...


class LiveQuery:
    """A live query. Two of them are equal if they ask for the same.

    Args:
        model: the class.
        where: conditions that all have to hold; see `filter_of` for what can be said.
        order_by: a column, `column.desc()`, or several of them; by default, and behind them, the primary key.
        limit: the most rows; None for all.
        rendered, target, markup: what makes a row HTML, and how it is sent; see `HtmlFrames`. Without, it is JSON.

    Attributes:
        topic, equalities, limit, markup, fingerprint: see `Query`.

    Raises:
        InvalidQuery: a condition may mean something else in Python than in the database, a column can't be ordered by,
            or the limit is none.
        InvalidQuery, ConfigurationError: see `HtmlFrames`.
    """

    def __init__(
        self,
        model: LiveTable,
        where: Sequence[Any],
        order_by: Any = None,
        limit: int | None = None,
        rendered: Rendered | None = None,
        target: str | None = None,
        markup: str | None = None,
    ) -> None:
        if limit is not None and (type(limit) is not int or limit < 1):
            raise InvalidQuery(f"limit is {limit!r}; it has to be None or an integer of 1 or more")
        self._model = model
        self._check_shown()
        self._filter: Filter = filter_of(model, where, model.dialect)
        self._order = tuple([_ordered(model, each) for each in _listed(order_by)])
        self._is_newest_first = bool(self._order) and self._order[0][1] == "desc"
        self.topic: str = model.topic
        self.limit: int | None = limit
        self.equalities: Mapping[str, frozenset[Any]] = self._filter.equalities
        self._frames: Frames = StateFrames(model)
        if rendered is not None:
            self._frames = HtmlFrames(model, rendered, target, markup)
        elif target is not None or markup is not None:
            raise InvalidQuery("target and markup are those of HTML: give rendered=, which makes a row of it")
        self.markup: str | None = self._frames.markup
        self._identity = (model.model, self._filter, self._order, limit, self._frames)
        self._hash = hash(self._identity)
        self._where = where

    @property
    def fingerprint(self) -> str:
        shown = self._frames.fingerprint
        asked = (self.topic, _canonical(self._filter.condition), self._order, self.limit)
        return repr(asked if shown is None else (*asked, shown))

    def decode(self, changes: RowChanges) -> Sequence[RowChange]:
        return decoded(changes, self._model.enums)

    def operations(self, rows: Sequence[RowChange]) -> list[Operation]:
        found: list[Operation] = []
        selects, is_first = self._filter.selects, self._is_newest_first
        try:
            for row in rows:
                before, after = row.before, row.after
                had = not row.is_before_known or (before is not None and selects(before))
                if after is not None and selects(after):
                    is_moved = not row.is_before_known or (had and self._is_moved(before, after))
                    kind: Literal["insert", "update"] = "update" if had else "insert"
                    found.append(Operation(kind, row.key, self._shown(row, after), is_moved, is_first))
                elif had:
                    found.append(Operation("delete", row.key, None))
            return found if self.markup is None or len(found) < 2 else self._sorted(found, rows)
        except KeyError as error:
            raise QueryUndecided from error

    def encode(self, operations: Sequence[Operation]) -> bytes:
        return self._frames.encode(operations)

    async def read(self) -> list[Shown]:
        model = self._model
        order = [getattr(model.shown_columns[name], direction)() for name, direction in self._order]
        statement = model.select_shown().where(*self._where).order_by(*order, *model.keys).limit(self.limit)
        is_entity = hasattr(model.model, "_repository")
        with told_of_tables(model.model.__name__) if is_entity else nullcontext():
            return await read_rows(model.source, statement, self._read)

    def snapshot(self, rows: Sequence[Shown], *, is_reset: bool) -> list[bytes]:
        return self._frames.snapshot(rows, is_reset=is_reset)

    def _read(self, row: Sequence[Any]) -> Shown:
        values = dict(zip(self._model.shown_columns, row, strict=True))
        key = self._model.sender_of(self._model.key_in(values))
        return key, self._frames.value(key, values)

    def _shown(self, row: RowChange, values: Mapping[str, Any]) -> bytes:
        """The row as clients get it, made once for all queries that show it alike. Raises KeyError if a column is
        missing.
        """
        shown = row.shown.get(self._frames.shown_as)
        if shown is None:
            columns = self._model.shown_columns  # those of another version of the class may be others
            shown = self._frames.value(row.key, {name: values[name] for name in columns})
            row.shown[self._frames.shown_as] = shown
        return shown

    def _is_moved(self, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
        if before is None or not self._order:
            return False
        return any(before[name] != after[name] for name, _ in self._order)

    def _sorted(self, operations: list[Operation], rows: Sequence[RowChange]) -> list[Operation]:
        """In the query's order, as far as Python knows it; rows that leave come first. Raises KeyError as `_shown`."""
        leave = [each for each in operations if each.value is None]
        stay = [each for each in operations if each.value is not None]
        values = {row.key: row.after for row in rows if row.after is not None}
        is_null_greatest = self._model.dialect in _NULL_IS_GREATEST
        keys = [(name, "asc") for name in self._model.key_attributes]
        for name, direction in reversed((*self._order, *keys)):
            ranks = {each.key: values[each.key][name] for each in stay}
            with suppress(TypeError):  # Python has no order for them
                stay = sorted(
                    stay,
                    key=lambda each: ((ranks[each.key] is None) is is_null_greatest, ranks[each.key]),
                    reverse=direction == "desc",
                )
        return leave + stay

    def _check_shown(self) -> None:
        model = self._model
        if len(model.shown_columns) < len(model.names) and getattr(model.model, "model_computed_fields", None):
            raise InvalidQuery(
                f"{model.model.__name__} has computed fields and excluded ones, which they may be computed from, and "
                f"which no live query has; make a computed field a column, or exclude nothing"
            )
        if hidden := set(model.key_attributes) - model.shown_columns.keys():
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
    if isinstance(by, str) and (name := by.removeprefix("-")) in model.shown_columns:
        written = f"{model.model.__name__}.{name}{'.desc()' if by != name else ''}"
        raise InvalidQuery(f"order_by has the text {by!r}, and takes columns: write order_by={written}")
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
