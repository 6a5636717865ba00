"""What a session's commit sets off. Fed by brokers that take part in a transaction, and by the session's own events."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, SessionTransaction

__all__ = ["after_commit"]

_WAITING: Final = "nitro: to be done after the commit"
_Waiting = tuple[list["SessionTransaction"], Callable[[], object]]
"""The transaction and savepoints that have to be committed, and what is called then."""


def after_commit(session: Session, action: Callable[[], object]) -> None:
    """Call `action` after the session's transaction commits; never if it, or an enclosing savepoint, rolls back.

    If the session is in no transaction, one begins, so that what follows belongs to it, as with database brokers.
    """
    if not session.in_transaction():
        session.begin()
    waiting: deque[_Waiting] | None = session.info.get(_WAITING)
    if waiting is None:
        waiting = session.info[_WAITING] = _watch(session)
    around: list[SessionTransaction] = []
    within = session.get_nested_transaction() or session.get_transaction()
    while within is not None:
        around.append(within)
        within = within.parent
    waiting.append((around, action))


def _watch(session: Session) -> deque[_Waiting]:
    """The session's actions that wait for a commit, kept up to date by its events."""
    from sqlalchemy import event

    waiting: deque[_Waiting] = deque()

    def committed(session: Session) -> None:
        if not session.in_nested_transaction():  # else a savepoint is released
            while waiting:
                waiting.popleft()[1]()

    def rolled_back(_: Session, transaction: SessionTransaction) -> None:
        left = [item for item in waiting if transaction not in item[0]]
        waiting.clear()
        waiting.extend(left)

    def ended(_: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:  # closed without a commit or a rollback, if any are left
            waiting.clear()

    event.listen(session, "after_commit", committed)
    event.listen(session, "after_soft_rollback", rolled_back)
    event.listen(session, "after_transaction_end", ended)
    return waiting
