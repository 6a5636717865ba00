"""Unsendable: where in a result the value is that JSON can't have, and what to pass instead. For the text of an error.

Called by `payload` once a result could not be serialised, so it may take its time; it looks at a bounded number of
values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from itertools import islice
from typing import Any, Final

from pydantic_core import to_json, to_jsonable_python

from nitro.events.nonfinite import as_python, check_constants, check_nulls, inspected

__all__ = ["remedy_for", "told_place_of"]

_WHOLE: Final = "result"
_STATE: Final = "_sa_instance_state"
"""SQLAlchemy's attribute of a row, which is not sent."""
_MAX_INSPECTED: Final = 1_000
"""How many values of a result are looked at for the remedy."""
_MAX_INSIDE: Final = 10_000
"""How many values of one list, dict or model are tried."""
_MAX_DEPTH: Final = 20
"""A place that is deeper is not told: the nesting itself is what is wrong, or the text would help nobody."""
_MAX_CHARS: Final = 50
"""So much is shown of a key."""


def told_place_of(result: Any) -> str:
    """The place of the value that can't be sent and a colon, to stand before the reason; empty if nobody knows it."""
    place = _place_of(result)
    return "" if place == _WHOLE else f"{place}: "


def _place_of(result: Any) -> str:
    """The innermost value that can't be sent, such as `result["lines"][0]["price"]`; just `result` if nobody knows."""
    place, value = _WHOLE, result
    seen = {id(value)}
    for _ in range(_MAX_DEPTH):
        found = next(((step, inner) for step, inner in _inside(value) if not _is_sendable(inner)), None)
        if found is None:
            return place
        step, value = found
        place += step
        if id(value) in seen:  # it contains itself
            return place
        seen.add(id(value))
    return _WHOLE


def remedy_for(result: Any) -> str:
    """What to pass instead: specific if one of the first values in `result` is a model or row of SQLAlchemy's."""
    rest = [result]
    for _ in range(_MAX_INSPECTED):
        if not rest:
            break
        value = rest.pop()
        kind = type(value)
        if hasattr(kind, "__mapper__") and not hasattr(kind, "model_dump"):
            return (
                f"{kind.__name__} is a model of SQLAlchemy's: pass a pydantic model of it (with "
                f"ConfigDict(from_attributes=True), by model_validate), or a dict of its columns "
                f"({{c.key: getattr(row, c.key) for c in sqlalchemy.inspect(row).mapper.column_attrs}}); an Entity is "
                f"passed as it is"
            )
        if hasattr(kind, "_mapping"):
            return f"{kind.__name__} is a row of SQLAlchemy's: pass dict(row._mapping)"
        if isinstance(value, Mapping | list | tuple):
            rest.extend(value.values() if isinstance(value, Mapping) else value)
    return "pass dicts, lists, strings, finite numbers, models or entities"


def _inside(value: Any) -> Iterable[tuple[str, Any]]:
    """The first values that it consists of, each with how Python reads it there."""
    found: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        found = ((f"[{_shown(key)}]", inner) for key, inner in value.items())
    elif isinstance(value, list | tuple):
        found = ((f"[{place}]", inner) for place, inner in enumerate(value))
    elif hasattr(type(value), "model_fields") or is_dataclass(value):
        fields = {**getattr(value, "__dict__", {}), **(getattr(value, "__pydantic_extra__", None) or {})}
        found = ((f".{name}", inner) for name, inner in fields.items() if name != _STATE)
    return islice(found, _MAX_INSIDE)


def _shown(key: Any) -> str:
    return (json.dumps(key) if isinstance(key, str) else ascii(key))[:_MAX_CHARS]


def _is_sendable(value: Any) -> bool:
    try:
        inspected(value)
        payload = to_json(value, inf_nan_mode="constants")
        check_constants(payload)
        json.dumps(to_jsonable_python(value, inf_nan_mode="constants"), allow_nan=False)
        check_nulls(payload, as_python(value))
    except (ValueError, TypeError, RecursionError):
        return False
    return True
