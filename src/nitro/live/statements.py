"""Statements: which rows an INSERT, UPDATE or DELETE touches, found out before it runs, or after it if need be.

Called by `tracking` for each statement of a session on the table of a live class; tells the session's changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import BindParameter, Column, Connection
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, ClauseElement
from sqlalchemy.sql.operators import and_, eq

from nitro.live.changes import MOST_ROWS, Changes
from nitro.live.model import Key, LiveModel

if TYPE_CHECKING:
    from sqlalchemy.engine.default import DefaultExecutionContext
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ["after", "before"]

_FOUND = "_nitro_found"


def before(model: LiveModel, connection: Connection, context: DefaultExecutionContext, changes: Changes) -> None:
    """Touch the rows that the statement is about to change."""
    compiled = cast("SQLCompiler", context.compiled)
    if context.isinsert:
        if getattr(compiled.statement, "_post_values_clause", None) is not None:  # an upsert
            keys = _inserted(model, context)
            if keys is None:
                changes.reset(model)
            else:
                changes.touch(model, keys, connection)
        return
    places = _key_binds(model, compiled)
    sets = context.compiled_parameters
    if places is not None:
        keys = [tuple([values[place] for place in places]) for values in sets]
        changes.touch(model, [*keys, *_moved(model, compiled, keys, sets)], connection)
        return
    if _sets_key(model, compiled):
        changes.reset(model)
        return
    changes.lock(model, connection)
    where = getattr(context.invoked_statement, "whereclause", None)
    for values in sets[: MOST_ROWS + 1]:
        rows = model.matching(connection, where, _named(where, values), MOST_ROWS + 1)
        changes.touch_rows(model, rows)
        setattr(context, _FOUND, len(rows))
    if len(sets) > MOST_ROWS:
        changes.reset(model)


def after(model: LiveModel, connection: Connection, context: DefaultExecutionContext, changes: Changes) -> None:
    """Touch the rows that were inserted, and notice rows that began to match a condition after they were read."""
    if not context.isinsert:
        found = getattr(context, _FOUND, None)
        if found is not None and len(context.compiled_parameters) == 1 and context.rowcount > found:
            changes.reset(model)
        return
    keys = _inserted(model, context)
    if keys is None:
        changes.reset(model)
        return
    changes.touch_new(model, keys)
    is_upsert = getattr(cast("SQLCompiler", context.compiled).statement, "_post_values_clause", None) is not None
    if is_upsert and len(model.read(connection, keys)) < len(set(keys)):  # it met rows that have other keys
        changes.reset(model)


def _inserted(model: LiveModel, context: DefaultExecutionContext) -> list[Key] | None:
    """The keys that are inserted; None if they can't be known."""
    compiled = cast("SQLCompiler", context.compiled)
    if getattr(compiled.statement, "select", None) is not None:
        return None
    found: list[Key] = []
    for values in context.compiled_parameters:
        keys = list(_keys_in(model, values))
        if not keys or any(value is None for key in keys for value in key):
            return _generated(context)
        found += keys
    return found


def _keys_in(model: LiveModel, values: Mapping[str, Any]) -> Iterator[Key]:
    """The keys in the parameters of an INSERT: those of one row, or of several rows in one statement."""
    names = model.key_names
    row = 0
    if all(name in values for name in names):
        yield tuple([values[name] for name in names])
        row = 1
    while all(f"{name}_m{row}" in values for name in names):
        yield tuple([values[f"{name}_m{row}"] for name in names])
        row += 1


def _generated(context: DefaultExecutionContext) -> list[Key] | None:
    """The key of the one row that was inserted with a key that the database made; None if there may be more."""
    rows = context.inserted_primary_key_rows if len(context.compiled_parameters) == 1 else None
    if rows is None or len(rows) != 1 or any(value is None for value in rows[0]):
        return None
    return [tuple(rows[0])]


def _key_binds(model: LiveModel, compiled: SQLCompiler) -> list[str] | None:
    """The names of the parameters that the primary key has to equal; None if the condition is another."""
    where = getattr(compiled.statement, "whereclause", None)
    binds: dict[str, str] = {}
    for each in _conjuncts(where):
        if isinstance(each, BinaryExpression) and each.operator is eq:
            column, value = each.left, each.right
            if isinstance(column, Column) and column.table == model.table and isinstance(value, BindParameter):
                binds[str(column.key)] = compiled.bind_names.get(value, value.key)
    return [binds[name] for name in model.key_names] if all(name in binds for name in model.key_names) else None


def _named(where: ClauseElement | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that were given by name; the others have their values, and other names in another statement."""
    binds = () if where is None else visitors.iterate(where)
    return {
        each.key: values[each.key]
        for each in binds
        if isinstance(each, BindParameter) and not each.unique and each.key in values
    }


def _conjuncts(where: ClauseElement | None) -> Iterator[ClauseElement]:
    if isinstance(where, BooleanClauseList) and where.operator is and_:
        for each in where.clauses:
            yield from _conjuncts(each)
    elif where is not None:
        yield where


def _moved(
    model: LiveModel, compiled: SQLCompiler, keys: list[Key], sets: Sequence[Mapping[str, Any]]
) -> Iterator[Key]:
    """The keys that an UPDATE gives to rows."""
    if compiled.isupdate:
        for key, values in zip(keys, sets, strict=True):
            new = tuple([values.get(name, old) for name, old in zip(model.key_names, key, strict=True)])
            if new != key:
                yield new


def _sets_key(model: LiveModel, compiled: SQLCompiler) -> bool:
    given = getattr(compiled.statement, "_values", None) or {}
    return compiled.isupdate and any(column in given for column in model.keys)
