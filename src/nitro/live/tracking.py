"""Tracking: SQLAlchemy's events, by which the changes of live classes are found and announced.

`live_model` starts it with the first class. It watches every session, synchronous or under an `AsyncSession`, and the
statements on its connections: those of the unit of work, of `session.execute`, and of the `bulk_*` methods. SQL as
text is not seen, nor what the database itself does, such as `ON DELETE CASCADE`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, ref

from sqlalchemy import Alias, Connection, Engine, TableClause, event
from sqlalchemy.orm import Mapper, Session

from nitro.live import statements
from nitro.live.announcing import announce
from nitro.live.changes import changes_of, changes_so_far, forget_changes
from nitro.live.model import LiveTable

if TYPE_CHECKING:
    from sqlalchemy.engine.default import DefaultExecutionContext
    from sqlalchemy.orm import SessionTransaction

__all__ = ["track"]

_models: Final[dict[TableClause, LiveTable]] = {}
_sessions: Final[WeakKeyDictionary[Connection, ref[Session]]] = WeakKeyDictionary()


def track(model: LiveTable) -> None:
    """Announce the changes of `model` from now on."""
    _models[model.table] = model
    _listen()
    event.listen(model.mapper, "after_insert", _inserted, propagate=True)


@cache
def _listen() -> None:
    event.listen(Session, "after_begin", _began)
    event.listen(Session, "before_commit", _committing)
    event.listen(Session, "after_soft_rollback", _rolled_back)
    event.listen(Session, "after_transaction_end", _ended)
    event.listen(Engine, "before_cursor_execute", _executing)
    event.listen(Engine, "after_execute", _executed)
    event.listen(Engine, "commit", _connection_commits)


def _began(session: Session, _: SessionTransaction, connection: Connection) -> None:
    _sessions[connection] = ref(session)


def _committing(session: Session) -> None:
    if not session.in_nested_transaction():
        session.flush()
        if (changes := changes_so_far(session)) is not None:
            announce(session, changes)


def _connection_commits(connection: Connection) -> None:
    """What is left: listeners that were called after ours have changed rows, or a savepoint was open."""
    session = _session_of(connection)
    if session is not None and (changes := changes_so_far(session)) is not None:
        announce(session, changes, may_flush=False)


def _rolled_back(session: Session, transaction: SessionTransaction) -> None:
    if (changes := changes_so_far(session)) is not None:
        changes.roll_back(transaction)


def _ended(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        forget_changes(session)


def _inserted(mapper: Mapper[Any], connection: Connection, target: object) -> None:
    session = _session_of(connection)
    for table in mapper.tables if session is not None else ():
        model = _models.get(table)
        if model is not None and session is not None and not model.is_silent:
            key = tuple(mapper.primary_key_from_instance(target))
            changes_of(session).tell_key(model, key, connection)


def _executing(
    connection: Connection,
    _cursor: object,
    _statement: str,
    _parameters: object,
    context: DefaultExecutionContext,
    _is_many: bool,
) -> None:
    found = _watched(connection, context)
    if found is not None:
        model, session = found
        statements.before(model, connection, context, changes_of(session))


def _executed(connection: Connection, _: object, _many: object, _values: object, _options: object, result: Any) -> None:
    context = getattr(result, "context", None)  # of a sequence it is a number
    if context is not None and (found := _watched(connection, context)) is not None:
        model, session = found
        statements.after(model, connection, context, changes_of(session))


def _watched(connection: Connection, context: DefaultExecutionContext) -> tuple[LiveTable, Session] | None:
    """The live class whose rows a statement changes, and the session that executes it."""
    compiled = context.compiled
    if compiled is None or not (context.isinsert or context.isupdate or context.isdelete):
        return None
    table = getattr(compiled.statement, "table", None)
    model = _models.get(table.element if isinstance(table, Alias) else table)  # type: ignore[arg-type]  # None is in no dict
    if model is None or model.is_silent:
        return None
    session = _session_of(connection)
    return None if session is None or changes_of(session).is_reset(model) else (model, session)


def _session_of(connection: Connection) -> Session | None:
    session = _sessions.get(connection)
    return None if session is None else session()
