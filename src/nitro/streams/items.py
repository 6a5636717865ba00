"""Items: what one append adds, and how those of one tick share a record.

JSON has no raw line ends, so JSON items are one a line. Bytes may hold anything, so their lengths stand before them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from math import isfinite
from typing import Final, NoReturn

from pydantic_core import to_json

from nitro.errors import InvalidPayload

__all__ = ["JSON", "LENGTH_BYTES", "is_json", "joined", "json_items", "media_type", "split"]

JSON: Final = "application/json"
_LENGTH: Final = struct.Struct(">I")
LENGTH_BYTES: Final = _LENGTH.size
"""What stands before each item that is bytes."""
_ESCAPING: Final = json.JSONEncoder(separators=(",", ":"))


def media_type(content_type: str) -> str:
    """The type alone, in lower case: what has to agree."""
    return content_type.partition(";")[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Whether a stream keeps messages, rather than bytes."""
    return media_type(content_type) == JSON


def joined(items: Sequence[bytes], *, as_json: bool) -> bytes:
    """The record of these items."""
    if as_json:
        return b"\n".join(items)
    return b"".join(part for item in items for part in (_LENGTH.pack(len(item)), item))


def split(body: bytes, *, as_json: bool) -> list[bytes]:
    """The items of a record."""
    if as_json:
        return body.split(b"\n")
    items, place = [], 0
    while place < len(body):
        (length,) = _LENGTH.unpack_from(body, place)
        place += _LENGTH.size + length
        items.append(body[place - length : place])
    return items


def json_items(body: bytes) -> list[bytes]:
    """The messages that a JSON body holds: the elements of an array, or the one value.

    Raises:
        InvalidPayload: it is no JSON.
    """
    try:
        value = json.loads(body, parse_constant=_refuse, parse_float=_finite)
        return [_compact(each) for each in (value if isinstance(value, list) else [value])]
    except (ValueError, RecursionError) as error:
        raise InvalidPayload(f"the body is no JSON: {error}") from None


def _compact(value: object) -> bytes:
    try:
        return to_json(value)
    except ValueError:  # very deep, or with half of a pair of surrogates, which JSON can hold and UTF-8 can't
        return _ESCAPING.encode(value).encode()


def _finite(number: str) -> float:
    value = float(number)
    return value if isfinite(value) else _refuse(number)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a value of JSON that can be kept")
