"""Statements: which rows an INSERT, UPDATE or DELETE touches, found out before it runs, or after it if need be.

Called by `tracking` for each statement of a session on the table of a live class; tells the session's changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import Alias, BindParameter, Column, Connection
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
    elif isinstance(getattr(compiled.statement, "table", None), Alias):
        changes.reset(model, connection)  # its condition is one on columns of the alias
    elif context.isinsert:
        if _conflict(compiled) is not None and (keys := _given(model, context)) is not None:
            changes.touch(model, keys, connection, is_deleting=False)
    else:
        _before_change(model, connection, context, changes)


def _before_change(
    model: LiveTable, connection: Connection, context: DefaultExecutionContext, changes: Changes
) -> None:
    compiled = cast("SQLCompiler", context.compiled)
    moves = _moves(model, compiled)
    places = _key_binds(model, compiled)
    if moves is None or (moves and places is None):
        changes.reset(model, connection)
    elif places is not None:
        keys = [tuple([values[place] for place in places]) for values in context.compiled_parameters]
        changes.touch(model, keys, connection, is_deleting=context.isdelete)
        setattr(context, _MOVED, list(_moved(model, moves, keys, context.compiled_parameters)))
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
    return {_name(each) for each in targets} == set(model.key_names) and not _gives_key(model, conflict)


def _gives_key(model: LiveTable, conflict: Any) -> bool:
    """Whether an upsert sets a part of the key to anything but the one that is inserted, by which it met the row."""
    sets = dict(getattr(conflict, "update_values_to_set", None) or ())  # pairs in SQLAlchemy before 2.1
    return any(
        _name(column) in model.key_names
        and not (getattr(getattr(value, "table", None), "name", None) == "excluded" and _name(value) == _name(column))
        for column, value in sets.items()
    )


def _name(column: Any) -> str:
    return str(getattr(column, "key", column))


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


def _moves(model: LiveTable, compiled: SQLCompiler) -> dict[str, str] | None:
    """The names of the parameters to which an UPDATE sets parts of the primary key, by the key's columns; None if it
    sets one to what isn't known before.
    """
    if not compiled.isupdate:
        return {}
    found = {name: name for name in model.key_names if name in (compiled.column_keys or ())}
    for column, value in _sets(compiled.statement):
        if (name := _name(column)) in model.key_names:
            if not isinstance(value, BindParameter):
                return None
            found[name] = name if value.unique else str(value.key)
    return found


def _sets(statement: Any) -> Iterator[tuple[Any, Any]]:
    """The columns, or their names, and what an UPDATE sets them to, but for those that are parameters alone."""
    yield from (getattr(statement, "_values", None) or {}).items()
    yield from getattr(statement, "_ordered_values", None) or ()  # of SQLAlchemy before 2.1


def _moved(
    model: LiveTable, moves: Mapping[str, str], keys: list[Key], sets: Sequence[Mapping[str, Any]]
) -> Iterator[Key]:
    """The keys that an UPDATE gives to rows."""
    if moves:
        for key, values in zip(keys, sets, strict=True):
            pairs = zip(model.key_names, key, strict=True)
            new = tuple([values[moves[name]] if name in moves else old for name, old in pairs])
            if new != key:
                yield new
