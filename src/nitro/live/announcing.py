"""Announcing: what a transaction has changed becomes events, in that transaction.

Called before a commit; compares the rows that were touched with what they are now, and emits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from nitro.errors import ConfigurationError
from nitro.live.changes import Changes, Known, Touched
from nitro.live.model import Key, LiveModel, Row

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

    model: LiveModel
    key: Key
    before: Row | None
    after: Row | None

    @property
    def signal(self) -> Event:
        """The event that tells of it."""
        if self.before is None:
            return self.model.created
        return self.model.deleted if self.after is None else self.model.updated


def announce(session: Session, changes: Changes) -> None:
    """Emit what was changed, until handlers change no more.

    Raises:
        ConfigurationError: they never stop.
        InvalidPayload, PayloadTooLarge: a row can't be sent.
        BrokerUnavailable: the publish queue is full.
    """
    for _ in range(_ROUNDS):
        if not changes:
            return
        rows, resets, known = changes.take()
        for model, touched in rows.items():
            changed = tuple(_changed(session, model, touched, known))
            model.publish([model.draft(each.signal, each.key, each.after, session) for each in changed], session)
        for model in resets:
            model.publish([model.draft_reset(session)], session)
        session.flush()
    raise ConfigurationError("the handlers of live events change rows, whose handlers change rows, without an end")


def _changed(session: Session, model: LiveModel, touched: dict[str, Touched], known: Known) -> Iterator[Change]:
    now = {sender: row for sender in touched if (row := known.get((model, sender))) is not None}
    if len(now) < len(touched):
        now |= model.read(
            model.connection(session), [each.key for sender, each in touched.items() if sender not in now]
        )
    for sender, each in touched.items():
        after = now.get(sender)
        if each.before != after:
            yield Change(model, each.key, each.before, after)
