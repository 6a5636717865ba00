"""Changes: the rows that one transaction of a session has touched, each with what it was before.

Filled by what watches statements; taken when the transaction is about to be committed. Rows are compared then, so
several statements on one row are one change, and what was undone is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection

from nitro.brokers.commits import transactions_of
from nitro.live.model import Key, LiveTable
from nitro.live.row_codec import Row

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, SessionTransaction

__all__ = ["MOST_ROWS", "Changes", "Taken", "Touched", "changes_of", "changes_so_far", "forget_changes"]

MOST_ROWS: Final = 1_000
"""A transaction that touches more rows of a class is announced as one reset of it."""
_CHANGES: Final = "nitro: rows that were touched"


@dataclass(frozen=True, slots=True)
class Touched:
    """A row that may have changed.

    Attributes:
        key: its primary key.
        before: its values before this transaction touched it; None if it didn't exist.
        within: the transaction and the savepoints in which it was touched first.
        is_before_known: False if it was changed by what can't be seen: it is told, whatever it was.
    """

    key: Key
    before: Row | None
    within: tuple[SessionTransaction, ...]
    is_before_known: bool = True


@dataclass(slots=True)
class Taken:
    """What a transaction has changed of one class.

    Attributes:
        connection: where it was changed.
        rows: the rows that it touched, by sender.
        known: rows as they are now, as far as they were read since they were touched.
        is_reset: whether too many rows were touched, or it can't be known which.
    """

    connection: Connection
    rows: dict[str, Touched]
    known: dict[str, Row]
    is_reset: bool


class Changes:
    """Those of a session's transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._connections: dict[LiveTable, Connection] = {}
        self._rows: dict[LiveTable, dict[str, Touched]] = {}
        self._known: dict[LiveTable, dict[str, Row]] = {}
        self._unknown: dict[LiveTable, int] = {}  # rows that were inserted with keys that nobody has told yet
        self._resets: dict[LiveTable, tuple[SessionTransaction, ...]] = {}
        self._locked: set[Connection] = set()

    def touch(self, model: LiveTable, keys: Iterable[Key], connection: Connection, *, is_deleting: bool) -> None:
        """Rows with these keys are about to change: read and lock those that exist. Their own keys count, since a
        database may take other values for equal.
        """
        self._note(model, connection)
        known = self._rows.get(model, {})
        new = [key for key in dict.fromkeys(keys) if not (model.is_plain(key) and model.sender_of(key) in known)]
        if len(known) + len(new) > MOST_ROWS:
            self.reset(model, connection)
        elif new:
            self.lock(model, connection)
            self.touch_rows(model, model.read(connection, new, lock=True, is_deleting=is_deleting), connection)

    def touch_rows(self, model: LiveTable, rows: dict[str, Row], connection: Connection) -> None:
        """Rows that are about to change and were read and locked."""
        self._note(model, connection)
        self._add(model, {sender: (model.key_of(row), row) for sender, row in rows.items()})

    def touch_new(self, model: LiveTable, keys: Iterable[Key], connection: Connection) -> bool:
        """Rows that were inserted, or given these keys. Returns whether all of them are there."""
        self._note(model, connection)
        new = list(dict.fromkeys(keys))
        there = {model.sender_of(key): key for key in new if model.is_plain(key)}
        if rest := [key for key in new if not model.is_plain(key)]:
            there |= {sender: model.key_of(row) for sender, row in model.read(connection, rest).items()}
        self._add(model, {sender: (key, None) for sender, key in there.items()})
        return len(there) == len(new)

    def touch_unknown(self, model: LiveTable, rows: int, connection: Connection) -> None:
        """Rows that were inserted with keys that the database made. They are a reset, unless `tell_key` follows."""
        self._note(model, connection)
        self._unknown[model] = self._unknown.get(model, 0) + rows

    def tell_key(self, model: LiveTable, key: Key, connection: Connection) -> None:
        """The key of a row that the unit of work has inserted."""
        if model.sender_of(key) not in self._rows.get(model, {}):
            self.touch_new(model, [key], connection)
            if self._unknown.get(model, 0) > 0:
                self._unknown[model] -= 1

    def touch_unseen(self, model: LiveTable, keys: Iterable[Key], connection: Connection) -> None:
        """Rows with these keys were changed by what can't be seen."""
        self._note(model, connection)
        if model in self._resets:
            return
        known = self._rows.setdefault(model, {})
        within = transactions_of(self._session)
        for key in dict.fromkeys(keys):
            own = key
            if not model.is_plain(key):  # the database may give it back otherwise
                row = next(iter(model.read(connection, [key]).values()), None)
                own = key if row is None else model.key_of(row)
            first = known.get(model.sender_of(own), Touched(own, None, within))
            known[model.sender_of(own)] = Touched(own, None, first.within, is_before_known=False)
        if len(known) > MOST_ROWS:
            self._resets.setdefault(model, within)

    def may_write(self, connection: Connection) -> None:
        """No other transaction can write what this connection has read."""
        self._locked.add(connection)

    def know(self, model: LiveTable, row: Row) -> None:
        """A row was read after it was written, and needs not be read again, unless another statement touches it."""
        self._known.setdefault(model, {})[model.sender_of(model.key_of(row))] = row

    def reset(self, model: LiveTable, connection: Connection) -> None:
        """Too many rows were touched, or it can't be known which."""
        self._note(model, connection)
        self._resets.setdefault(model, transactions_of(self._session))

    def is_reset(self, model: LiveTable) -> bool:
        """Whether nothing that is touched from here on is of interest."""
        return model in self._resets

    def lock(self, model: LiveTable, connection: Connection) -> None:
        """Where a database locks no rows, let the transaction write first: nobody else writes until it ends."""
        if connection.dialect.name == "sqlite" and connection not in self._locked:
            connection.execute(model.writes_nothing)
            self._locked.add(connection)

    def take(self) -> dict[LiveTable, Taken]:
        """What was changed, by class. It has none of it then."""
        taken = {
            model: Taken(
                connection,
                self._rows.get(model, {}),
                self._known.get(model, {}),
                model in self._resets or self._unknown.get(model, 0) > 0,
            )
            for model, connection in self._connections.items()
        }
        self._connections, self._rows, self._known, self._unknown, self._resets = {}, {}, {}, {}, {}
        return taken

    def put_back(self, taken: dict[LiveTable, Taken]) -> None:
        """What was taken could not be announced."""
        for model, each in taken.items():
            self._note(model, each.connection)
            self._rows[model] = {**self._rows.get(model, {}), **each.rows}
            if each.is_reset:
                self.reset(model, each.connection)

    def roll_back(self, transaction: SessionTransaction) -> None:
        """Forget what was first touched within this transaction or savepoint, whose locks are gone."""
        self._known.clear()
        for model, rows in self._rows.items():
            self._rows[model] = {sender: each for sender, each in rows.items() if transaction not in each.within}
        self._resets = {model: within for model, within in self._resets.items() if transaction not in within}

    def _note(self, model: LiveTable, connection: Connection) -> None:
        self._connections[model] = connection
        self._known.pop(model, None)

    def _add(self, model: LiveTable, rows: dict[str, tuple[Key, Row | None]]) -> None:
        if model in self._resets or not rows:
            return
        known = self._rows.setdefault(model, {})
        within = transactions_of(self._session)
        for sender, (key, before) in rows.items():
            if sender not in known:
                known[sender] = Touched(key, before, within)
        if len(known) > MOST_ROWS:
            self._resets.setdefault(model, within)

    def __bool__(self) -> bool:
        return bool(self._connections)


def changes_of(session: Session) -> Changes:
    """The changes of the session's current transaction, which is about to touch a row."""
    found = changes_so_far(session)
    if found is None:
        found = session.info[_CHANGES] = Changes(session)
    return found


def changes_so_far(session: Session) -> Changes | None:
    """The same; None if it has touched no row of a live class."""
    found: Changes | None = session.info.get(_CHANGES)
    return found


def forget_changes(session: Session) -> None:
    """The session's transaction has ended."""
    session.info.pop(_CHANGES, None)
