"""What a session's commit sets off. Fed by brokers that take part in a transaction, and by the session's own events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from functools import cache, partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, SessionTransaction

__all__ = ["after_commit", "transactions_of"]

_WAITING: Final = "nitro: to be done after the commit"
_Waiting = tuple[tuple["SessionTransaction", ...], Callable[[], object]]
"""The transaction and savepoints that have to be committed, and what is called then."""


def after_commit(session: Session, action: Callable[[], object]) -> None:
    """Call `action` after the session's transaction commits; never if it, or an enclosing savepoint, rolls back.

    It is called in the context (`contextvars`) of this call. If the session has joined a transaction of its connection,
    its own commit counts: SQLAlchemy tells of no other, once it is done.

    If the session is in no transaction, one begins, so that what follows belongs to it, as with database brokers.
    """
    if not session.in_transaction():
        session.begin()
    _watch()
    session.info.setdefault(_WAITING, deque()).append((transactions_of(session), partial(copy_context().run, action)))


def transactions_of(session: Session) -> tuple[SessionTransaction, ...]:
    """The session's open savepoints and its transaction, from the innermost outwards."""
    around: list[SessionTransaction] = []
    transaction = session.get_nested_transaction() or session.get_transaction()
    while transaction is not None:
        around.append(transaction)
        transaction = transaction.parent
    return tuple(around)


@cache
def _watch() -> None:
    """Watch all sessions, since adding listeners to each takes longer than what they do."""
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    event.listen(Session, "after_commit", _committed)
    event.listen(Session, "after_soft_rollback", _rolled_back)
    event.listen(Session, "after_transaction_end", _ended)


def _committed(session: Session) -> None:
    waiting: deque[_Waiting] | None = session.info.get(_WAITING)
    if waiting and not session.in_nested_transaction():  # else a savepoint is released
        while waiting:
            waiting.popleft()[1]()


def _rolled_back(session: Session, transaction: SessionTransaction) -> None:
    waiting: deque[_Waiting] | None = session.info.get(_WAITING)
    if waiting:
        session.info[_WAITING] = deque([item for item in waiting if transaction not in item[0]])


def _ended(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:  # closed without a commit or a rollback, if any are left
        session.info.pop(_WAITING, None)
