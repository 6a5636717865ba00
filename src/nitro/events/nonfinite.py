"""Non-finite numbers: finds NaN and the infinities, which JSON doesn't have, in a result and in its JSON.

Called by `payload`, `schema` and `unsendable`. Pydantic writes such a number as a constant (`NaN`) or as `null`, which
nobody could tell from None. On the way through a result it also meets what pydantic would write as what it is not:
generators and open files, and rows that a commit has expired.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable
from io import IOBase
from typing import Any, Final, NoReturn

from pydantic_core import SchemaSerializer, from_json
from pydantic_core.core_schema import any_schema

__all__ = ["as_python", "check_constants", "check_nulls", "check_value", "inspected"]

_OTHER_SCALARS: Final = frozenset({str, int, bool, type(None)})
_SCALARS: Final = _OTHER_SCALARS | {float}
_LISTS: Final = (list, tuple, set, frozenset, deque)

as_python: Final = SchemaSerializer(any_schema()).to_python
"""A result with dicts in place of its models and dataclasses, and every number in it as it is."""


def check_constants(payload: bytes) -> None:
    """Raises ValueError if JSON has NaN or an infinity as a constant."""
    find = payload.find  # faster than `in`
    if find(b"NaN") >= 0 or find(b"Infinity") >= 0:  # a number, or only inside a string?
        json.loads(payload, parse_constant=_refuse_constant)


def check_value(value: Any) -> None:
    """Raises TypeError for an open file or another iterator: pydantic would read it to its end, and handlers would find
    nothing in it.
    """
    if hasattr(type(value), "__next__"):
        is_file = isinstance(value, IOBase)
        raise TypeError("an open file is no value" if is_file else "an iterator can be read once: pass a list of it")


def check_nulls(payload: bytes, dumped: Any) -> None:
    """Raises ValueError if JSON has null where `dumped`, the same in Python, has NaN or an infinity."""
    rest = [(dumped, from_json(payload))]
    while rest:
        value, written = rest.pop()
        if written is None:
            if isinstance(value, float) and not math.isfinite(value):
                _refuse_constant(str(value))
        elif isinstance(value, dict) and isinstance(written, dict):
            rest.extend(zip(value.values(), written.values(), strict=False))
        elif isinstance(value, _LISTS) and isinstance(written, list):
            rest.extend(zip(value, written, strict=False))


def inspected(result: Any, *, is_inside: bool = False, has_null: bool = True) -> tuple[bool, bool]:
    """Whether `result` contains anything but plain JSON types, such as a model; and whether inside of that is a float
    that is NaN or infinity. `is_inside`: all of `result` counts as inside. Without `has_null` in its JSON it has none.

    Raises:
        TypeError: as `check_value`, of any value in it.
        ValueError: it contains a row that a commit has expired, of which pydantic would write nothing.
    """
    if isinstance(result, float):
        return False, is_inside and not math.isfinite(result)
    has_objects = has_nonfinite = False
    seen: set[int] = set()
    rest = [result]
    while rest:
        value = rest.pop()
        kind = type(value)
        if kind in _SCALARS or id(value) in seen:
            continue
        seen.add(id(value))
        inner: Iterable[Any]
        if kind is dict or isinstance(value, dict):
            inner = value.values()
        elif kind is list or isinstance(value, _LISTS):
            inner = value
        else:
            check_value(value)
            has_objects = is_inside = True
            inner = _fields_of(value, kind)
        if not _SCALARS.issuperset(map(type, inner)):
            rest.extend(inner)
        if has_null and is_inside and not has_nonfinite and not _OTHER_SCALARS.issuperset(map(type, inner)):
            has_nonfinite = any(isinstance(each, float) and not math.isfinite(each) for each in inner)
    return has_objects, has_nonfinite


def _fields_of(value: Any, kind: type[Any]) -> Iterable[Any]:
    """The values in a model or a dataclass: nothing else has any that pydantic writes."""
    if not hasattr(kind, "__pydantic_fields__"):
        return [getattr(value, name, None) for name in getattr(kind, "__dataclass_fields__", ())]
    held = value.__dict__
    state = held.get("_sa_instance_state")
    if state is not None and state.expired:  # SQLAlchemy reads all of it again before anything of it is used
        raise ValueError(
            f"{kind.__name__} has no values; a commit has expired it: call session.refresh() on it first, or emit "
            f"before the commit"
        )
    fields = [held[name] for name in kind.__pydantic_fields__ if name in held]
    extra = getattr(value, "__pydantic_extra__", None)
    return [*fields, *extra.values()] if extra else fields


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
