"""Announcing: what a transaction has changed becomes events, in that transaction.

Called before a commit; compares the rows that were touched with what they are now, and publishes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Connection

from nitro.brokers.base import Draft
from nitro.errors import ConfigurationError
from nitro.live.changes import Changes, Taken
from nitro.live.model import Key, LiveTable
from nitro.live.row_codec import ChangedRow, Row, is_same

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from nitro.events.event import Event

__all__ = ["Change", "announce"]

_ROUNDS: Final = 100
"""As often as SQLAlchemy flushes before a commit: handlers may change rows, whose handlers may change rows."""


class Change(NamedTuple):
    """One row that a transaction has changed.

    Attributes:
        model: its class.
        key: its primary key.
        before: its values before; None if it was created.
        after: its values now; None if it was deleted.
        is_before_known: False if nobody knows what it was.
    """

    model: LiveTable
    key: Key
    before: Row | None
    after: Row | None
    is_before_known: bool = True

    @property
    def signal(self) -> Event:
        """The event that tells of it."""
        if self.after is None:
            return self.model.deleted
        return self.model.created if self.before is None and self.is_before_known else self.model.updated


def announce(session: Session, changes: Changes, *, may_flush: bool = True) -> None:
    """Publish what was changed, until handlers change no more.

    Args:
        session: its transaction is about to be committed.
        changes: what it has changed. If that can't be announced, they are there again.
        may_flush: whether the session still executes what handlers have added to it.

    Raises:
        ConfigurationError: handlers never stop.
        InvalidPayload, PayloadTooLarge: a row can't be sent.
    """
    rounds: list[dict[LiveTable, Taken]] = []
    told: dict[LiveTable, _Told] = {}
    try:
        while changes:
            _check_rounds(len(rounds))
            rounds.append(changes.take())
            for model, taken in rounds[-1].items():
                told.setdefault(model, _Told(model, taken.connection)).add(taken, session)
            if may_flush:
                session.flush()
        for each in told.values():
            each.publish(session)
    except BaseException:
        for taken_then in reversed(rounds):
            changes.put_back(taken_then)
        raise


def _check_rounds(rounds: int) -> None:
    if rounds == _ROUNDS:
        raise ConfigurationError("the handlers of live events change rows, whose handlers change rows, without an end")


class _Told:
    """What a transaction tells of one class: its events, and in one piece what live queries have to know."""

    def __init__(self, model: LiveTable, connection: Connection) -> None:
        self._model = model
        self._connection = connection
        self._events: list[Draft | None] = []
        self._rows: dict[str, ChangedRow] = {}
        self._is_reset = False

    def add(self, taken: Taken, session: Session) -> None:
        """Call the handlers of what was changed."""
        model = self._model
        if taken.is_reset:
            self._events.append(model.draft_reset(session))
            self._is_reset = True
            return
        now = taken.known
        if unknown := [each.key for sender, each in taken.rows.items() if sender not in now]:
            now = now | model.read(taken.connection, unknown)
        for sender, each in taken.rows.items():
            change = Change(model, each.key, each.before, now.get(sender), each.is_before_known)
            if not each.is_before_known or not is_same(change.before, change.after):
                self._events.append(model.draft(change.signal, change.key, change.after, session))
                first = self._rows.get(sender, ChangedRow(sender, change.before, None, each.is_before_known))
                self._rows[sender] = first._replace(after=change.after)

    def publish(self, session: Session) -> None:
        """Publish it, in the session's transaction or right after it."""
        rows = None if self._is_reset else [*self._rows.values()]
        self._model.publish([*self._events, *self._model.drafts_for_queries(rows)], session, self._connection)
