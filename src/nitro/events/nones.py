"""Doubtful Nones: finds a None that may stand where a schema has none, before the schema itself is asked.

Called by `schema`. Pydantic's serializers write None as `null` wherever it is, and say nothing: also in a field that
was changed after its validation, or never validated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from types import NoneType
from typing import Any, Final, NamedTuple, get_args

__all__ = ["has_doubtful_none", "is_none_at"]

_SCALARS: Final = frozenset({str, int, bool, float, NoneType})
_CONTAINERS: Final = (dict, list, tuple, set, frozenset, deque)


class _Fields(NamedTuple):
    """What is sent of a model or a dataclass.

    Attributes:
        names: its fields, except those with `exclude=True`.
        never_none: those of them that aren't seen to be optional.
        by_key: the same as `names`, by the keys of their places in pydantic's errors.
    """

    names: list[str]
    never_none: list[str]
    by_key: dict[str | int, str]


def has_doubtful_none(value: Any) -> bool:
    """Whether None is in a list, in a dict, or in a field of a model or dataclass that isn't seen to be optional."""
    rest = [value]
    seen: set[int] = set()
    while rest:
        value = rest.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        inner: Iterable[Any]
        if isinstance(value, _CONTAINERS):
            inner = value.values() if isinstance(value, dict) else value
            if NoneType in map(type, inner):
                return True
        else:
            kind: Any = type(value)
            fields = _fields_of(kind)
            held = _held_by(value, fields)
            for name in fields.never_none:
                if held.get(name, ...) is None:
                    return True
            inner = [held.get(name) for name in fields.names]
        if not _SCALARS.issuperset(map(type, inner)):
            rest += [each for each in inner if type(each) not in _SCALARS]
    return False


def is_none_at(value: Any, place: Sequence[str | int]) -> bool:
    """Whether it is a doubtful None that `value` has at a place of an error of pydantic's. Where that leads through a
    union, only if it is the error of the model that is there: what the union's other types miss there is no fault.
    """
    for key in place:
        if value is None:  # the rest are types of a union, none of which it is
            break
        if isinstance(value, dict):
            value = next((each for name, each in value.items() if str(name) == key), ...)
        elif isinstance(value, _CONTAINERS):
            value = next((each for index, each in enumerate(value) if index == key), ...)
        else:
            kind: Any = type(value)
            fields = _fields_of(kind)
            held = _held_by(value, fields)
            name = fields.by_key.get(key)
            if name is not None:
                value = held.get(name, ...)
                if value is None and name not in fields.never_none:
                    return False
            elif key != kind.__name__ and key not in [each for each in held.values() if isinstance(each, str)]:
                return False  # neither its name nor its tag in a union
    return value is None


def _held_by(value: Any, fields: _Fields) -> dict[str, Any]:
    held: dict[str, Any] | None = getattr(value, "__dict__", None)
    if held is None:  # of a dataclass with slots
        held = {name: getattr(value, name, ...) for name in fields.names}
    return held


@lru_cache(1024)
def _fields_of(kind: type[Any]) -> _Fields:
    fields: dict[str, Any] = getattr(kind, "__pydantic_fields__", None) or getattr(kind, "__dataclass_fields__", {})
    sent = {name: field for name, field in fields.items() if getattr(field, "exclude", None) is not True}
    aliases = {name: getattr(field, "validation_alias", None) for name, field in sent.items()}
    return _Fields(
        list(sent),
        [name for name, field in sent.items() if not _may_be_none(getattr(field, "annotation", None))],
        {alias if isinstance(alias, str) else name: name for name, alias in aliases.items()},
    )


def _may_be_none(annotation: Any) -> bool:
    return annotation is Any or NoneType in get_args(annotation)
