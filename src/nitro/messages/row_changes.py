"""RowChanges: the message by which a transaction tells all processes which rows of a live class it has changed.

It is published to the log under a reserved topic, which applications can't emit and clients never hear: each process
turns it into what the clients of its live queries get. The values are those that `nitro.live` has packed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self

from pydantic_core import from_json, to_json

__all__ = ["ROW_CHANGES", "PackedRow", "RowChanges"]

ROW_CHANGES: Final = "nitro.rows"

_UNKNOWN: Final = "unknown"


class PackedRow(NamedTuple):
    """One row, before and after.

    Attributes:
        key: its key, as text.
        before: its values before, in the order of the columns, or those that differ from `after`, by the column's
            place; None if it didn't exist.
        after: its values now; None if it is gone.
        is_before_known: False if only somebody who says so knows that it has changed.
    """

    key: str
    before: Sequence[Any] | Mapping[str, Any] | None
    after: Sequence[Any] | None
    is_before_known: bool = True


class RowChanges(NamedTuple):
    """What one transaction has changed of one class.

    Attributes:
        model: the topic of the class.
        columns: the attributes whose values follow.
        rows: what has changed; None if that is too much, or unknown, so that the rows have to be read again.
    """

    model: str
    columns: Sequence[str]
    rows: Sequence[PackedRow] | None

    @property
    def payload(self) -> bytes:
        """The changes as JSON."""
        rows = (
            None
            if self.rows is None
            else [[each.key, each.before if each.is_before_known else _UNKNOWN, each.after] for each in self.rows]
        )
        return to_json([self.model, self.columns, rows])

    @classmethod
    def parse(cls, payload: bytes) -> Self | None:
        """The changes in `payload`; None if it is invalid, since others may write to the log."""
        try:
            model, columns, rows = from_json(payload)
            found = None if rows is None else [_row(len(columns), *row) for row in rows]
        except (ValueError, TypeError, LookupError):
            return None
        if not (
            isinstance(model, str) and isinstance(columns, list) and all(isinstance(each, str) for each in columns)
        ):
            return None
        return cls(model, columns, found)

    def before(self, row: PackedRow) -> Sequence[Any] | None:
        """All values of a row before; None if it didn't exist, or if that is unknown."""
        if not isinstance(row.before, Mapping):
            return row.before
        assert row.after is not None
        values = list(row.after)
        for place, value in row.before.items():
            values[int(place)] = value
        return values


def _row(columns: int, key: Any, before: Any, after: Any) -> PackedRow:
    """Raises ValueError, TypeError or LookupError if it is invalid."""
    is_known = before != _UNKNOWN
    before = before if is_known else None
    for values in (before, after):
        if isinstance(values, list) and len(values) == columns:
            continue
        if values is before and isinstance(values, dict) and isinstance(after, list):
            if all(place.isascii() and place.isdigit() and int(place) < columns for place in values):
                continue
        elif values is None:
            continue
        raise ValueError(f"not {columns} values")
    if not isinstance(key, str):
        raise TypeError("the key of a row is text")
    return PackedRow(key, before, after, is_known)
