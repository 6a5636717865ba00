"""What a lane knows about the rows of one live query; with a limit, its window, and how that slides.

Kept by the lane's live queries, for queries whose rows are read, or are a window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

from nitro.delivery.outbox import Outbox
from nitro.delivery.query import Operation
from nitro.delivery.snapshot import Snapshot
from nitro.messages.message import Position

__all__ = ["QueryState", "difference", "slid"]


class QueryState:
    """What a lane knows about the rows of one query.

    Attributes:
        waiting: the clients that get all rows when they are read.
        is_reading: whether they are being read.
        is_stale: whether what is being read may be too old for everybody.
        position: how far the lane had got when the reading began.
        complete_to: with a limit, the position up to which everything is in the window.
        is_changed: whether a row has changed since then.
        snapshot: the rows that were read last, while they are true.
        window: with a limit, the rows that the clients have, by key, as pages of HTML list them; None before they are
            read.
        read_at: when it was read, on the clock of `time.monotonic`.
        is_sorted: whether the window has the query's order.
        is_wrong: whether it is read because it lacks a change, and not for those alone who wait.
        pending: with a limit, what has changed since the reading began.
    """

    __slots__ = (
        "complete_to",
        "is_changed",
        "is_reading",
        "is_sorted",
        "is_stale",
        "is_wrong",
        "pending",
        "position",
        "read_at",
        "snapshot",
        "waiting",
        "window",
    )

    def __init__(self, position: Position) -> None:
        self.waiting: dict[Outbox, None] = {}
        self.is_reading: bool = False
        self.is_stale: bool = False
        self.position: Position = position
        self.complete_to: Position = position
        self.is_changed: bool = False
        self.snapshot: Snapshot | None = None
        self.window: dict[str, bytes] | None = None
        self.read_at: float = -inf
        self.is_sorted: bool = False
        self.is_wrong: bool = False
        self.pending: list[tuple[Position, list[Operation]]] = []

    def has_window_since(self, moment: float) -> bool:
        """Whether those who begin may have its window: in its order, and not older."""
        return self.window is not None and self.is_sorted and self.read_at > moment


def slid(
    window: Mapping[str, bytes], operations: Iterable[Operation], limit: int, *, is_html: bool
) -> tuple[dict[str, bytes], list[Operation]] | None:
    """What becomes of a window, and what its clients get. None: its edge changes, and the database alone knows how.

    Args:
        is_html: whether clients are told of the places of rows; otherwise they have them from the values.
    """
    rows = dict(window)
    given: list[Operation] = []
    for each in operations:
        is_full = len(rows) >= limit
        has = each.key in rows
        if is_full and ((has and each.value is None) or each.is_moved or (each.kind == "insert" and not has)):
            return None
        if each.value is None:
            if rows.pop(each.key, None) is not None:
                given.append(each)
        elif has:
            if rows[each.key] != each.value or (is_html and each.is_moved):
                rows[each.key] = each.value
                given.append(each._replace(kind="update"))
        elif not is_full:
            rows[each.key] = each.value
            given.append(each._replace(kind="insert"))
    placed = {each.key: each.is_first for each in given if each.is_placed and each.key in rows}
    order = [
        *[key for key, is_first in placed.items() if is_first],
        *[key for key in rows if key not in placed],
        *[key for key, is_first in placed.items() if not is_first],
    ]
    return {key: rows[key] for key in order} if placed else rows, given


def difference(before: Mapping[str, bytes], after: Mapping[str, bytes], *, is_html: bool) -> list[Operation]:
    """What the clients of a window get when another takes its place; `is_html` as in `slid`.

    Some neighbours that are listed in the same order before and after stay where they are; the others are placed before
    or behind them. Those stay by which the fewest rows are sent.
    """
    stay = _staying(before, after)
    return [Operation("delete", key, None) for key in before if key not in after] + [
        Operation("update" if key in before else "insert", key, value, place not in stay, place < stay.start)
        for place, (key, value) in enumerate(after.items())
        if before.get(key) != value or (is_html and place not in stay)
    ]


def _staying(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> range:
    """The places in `after` of those that stay."""
    places = {key: place for place, key in enumerate(before)}
    stay = range(0)
    unchanged = most_unchanged = start = 0
    last = -1
    for place, (key, value) in enumerate(after.items()):
        was = places.get(key, -1)
        if was < 0:
            start, unchanged, last = place + 1, 0, -1
            continue
        if was < last:
            start, unchanged = place, 0
        last = was
        unchanged += before[key] == value
        if (unchanged, place + 1 - start) > (most_unchanged, len(stay)):
            stay, most_unchanged = range(start, place + 1), unchanged
    return stay
