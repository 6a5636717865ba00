"""Tracking: SQLAlchemy's events, by which the changes of live classes are found and announced.

`live_model` starts it with the first class. It watches every session, synchronous or under an `AsyncSession`, and the
statements on its connections: those of the unit of work, of `session.execute`, and of the `bulk_*` methods. SQL as
text is not seen, nor what the database itself does, such as `ON DELETE CASCADE`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, ref

from sqlalchemy import Connection, Engine, TableClause, event
from sqlalchemy.orm import Mapper, Session

from nitro.live import statements
from nitro.live.announcing import announce
from nitro.live.changes import OWN, changes_of, forget_changes
from nitro.live.model import LiveModel

if TYPE_CHECKING:
    from sqlalchemy.engine.default import DefaultExecutionContext
    from sqlalchemy.orm import SessionTransaction

__all__ = ["track"]

_models: Final[dict[TableClause, LiveModel]] = {}
_sessions: Final[WeakKeyDictionary[Connection, ref[Session]]] = WeakKeyDictionary()


def track(model: LiveModel) -> None:
    """Announce the changes of `model` from now on."""
    _models[model.table] = model
    _listen()
    event.listen(model.mapper, "after_insert", _inserted)


@cache
def _listen() -> None:
    event.listen(Session, "after_begin", _began)
    event.listen(Session, "before_flush", _flushing)
    event.listen(Session, "after_flush", _flushed)
    event.listen(Session, "before_commit", _committing)
    event.listen(Session, "after_soft_rollback", _rolled_back)
    event.listen(Session, "after_transaction_end", _ended)
    event.listen(Engine, "before_cursor_execute", _executing)
    event.listen(Engine, "after_execute", _executed)


def _began(session: Session, _: SessionTransaction, connection: Connection) -> None:
    _sessions[connection] = ref(session)


def _flushing(session: Session, *_: object) -> None:
    changes_of(session).is_flushing = True


def _flushed(session: Session, _: object) -> None:
    changes = changes_of(session)
    changes.is_flushing = False
    if changes.is_committing:  # another listener, or a handler, has changed rows since
        announce(session, changes)


def _committing(session: Session) -> None:
    if not session.in_nested_transaction():
        session.flush()
        changes = changes_of(session)
        announce(session, changes)
        changes.is_committing = True


def _rolled_back(session: Session, transaction: SessionTransaction) -> None:
    changes_of(session).roll_back(transaction)


def _ended(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        forget_changes(session)


def _inserted(mapper: Mapper[Any], connection: Connection, target: object) -> None:
    session = _session_of(connection)
    model = _models[mapper.local_table]  # type: ignore[index]  # a live class has a table
    if session is not None and not model.is_silent:
        changes_of(session).touch_new(model, [tuple(mapper.primary_key_from_instance(target))])


def _executing(
    connection: Connection,
    _cursor: object,
    _statement: str,
    _parameters: object,
    context: DefaultExecutionContext,
    _: bool,
) -> None:
    found = _watched(connection, context)
    if found is not None:
        model, session = found
        changes = changes_of(session)
        if not (changes.is_flushing and context.isinsert):  # the mapper tells of those
            statements.before(model, connection, context, changes)


def _executed(connection: Connection, _: object, _many: object, _values: object, _options: object, result: Any) -> None:
    context = result.context
    found = _watched(connection, context)
    if found is not None:
        model, session = found
        changes = changes_of(session)
        if not (changes.is_flushing and context.isinsert):
            statements.after(model, connection, context, changes)


def _watched(connection: Connection, context: DefaultExecutionContext) -> tuple[LiveModel, Session] | None:
    """The live class whose rows a statement changes, and the session that executes it."""
    compiled = context.compiled
    if compiled is None or not (context.isinsert or context.isupdate or context.isdelete):
        return None
    model = _models.get(getattr(compiled.statement, "table", None))  # type: ignore[arg-type]  # None is in no dict
    if model is None or model.is_silent or OWN in context.execution_options:
        return None
    session = _session_of(connection)
    return None if session is None else (model, session)


def _session_of(connection: Connection) -> Session | None:
    session = _sessions.get(connection)
    return None if session is None else session()
