"""What a lane knows about the rows of one live query; with a limit, its window, and how that slides.

Kept by the lane's live queries, for queries whose rows are read, or are a window.
"""

from __future__ import annotations

from collections.abc import Iterable
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
        window: with a limit, the rows that the clients have, by key; None before they are read.
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


def slid(window: dict[str, bytes], operations: Iterable[Operation], limit: int) -> list[Operation] | None:
    """What the clients of a window get; changes it. None: its edge changes, and the database alone knows how."""
    given: list[Operation] = []
    for each in operations:
        is_full = len(window) >= limit
        has = each.key in window
        if is_full and ((has and each.value is None) or each.is_moved or (each.kind == "insert" and not has)):
            return None
        if each.value is None:
            if window.pop(each.key, None) is not None:
                given.append(each)
        elif has:
            if window[each.key] != each.value:
                window[each.key] = each.value
                given.append(each._replace(kind="update"))
        elif not is_full:
            window[each.key] = each.value
            given.append(each._replace(kind="insert"))
    return given


def difference(before: dict[str, bytes], after: dict[str, bytes]) -> list[Operation]:
    """What the clients of a window get when another takes its place."""
    gone = [Operation("delete", key, None) for key in before if key not in after]
    were, are = [key for key in before if key in after], [key for key in after if key in before]
    moved = {key for key, other in zip(are, were, strict=True) if key != other}
    return gone + [
        Operation("update" if key in before else "insert", key, value, key in moved)
        for key, value in after.items()
        if before.get(key) != value
    ]
