"""Payloads: serialises the results of events to JSON, and decodes them for readers in Python.

A result is serialised once, in the emitter, so that a failure is raised there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import from_json, to_json, to_jsonable_python

from nitro.errors import InvalidPayload, PayloadTooLarge
from nitro.events.nonfinite import as_python, check_constants, check_nulls, check_value, inspected
from nitro.events.patch_text import frame_of
from nitro.events.unsendable import remedy_for, told_place_of
from nitro.messages.one_line import on_one_line

__all__ = [
    "SURELY_PARSABLE_BYTES",
    "JsonArray",
    "JsonObject",
    "JsonText",
    "check_parsable",
    "decode",
    "encode",
    "field_of",
    "sendable",
]


_DEPTH: Final = 200
"""Maximum nesting that JSON parsers accept. A payload with fewer brackets can't exceed it."""
SURELY_PARSABLE_BYTES: Final = _DEPTH
"""JSON that isn't longer is neither too deep nor has too long a number."""
_DIGITS: Final = 4300
"""Maximum digits of an integer that JSON parsers accept. A payload with fewer digits can't exceed it."""


class _FormatsAsJson:
    """`str()` and f-strings give JSON, so that a decoded value can be sent unchanged."""

    __slots__ = ()
    _plain: type[Any]  # pydantic serialises it twice as fast as its subclass

    def __str__(self) -> str:
        return on_one_line(to_json(self._plain(self))).decode()

    def __format__(self, spec: str) -> str:
        return format(str(self), spec) if spec else str(self)

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The server-sent event that a response sends if it is given the value itself."""
        return f"data: {self}\n\n".encode(encoding, errors)


class JsonObject(_FormatsAsJson, dict[str, Any]):
    """A decoded JSON object: a dict that formats as JSON."""

    __slots__ = ()
    _plain = dict


class JsonArray(_FormatsAsJson, list[Any]):
    """A decoded JSON array: a list that formats as JSON."""

    __slots__ = ()
    _plain = list


class JsonText(str):
    """A decoded text that has line ends.

    Unlike a plain `str`, a response can't mistake its lines for fields of a server-sent event: it sends it as JSON.
    """

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """The server-sent event that a response sends. For the text itself use `bytes(text, "utf-8")`."""
        return f"data: {on_one_line(to_json(self[:])).decode()}\n\n".encode(encoding, errors)


def encode(result: Any, max_bytes: int, topic: str | None = None) -> bytes:
    """`result` as JSON in UTF-8: any value that pydantic can serialise, including entities and models.

    U+0085, U+2028 and U+2029 are escaped, since some SSE parsers treat them as line ends. `topic` is for errors.

    Raises:
        InvalidPayload: it can't be serialised to JSON, or contains NaN or infinity; the text says where.
        PayloadTooLarge: its JSON is longer than `max_bytes`.
    """
    try:
        if type(result) is not dict:
            check_value(result)  # before pydantic uses it up
        payload = to_json(result, inf_nan_mode="constants")
        check_constants(payload)
        lists = payload.count(b"[")
        has_null = payload.find(b"null") >= 0  # faster than `in`
        if has_null or lists or payload.find(b"{}") >= 0:
            has_objects, has_nonfinite = inspected(result, has_null=has_null)
            if has_null and has_objects:  # None, or NaN or infinity in a model
                json.dumps(to_jsonable_python(result, inf_nan_mode="constants"), allow_nan=False)
            if has_nonfinite:
                check_nulls(payload, as_python(result))
        check_parsable(payload, lists)
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error).encode("ascii", "backslashreplace").decode()[:300]
        of = "" if topic is None else f" of {topic!a}"
        raise InvalidPayload(
            f"result{of} ({type(result).__name__}) can't be sent as JSON: {told_place_of(result)}{reason}; "
            f"{remedy_for(result)}"
        ) from error
    return sendable(payload, max_bytes)


def check_parsable(payload: bytes, lists: int) -> None:
    """Raises ValueError if JSON is too deep for parsers of JSON, or has too long a number; `lists` are in it."""
    is_long = len(payload) > _DIGITS and _has_many_digits(payload)
    if is_long or lists + payload.count(b"{") >= _DEPTH:
        from_json(payload)


def sendable(payload: bytes, max_bytes: int) -> bytes:
    """JSON on one line, for every SSE parser.

    Raises:
        PayloadTooLarge: it is longer than `max_bytes`.
    """
    payload = on_one_line(payload)
    if len(payload) > max_bytes:
        raise PayloadTooLarge(
            f"result has {len(payload)} bytes of JSON, limit {max_bytes}; send a reference instead, or raise "
            f"NITRO_MAX_PAYLOAD_BYTES"
        )
    return payload


def field_of(result: Any, name: str) -> str:
    """The value of a field of `result`, a mapping or an object, as text.

    Raises:
        InvalidPayload: it has no such field.
    """
    try:
        return str(result[name] if isinstance(result, Mapping) else getattr(result, name))
    except (KeyError, AttributeError) as error:
        raise InvalidPayload(
            f"result ({type(result).__name__}) has no field {name!r}, which the event's latest_by names"
        ) from error


def decode(payload: bytes) -> Any:
    """The decoded value, a new one at each call; objects and arrays format as JSON. Of a Datastar patch, its frame.

    Objects, arrays and texts with line ends encode themselves as a complete event, in case a response is given them
    unchanged: so emitted data can't inject fields into the stream.
    """
    frame = frame_of(payload)
    if frame is not None:
        return frame.decode()
    value = from_json(payload)
    if isinstance(value, str):
        return JsonText(value) if "\n" in value or "\r" in value else value
    if isinstance(value, dict):
        return JsonObject(value)
    if isinstance(value, list):
        return JsonArray(value)
    return value


def _has_many_digits(payload: bytes) -> bool:
    return len(payload) - len(payload.translate(None, b"0123456789")) > _DIGITS
