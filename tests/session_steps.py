"""Steps of a session at random, by their names: what does not depend on the rows that it changes."""

from __future__ import annotations

from sqlalchemy.orm import Session

__all__ = ["SessionSteps"]


class SessionSteps:
    """Each takes a session, a key and a value, as the steps on rows that are beside them."""

    def _flush(self, session: Session, *_: int) -> None:
        session.flush()

    def _commit(self, session: Session, *_: int) -> None:
        session.commit()

    def _rollback(self, session: Session, *_: int) -> None:
        session.rollback()

    def _savepoint(self, session: Session, *_: int) -> None:
        session.begin_nested()

    def _release(self, session: Session, *_: int) -> None:
        if (savepoint := session.get_nested_transaction()) is not None:
            savepoint.commit()

    def _undo(self, session: Session, *_: int) -> None:
        if (savepoint := session.get_nested_transaction()) is not None:
            savepoint.rollback()
