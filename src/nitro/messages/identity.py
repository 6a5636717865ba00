"""Identity: what identifies a sender, a user or a segment of a topic. Pure; imports nothing of Nitro."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias
from uuid import UUID

__all__ = ["HasId", "Identity", "is_identity"]


class HasId(Protocol):
    """An object that has an id: an ORM row, an entity, a user."""

    @property
    def id(self) -> Any: ...


Identity: TypeAlias = str | int | UUID | HasId
"""An id, or an object that has one."""


def is_identity(value: object) -> bool:
    """Whether `value` is an id, or an object that has one. Not None, a bool, an iterable other than a string, a
    callable, or an object with the default `str()`, which is its address in memory.
    """
    value = getattr(value, "id", value)
    if isinstance(value, str):
        return True
    has_text = any(getattr(type(value), name) is not getattr(object, name) for name in ("__str__", "__repr__"))
    return value is not None and has_text and not isinstance(value, bool | Iterable) and not callable(value)
