"""Announcing: what a transaction has changed becomes events, in that transaction.

Called before a commit; compares the rows that were touched with what they are now, and publishes.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from nitro.brokers.base import Draft
from nitro.errors import ConfigurationError
from nitro.live.changes import Changes, Taken
from nitro.live.model import Key, LiveTable
from nitro.live.row_codec import ChangedRow, Row

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
    """

    model: LiveTable
    key: Key
    before: Row | None
    after: Row | None

    @property
    def signal(self) -> Event:
        """The event that tells of it."""
        if self.before is None:
            return self.model.created
        return self.model.deleted if self.after is None else self.model.updated


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
    for _ in range(_ROUNDS):
        if not changes:
            return
        taken = changes.take()
        try:
            drafts = [(model, each.connection, list(_drafts(session, model, each))) for model, each in taken.items()]
            for model, connection, messages in drafts:
                model.publish(messages, session, connection)
        except BaseException:
            changes.put_back(taken)
            raise
        if may_flush:
            session.flush()
    raise ConfigurationError("the handlers of live events change rows, whose handlers change rows, without an end")


def _drafts(session: Session, model: LiveTable, taken: Taken) -> Iterator[Draft | None]:
    if taken.is_reset:
        yield model.draft_reset(session)
        yield from model.drafts_for_queries(None)
        return
    now = taken.known
    if unknown := [each.key for sender, each in taken.rows.items() if sender not in now]:
        now = now | model.read(taken.connection, unknown)
    rows: list[ChangedRow] = []
    for sender, each in taken.rows.items():
        change = Change(model, each.key, each.before, now.get(sender))
        if not _is_same(change.before, change.after):
            rows.append(ChangedRow(sender, change.before, change.after))
            yield model.draft(change.signal, change.key, change.after, session)
    yield from model.drafts_for_queries(rows)


def _is_same(one: Any, other: Any) -> bool:
    """Whether two values are equal and look the same: 1, 1.0 and True are equal, and so are 2.5 and 2.50."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return bool(one == other) and (not isinstance(one, Decimal) or one.as_tuple() == other.as_tuple())
