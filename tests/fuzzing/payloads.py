"""Results of all kinds of Python values: refused, or JSON that every reader of it reads as the same."""

from __future__ import annotations

import json
import struct
from typing import Any

from nitro.brokers import codec
from nitro.errors import InvalidPayload, PayloadTooLarge
from nitro.events.payload import JsonArray, JsonObject, decode, encode
from nitro.messages.message import Position
from tests.fuzzing.standard import read_json
from tests.fuzzing.supply import Supply

_LIMITS = (1 << 20, 1, 20, 300)
_DEEPEST = 12
_PLACE = Position("one", 1)


def payload(data: bytes) -> None:
    """A limit, then a value."""
    supply = Supply(data)
    limit = _LIMITS[supply.below(len(_LIMITS))]
    value = _value(supply, 0)
    try:
        written = encode(value, limit)
    except InvalidPayload as error:
        _check_refusal(error, value, limit)
        return
    assert len(written) <= limit
    expected = _as_read(value)
    _check_same(read_json(written), expected)
    again = decode(written)
    _check_same(again, expected)
    assert decode(written) is not again or not isinstance(again, dict | list), "two readers share a value"
    if isinstance(again, JsonObject | JsonArray):
        _check_same(read_json(str(again).encode()), expected)
        assert f"{again}" == str(again)
    entry = codec.encode("a.b", None, written, None)
    assert codec.decode(entry, _PLACE, limit).payload == written


def _check_refusal(error: InvalidPayload, value: Any, limit: int) -> None:
    assert str(error).isascii()
    if isinstance(error, PayloadTooLarge):
        assert len(encode(value, 1 << 30)) > limit


def _check_same(found: Any, expected: Any) -> None:
    assert json.dumps(found) == json.dumps(expected)


def _value(supply: Supply, depth: int) -> Any:
    kind = supply.below(18 if depth < _DEEPEST else 11)
    match kind:
        case 0 | 1 | 2:
            return (None, True, False)[kind]
        case 3:
            return supply.byte() - 100
        case 4:
            return int.from_bytes(supply.take(supply.below(40)), signed=True)
        case 5:  # longer than what Python reads, at last
            return supply.byte() * 10 ** (supply.byte() * 20)
        case 6:
            return struct.unpack("<d", supply.take(8))[0]
        case 7 | 8:
            return _text(supply)
        case 9:
            return supply.take(supply.below(20))
        case 10:
            return _json(supply.take(supply.byte()))
        case 11 | 12:
            items = [_value(supply, depth + 1) for _ in range(supply.below(6))]
            return items if kind == 11 else tuple(items)
        case 13 | 14:
            return {_text(supply): _value(supply, depth + 1) for _ in range(supply.below(6))}
        case 15:
            return {_key(supply): _value(supply, depth + 1) for _ in range(supply.below(6))}
        case 16:
            value = _value(supply, depth + 1)
            for _ in range(supply.byte()):
                value = [value] if depth & 1 else {"in": value}
            return value
        case _:
            itself: list[Any] = [_value(supply, depth + 1)]
            itself.append(itself)
            return itself


def _text(supply: Supply) -> str:
    found = supply.take(supply.below(40))
    try:
        return found.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return found.decode("latin-1")


def _key(supply: Supply) -> Any:
    return (supply.byte(), True, False, -1, _text(supply))[supply.below(5)]


def _json(written: bytes) -> Any:
    try:
        return json.loads(written)
    except (ValueError, RecursionError):
        return None


def _as_read(value: Any) -> Any:
    match value:
        case dict():
            return {_as_key(key): _as_read(each) for key, each in value.items()}
        case list() | tuple():
            return [_as_read(each) for each in value]
        case bytes():
            return value.decode()
        case _:
            return value


def _as_key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)
