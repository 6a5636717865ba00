"""Statements: which rows an INSERT, UPDATE or DELETE touches, found out before it runs, or after it if need be.

Called by `tracking` for each statement of a session on the table of a live class; tells the session's changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import BindParameter, Column, Connection
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import BinaryExpression, BooleanClauseList, ClauseElement
from sqlalchemy.sql.operators import and_, eq

from nitro.live.changes import MOST_ROWS, Changes
from nitro.live.model import Key, LiveTable

if TYPE_CHECKING:
    from sqlalchemy.engine.default import DefaultExecutionContext
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = ["after", "before"]

_FOUND: Final = "_nitro_found"
_MOVED: Final = "_nitro_moved"
_SCHEMAS: Final = "schema_translate_map"


def before(model: LiveTable, connection: Connection, context: DefaultExecutionContext, changes: Changes) -> None:
    """Touch the rows that the statement is about to change."""
    compiled = cast("SQLCompiler", context.compiled)
    if context.execution_options.get(_SCHEMAS) != connection.get_execution_options().get(_SCHEMAS):
        changes.reset(model, connection)  # it is another table, to which this one statement is directed
    elif context.isinsert:
        if _conflict(compiled) is not None and (keys := _given(model, context)) is not None:
            changes.touch(model, keys, connection, is_deleting=False)
    elif _sets_key(model, compiled):
        changes.reset(model, connection)
    elif (places := _key_binds(model, compiled)) is not None:
        keys = [tuple([values[place] for place in places]) for values in context.compiled_parameters]
        changes.touch(model, keys, connection, is_deleting=context.isdelete)
        setattr(context, _MOVED, list(_moved(model, compiled, keys, context.compiled_parameters)))
    else:
        _before_many(model, connection, context, changes)


def _before_many(model: LiveTable, connection: Connection, context: DefaultExecutionContext, changes: Changes) -> None:
    changes.lock(model, connection)
    where = getattr(context.invoked_statement, "whereclause", None)
    sets = context.compiled_parameters
    for values in sets[: MOST_ROWS + 1]:
        named = _named(where, values)
        rows = model.matching(connection, where, named, MOST_ROWS + 1, is_deleting=context.isdelete)
        changes.touch_rows(model, rows, connection)
        setattr(context, _FOUND, len(rows))
    if len(sets) > MOST_ROWS:
        changes.reset(model, connection)


def after(model: LiveTable, connection: Connection, context: DefaultExecutionContext, changes: Changes) -> None:
    """Touch the rows that were inserted, and notice rows that began to match a condition after they were read."""
    if not context.isinsert:
        found = getattr(context, _FOUND, None)
        if found is not None and len(context.compiled_parameters) == 1 and context.rowcount > found:
            changes.reset(model, connection)
        if moved := getattr(context, _MOVED, None):
            changes.touch_new(model, moved, connection)
        return
    compiled = cast("SQLCompiler", context.compiled)
    conflict = _conflict(compiled)
    keys = _given(model, context)
    if keys is None:
        keys = _generated(context)
    if keys is None and (conflict is not None or getattr(compiled.statement, "select", None) is not None):
        changes.reset(model, connection)
    elif keys is None:
        changes.touch_unknown(model, len(context.compiled_parameters), connection)
    elif conflict is None:
        if not changes.touch_new(model, keys, connection):
            changes.reset(model, connection)
    elif _is_by_key(model, conflict):
        changes.touch_new(model, keys, connection)
    else:
        changes.reset(model, connection)


def _conflict(compiled: SQLCompiler) -> Any:
    """What an upsert does when it meets a row; None of a plain INSERT."""
    return getattr(compiled.statement, "_post_values_clause", None)


def _is_by_key(model: LiveTable, conflict: Any) -> bool:
    """Whether the rows that an upsert changes are those with the keys that it inserts, or it changes none."""
    if "DoNothing" in type(conflict).__name__:
        return True
    targets = getattr(conflict, "inferred_target_elements", None) or ()
    return {str(getattr(each, "key", each)) for each in targets} == set(model.key_names)


def _given(model: LiveTable, context: DefaultExecutionContext) -> list[Key] | None:
    """The keys that are inserted; None if they, or some of them, can't be known."""
    compiled = cast("SQLCompiler", context.compiled)
    if getattr(compiled.statement, "select", None) is not None:
        return None
    many = getattr(compiled.statement, "_multi_values", None)
    found: list[Key] = []
    for values in context.compiled_parameters:
        keys = list(_keys_in(model, values))
        if len(keys) != (len(many[0]) if many else 1) or any(value is None for key in keys for value in key):
            return None
        found += keys
    return found


def _keys_in(model: LiveTable, values: Mapping[str, Any]) -> Iterator[Key]:
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


def _key_binds(model: LiveTable, compiled: SQLCompiler) -> list[str] | None:
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
    model: LiveTable, compiled: SQLCompiler, keys: list[Key], sets: Sequence[Mapping[str, Any]]
) -> Iterator[Key]:
    """The keys that an UPDATE gives to rows."""
    if compiled.isupdate:
        for key, values in zip(keys, sets, strict=True):
            new = tuple([values.get(name, old) for name, old in zip(model.key_names, key, strict=True)])
            if new != key:
                yield new


def _sets_key(model: LiveTable, compiled: SQLCompiler) -> bool:
    """Whether an UPDATE sets a key to what isn't known, or of rows that aren't known by their keys."""
    given = getattr(compiled.statement, "_values", None) or {}
    set_to = [given[each] for each in model.keys if each in given] if compiled.isupdate else []
    return any(not isinstance(each, BindParameter) for each in set_to) or (
        bool(set_to) and _key_binds(model, compiled) is None
    )
