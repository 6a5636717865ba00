"""Doubtful Nones: finds a None that may stand where a schema has none, before the schema itself is asked.

Called by `schema`. Pydantic's serializers write None as `null` wherever it is, and say nothing: also in a field that
was changed after its validation, or never validated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from types import NoneType
from typing import Any, Final, get_args

__all__ = ["has_doubtful_none"]

_SCALARS: Final = frozenset({str, int, bool, float, NoneType})
_CONTAINERS: Final = (dict, list, tuple, set, frozenset, deque)


def has_doubtful_none(value: Any) -> bool:
    """Whether None is in a list, in a dict, or in a field of a model or dataclass that isn't seen to be optional."""
    rest = [value]
    while rest:
        value = rest.pop()
        inner: Iterable[Any]
        if isinstance(value, _CONTAINERS):
            inner = value.values() if isinstance(value, dict) else value
            if NoneType in map(type, inner):
                return True
        else:
            kind: Any = type(value)
            names, never_none = _fields_of(kind)
            held = getattr(value, "__dict__", None)
            if held is None:  # of a dataclass with slots
                held = {name: getattr(value, name, ...) for name in names}
            for name in never_none:
                if held.get(name, ...) is None:
                    return True
            inner = held.values() if names else ()
        if not _SCALARS.issuperset(map(type, inner)):
            rest += [each for each in inner if type(each) not in _SCALARS]
    return False


@lru_cache(1024)
def _fields_of(kind: type[Any]) -> tuple[list[str], list[str]]:
    """The fields of a model or a dataclass, and those of them that aren't seen to be optional."""
    fields: dict[str, Any] = getattr(kind, "__pydantic_fields__", None) or getattr(kind, "__dataclass_fields__", {})
    optional = {name for name, field in fields.items() if _may_be_none(getattr(field, "annotation", None))}
    return list(fields), [name for name in fields if name not in optional]


def _may_be_none(annotation: Any) -> bool:
    return annotation is Any or NoneType in get_args(annotation)
