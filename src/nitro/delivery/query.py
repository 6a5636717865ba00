"""What the delivery requires of a live query: which changes of rows concern it, and what its clients get of them.

`nitro.live` has the queries; the delivery knows neither their filters nor their models.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol

from nitro.messages.message import Position
from nitro.messages.row_changes import RowChanges

__all__ = [
    "INCOMPLETE",
    "MISSED",
    "Operation",
    "Query",
    "QueryUndecided",
    "RowChange",
    "Shown",
    "decode",
    "operations_of",
]

log: Final = logging.getLogger("nitro.delivery")

INCOMPLETE: Final = Position("snapshot", 0)
"""The id of a client that has only some of the rows: if it resumes, it gets all of them. No log has this epoch."""
MISSED: Final = Position("snapshot", 1)
"""That of one that has had rows which may be wrong now."""
Shown = tuple[str, bytes]
"""A row as clients get it: its key, and its value, encoded."""


class QueryUndecided(Exception):
    """What was told of a change is not enough to say what it means for a query: its rows have to be read again."""


class RowChange:
    """One row that has changed, with the values that may be known outside of the database, by attribute.

    Attributes:
        key: its key.
        before: its values before; None if it didn't exist.
        after: its values now; None if it is gone.
        is_before_known: False if `before` is None because nobody knows.
        shown: how clients get it, for each way in which it is shown; filled by the queries.
    """

    __slots__ = ("after", "before", "is_before_known", "key", "shown")

    def __init__(
        self, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, *, is_before_known: bool
    ) -> None:
        self.key: str = key
        self.before: Mapping[str, Any] | None = before
        self.after: Mapping[str, Any] | None = after
        self.is_before_known: bool = is_before_known
        self.shown: dict[Any, bytes] = {}


class Operation(NamedTuple):
    """What a change is for one query.

    Attributes:
        kind: the row entered, stayed, or left.
        key: its key.
        value: the row as clients get it; None if it left.
        is_moved: whether its place in the query's order may be another one.
        is_first: whether it stands before all others then, or if it is new; otherwise behind them. Those that do
            stand among themselves as they are listed.
    """

    kind: Literal["insert", "update", "delete"]
    key: str
    value: bytes | None
    is_moved: bool = False
    is_first: bool = False

    @property
    def is_placed(self) -> bool:
        """Whether a list has to find it a place."""
        return self.kind == "insert" or self.is_moved


class Query(Protocol):
    """A live query. Clients whose queries are equal share a feed, its window, and the reading of its rows."""

    @property
    def topic(self) -> str:
        """The topic of its class, under which changes of rows come and what clients get goes."""

    @property
    def equalities(self) -> Mapping[str, frozenset[Any]]:
        """For some attributes, the values of which a row has to have one."""

    @property
    def limit(self) -> int | None:
        """The most rows that it has; None for all."""

    @property
    def markup(self) -> str | None:
        """The library whose HTML its payloads are; None if they are JSON."""

    @property
    def fingerprint(self) -> str:
        """A text that is the same in every process, and another for any other query."""

    def decode(self, changes: RowChanges) -> Sequence[RowChange]:
        """The changes, with their values unpacked: the same for all queries of its class.

        Raises:
            QueryUndecided: another version of the class has packed them.
        """

    def operations(self, rows: Sequence[RowChange]) -> list[Operation]:
        """What these changes are for its rows, whatever its limit; nothing for rows that it never had. In HTML, those
        of one commit that a list has to find a place are in the query's order, as far as it is known here.

        Raises:
            QueryUndecided: a value that it looks at is missing.
        """

    def encode(self, operations: Sequence[Operation]) -> bytes:
        """The payload for clients: what one transaction has changed."""

    async def read(self) -> list[Shown]:
        """Its rows, in its order, read from the database now."""

    def snapshot(self, rows: Sequence[Shown], *, is_reset: bool) -> list[bytes]:
        """The payloads of all its rows, in parts. `is_reset`: the client drops what it had."""

    def __hash__(self) -> int: ...


def decode(query: Query, changes: RowChanges) -> Sequence[RowChange]:
    """As `Query.decode`; whatever else it raises is logged, since anybody may have written the changes.

    Raises:
        QueryUndecided: they can't be understood.
    """
    try:
        return query.decode(changes)
    except QueryUndecided:
        raise
    except Exception as error:
        log.exception("changes of %r can't be understood, and its rows are read again", changes.model)
        raise QueryUndecided from error


def operations_of(query: Query, rows: Sequence[RowChange]) -> list[Operation]:
    """As `Query.operations`, likewise.

    Raises:
        QueryUndecided: what they are for its rows can't be said.
    """
    try:
        return query.operations(rows)
    except QueryUndecided:
        raise
    except Exception as error:
        log.exception("%r failed for a row, and its rows are read again", query)
        raise QueryUndecided from error
