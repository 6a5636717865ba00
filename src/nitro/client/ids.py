"""Event ids, compared as text, as the browser client compares them (`js/src/position.ts`). Pure.

An id is `<epoch>-<sequence>`, in a shared log with a stamp of constant length behind it. A live query's rows have ids
of no log, which begin with `snapshot-`: whoever resumes from there gets all rows again. The id of a run's item is a
place in this run, and sorts as text.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_known", "is_known_item", "is_one_log"]

_ROWS: Final = "snapshot-"
_ITEM: Final = re.compile(r"[0-9a-f]{14}(\.[0-9a-f]{6})?", re.ASCII)


def is_known(id: str, last: str) -> bool:
    """Whether somebody who stands at `last` has had what is at `id`. A number with more digits is larger."""
    return _epoch(id) == _epoch(last) and not id.startswith(_ROWS) and (len(id), id) <= (len(last), last)


def is_known_item(id: str, last: str) -> bool:
    """The same for items of a run. Ids of another form can't be compared: such an item counts as new."""
    return id <= last and _ITEM.fullmatch(id) is not None and _ITEM.fullmatch(last) is not None


def is_one_log(one: str, other: str) -> bool:
    """Whether both ids are of one log, or may be."""
    return _epoch(one) == _epoch(other) or one.startswith(_ROWS) or other.startswith(_ROWS)


def _epoch(id: str) -> str:
    return id[: id.find("-") + 1]
