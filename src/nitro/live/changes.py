"""Changes: the rows that one transaction of a session has touched, each with what it was before.

Filled by what watches statements; taken when the transaction is about to be committed. Rows are compared then, so
several statements on one row are one change, and what was undone is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, false, update

from nitro.live.model import Key, LiveModel, Row

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, SessionTransaction

__all__ = ["MOST_ROWS", "OWN", "Changes", "Known", "Touched", "changes_of", "forget_changes"]

MOST_ROWS: Final = 1_000
"""A transaction that touches more rows of a class is announced as one reset of it."""
OWN: Final = "nitro_own"
"""Execution option of statements that change no row."""
_CHANGES: Final = "nitro: rows that were touched"
Known = dict[tuple[LiveModel, str], Row]
"""Rows as they are now, as far as they were read since they were touched."""


@dataclass(frozen=True, slots=True)
class Touched:
    """A row that may have changed.

    Attributes:
        key: its primary key.
        before: its values before this transaction touched it; None if it didn't exist.
        within: the transaction and the savepoints in which it was touched first.
    """

    key: Key
    before: Row | None
    within: tuple[SessionTransaction, ...]


class Changes:
    """Those of a session's transaction.

    Attributes:
        is_flushing: whether the session's unit of work executes statements now.
        is_committing: whether the changes were taken already, since the transaction is about to be committed.
    """

    def __init__(self, session: Session) -> None:
        self.is_flushing: bool = False
        self.is_committing: bool = False
        self._known: Known = {}
        self._session = session
        self._rows: dict[LiveModel, dict[str, Touched]] = {}
        self._resets: dict[LiveModel, tuple[SessionTransaction, ...]] = {}
        self._locked: set[Connection] = set()

    def touch(self, model: LiveModel, keys: Iterable[Key], connection: Connection) -> None:
        """Rows that are about to change: read and lock those that weren't touched before."""
        self._known.clear()
        if model in self._resets:
            return
        known = self._rows.get(model, {})
        new = {sender: key for key in keys if (sender := model.sender_of(key)) not in known}
        if len(known) + len(new) > MOST_ROWS:
            self.reset(model)
        elif new:
            self.lock(model, connection)
            before = model.read(connection, new.values(), lock=True)
            self._add(model, {sender: (key, before.get(sender)) for sender, key in new.items()})

    def touch_read(self, model: LiveModel, key: Key, before: Row | None, connection: Connection) -> None:
        """A row that is about to change; the caller has locked and read it, and no other transaction can write it."""
        if not model.is_silent:
            self._locked.add(connection)
            self._add(model, {model.sender_of(key): (key, before)})

    def know(self, model: LiveModel, row: Row) -> None:
        """A row was read after it was written, and needs not be read again, unless another statement touches it."""
        self._known[model, model.sender_of(model.key_of(row))] = row

    def touch_rows(self, model: LiveModel, rows: dict[str, Row]) -> None:
        """Rows that are about to change and were read and locked."""
        self._known.clear()
        self._add(model, {sender: (model.key_of(row), row) for sender, row in rows.items()})

    def touch_new(self, model: LiveModel, keys: Iterable[Key]) -> None:
        """Rows that were inserted."""
        self._known.clear()
        self._add(model, {model.sender_of(key): (key, None) for key in keys})

    def reset(self, model: LiveModel) -> None:
        """Too many rows were touched, or it can't be known which."""
        self._resets.setdefault(model, self._within())

    def lock(self, model: LiveModel, connection: Connection) -> None:
        """Where a database locks no rows, let the transaction write first: nobody else writes until it ends."""
        if connection.dialect.name == "sqlite" and connection not in self._locked:
            key = model.keys[0]
            nothing = update(model.table).values({key: key}).where(false())
            connection.execute(nothing, execution_options={OWN: True})
            self._locked.add(connection)

    def take(self) -> tuple[dict[LiveModel, dict[str, Touched]], list[LiveModel], Known]:
        """The rows that were touched, by class and sender; the classes that are reset; and the rows that are known as
        they are now. It has none of them then.
        """
        rows = {model: rows for model, rows in self._rows.items() if model not in self._resets}
        resets, known = list(self._resets), self._known
        self._rows, self._resets, self._known = {}, {}, {}
        return rows, resets, known

    def roll_back(self, transaction: SessionTransaction) -> None:
        """Forget what was first touched within this transaction or savepoint, whose locks are gone."""
        self.is_flushing = False
        self._known.clear()
        for model, rows in self._rows.items():
            self._rows[model] = {sender: each for sender, each in rows.items() if transaction not in each.within}
        self._resets = {model: within for model, within in self._resets.items() if transaction not in within}

    def _add(self, model: LiveModel, rows: dict[str, tuple[Key, Row | None]]) -> None:
        if model in self._resets or not rows:
            return
        known = self._rows.setdefault(model, {})
        within = self._within()
        for sender, (key, before) in rows.items():
            if sender not in known:
                known[sender] = Touched(key, before, within)
        if len(known) > MOST_ROWS:
            self.reset(model)

    def _within(self) -> tuple[SessionTransaction, ...]:
        around: list[SessionTransaction] = []
        transaction = self._session.get_nested_transaction() or self._session.get_transaction()
        while transaction is not None:
            around.append(transaction)
            transaction = transaction.parent
        return tuple(around)

    def __bool__(self) -> bool:
        return bool(self._rows or self._resets)


def changes_of(session: Session) -> Changes:
    """The changes of the session's current transaction."""
    found: Changes | None = session.info.get(_CHANGES)
    if found is None:
        found = session.info[_CHANGES] = Changes(session)
    return found


def forget_changes(session: Session) -> None:
    """The session's transaction has ended."""
    session.info.pop(_CHANGES, None)
