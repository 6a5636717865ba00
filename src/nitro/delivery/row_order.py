"""The order of a row's changes: whether each follows from the one before.

Changes that are published after their commits may come in another order than they were committed, if two transactions
change one row within the same moment. Who applied them as they come would have an old row, until it changes again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from nitro.messages.row_changes import PackedRow, RowChanges

__all__ = ["RowOrder"]

_REMEMBERED: Final = 2_000
"""Rows that changed last: two changes of one come in the wrong order within milliseconds, or not at all."""
_WRONG_ORDERS: Final = 4
"""So many that one row may have been are kept, until a change says which it is."""

_Values = tuple[Sequence[str], Sequence[Any] | None]
"""Columns, and a row's values; None if it is gone."""


class RowOrder:
    """What the last changes left behind. Not thread-safe."""

    def __init__(self) -> None:
        self._last: OrderedDict[tuple[str, str], list[_Values]] = OrderedDict()
        """By class and key what a row may be now: one thing, unless its changes came in a wrong order."""

    def broken_by(self, changes: RowChanges) -> list[RowChanges]:
        """Note these changes. Returns, of each row that was something else than what it had been left as, a change by
        which it ceases to be that.
        """
        broken: list[RowChanges] = []
        for row in changes.rows or ():
            key = (changes.model, row.key)
            last = self._last.pop(key, [])
            self._last[key] = [(changes.columns, row.after)]
            if last and row.is_before_known and (changes.columns, changes.before(row)) not in last:
                self._last[key] += last[:_WRONG_ORDERS]
                broken += [
                    RowChanges(changes.model, columns, [PackedRow(row.key, values, None)]) for columns, values in last
                ]
        while len(self._last) > _REMEMBERED:
            self._last.popitem(last=False)
        return broken

    def __repr__(self) -> str:
        return f"<RowOrder of {len(self._last)} rows>"
