"""The row codec: how changed rows travel in the log, so that every process has their values as they were.

JSON's own values travel as they are; others in an array of their type's name and their text, also within lists and
dicts. Values that clients don't get stay on the server, and so don't travel either.
"""

from __future__ import annotations

import logging
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, Final, NamedTuple
from uuid import UUID

from nitro.delivery.query import QueryUndecided, RowChange
from nitro.messages.row_changes import PackedRow, RowChanges

__all__ = ["ChangedRow", "Row", "decoded", "is_same", "payloads_of"]

log: Final = logging.getLogger("nitro.live")

Row = tuple[Any, ...]
"""The values of all columns of a row, in the order of `LiveTable.names`."""

_PLAIN: Final = frozenset({type(None), bool, int, str})
_LEAVES: Final = _PLAIN | {float}
_TEXT: Final = frozenset({str})
_PACKED: Final[dict[type[Any], tuple[str, Callable[[Any], Any]]]] = {
    Decimal: ("decimal", str),
    datetime: ("datetime", datetime.isoformat),
    date: ("date", date.isoformat),
    time: ("time", time.isoformat),
    timedelta: ("seconds", lambda value: [value.days, value.seconds, value.microseconds]),
    UUID: ("uuid", str),
    bytes: ("bytes", lambda value: b64encode(value).decode()),
}
_UNPACKED: Final[dict[str, Callable[[Any], Any]]] = {
    "float": float,
    "decimal": Decimal,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "seconds": lambda parts: timedelta(*parts),
    "uuid": UUID,
    "bytes": b64decode,
    "json": lambda value: value,
}


class ChangedRow(NamedTuple):
    """A row that a transaction has changed.

    Attributes:
        sender: its key, as text.
        before: its values before; None if it was created.
        after: its values now; None if it was deleted.
        is_before_known: False if nobody knows what it was.
    """

    sender: str
    before: Row | None
    after: Row | None
    is_before_known: bool = True


def payloads_of(
    topic: str, columns: Mapping[str, int], rows: Sequence[ChangedRow] | None, max_bytes: int
) -> Iterator[bytes]:
    """The messages that tell of changed rows: one, unless that would be too large.

    Args:
        topic: that of the class.
        columns: the attributes that clients may get, and the place of each in a row.
        rows: None if they have to be read again; so they have, if one is too large, or has a value that can't travel.
    """
    everything = RowChanges(topic, [], None).payload
    packed = None if rows is None else _all_packed(topic, rows, list(columns.values()))
    if rows is None or packed is None:
        yield everything
    elif packed:
        payload = RowChanges(topic, list(columns), packed).payload
        if len(payload) <= max_bytes:
            yield payload
        elif len(packed) == 1:
            yield everything
        else:
            middle = len(rows) // 2
            yield from payloads_of(topic, columns, rows[:middle], max_bytes)
            yield from payloads_of(topic, columns, rows[middle:], max_bytes)


def _all_packed(topic: str, rows: Sequence[ChangedRow], places: Sequence[int]) -> list[PackedRow] | None:
    """The rows of which something has changed that clients get; None if a value can't travel."""
    try:
        return [each for row in rows if (each := _packed(row, places)) is not None]
    except TypeError as error:
        _warn_once(topic, str(error))
        return None


def _packed(row: ChangedRow, places: Sequence[int]) -> PackedRow | None:
    """None if nothing has changed that clients get; of what has, only the values before that differ."""
    after = None if row.after is None else [pack(row.after[place]) for place in places]
    before: Any = None
    if row.before is not None and row.after is not None:
        pairs = [(row.before[place], row.after[place]) for place in places]
        before = {str(place): pack(old) for place, (old, new) in enumerate(pairs) if not is_same(old, new)}
        if not before:
            return None
    elif row.before is not None:
        before = [pack(row.before[place]) for place in places]
    elif after is None and row.is_before_known:
        return None
    return PackedRow(row.sender, before, after, row.is_before_known)


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are equal and look the same: 1, 1.0 and True are equal, and so are 2.5 and 2.50. Those that
    don't say whether they are equal are not the same.
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    try:
        is_equal = bool(one == other)
    except ValueError:  # of arrays of NumPy, as vectors are read, which are compared item by item
        return False
    return is_equal and (not isinstance(one, Decimal) or one.as_tuple() == other.as_tuple())


def decoded(changes: RowChanges, enums: Mapping[str, type[Enum]]) -> list[RowChange]:
    """The changed rows, by attribute. `enums`: the classes of the columns that have one.

    Raises:
        QueryUndecided: another version of the application has written what can't be read here.
    """
    classes = [enums.get(name) for name in changes.columns]

    def values(packed: Sequence[Any] | None) -> dict[str, Any] | None:
        if packed is None:
            return None
        return dict(zip(changes.columns, map(unpack, packed, classes), strict=True))

    try:
        return [
            RowChange(each.key, values(changes.before(each)), values(each.after), is_before_known=each.is_before_known)
            for each in changes.rows or ()
        ]
    except (ValueError, TypeError, LookupError, ArithmeticError) as error:
        raise QueryUndecided from error


@cache
def _warn_once(topic: str, why: str) -> None:
    log.warning("each change of %r lets live queries read all their rows again, since %s; exclude it", topic, why)


def pack(value: Any) -> Any:
    """`value` as JSON has it.

    Raises:
        TypeError: it is of another type.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is float:
        return value if math.isfinite(value) else ["float", str(value)]
    if isinstance(value, Enum):
        return ["enum", value.name]
    if isinstance(value, list | dict):
        return _packed_items(value)
    for base in kind.__mro__:  # a driver may have a class of its own for a UUID
        if base in _PACKED:
            name, packed = _PACKED[base]
            return [name, packed(value)]
    raise TypeError(f"{kind.__name__} can't travel in the log")


def _packed_items(value: list[Any] | dict[Any, Any]) -> list[Any]:
    if _is_json(value):
        return ["json", value]
    if isinstance(value, list):
        return ["list", [pack(each) for each in value]]
    if _TEXT.issuperset(map(type, value)):
        return ["dict", {key: pack(each) for key, each in value.items()}]
    raise TypeError("a dict with keys that are no text can't travel in the log")


def _is_json(value: Any) -> bool:
    """Whether a list or dict has nothing that JSON gives back as something else."""
    items: Collection[Any] = value
    if isinstance(value, dict):
        if not _TEXT.issuperset(map(type, value)):
            return False
        items = value.values()
    elif not isinstance(value, list):
        return type(value) in _LEAVES
    return _LEAVES.issuperset(map(type, items)) or all(map(_is_json, items))


def unpack(packed: Any, enum: type[Enum] | None = None) -> Any:
    """The value that was packed. `enum`: the class that its column has, or the items of its column.

    Raises:
        ValueError, TypeError, LookupError: nobody packs it so, or another version of the application did.
    """
    if not isinstance(packed, list):
        return packed
    name, value = packed
    if name == "enum":
        if enum is None:
            raise TypeError("its column has no enum")
        return enum[value]
    if name == "list":
        return [unpack(each, enum) for each in value]
    if name == "dict":
        return {key: unpack(value[key], enum) for key in value}
    return _UNPACKED[name](value)
