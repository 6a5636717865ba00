"""Attributes of a class that give way to a field of the same name in a subclass.

Pydantic takes a parent's attribute for the default of a field that is named like it, and warns; so a base class that
gains a method would break each application that has such a field. These are not seen where fields are collected.
Used by `Entity` for names that are likely to be fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["YieldingProperty", "yielding_method", "yielding_property"]


if TYPE_CHECKING:
    _ClassMethod = classmethod[Any, ..., Any]  # Python's own can't be subscripted
else:
    _ClassMethod = classmethod


class YieldingMethod(_ClassMethod):
    """A classmethod that only a class with a table has, and not while it is being made."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if not hasattr(owner, "__mapper__"):
            raise AttributeError(f"{owner.__name__} has no {self.__name__}(), for it has no table")
        return super().__get__(instance, owner)


class YieldingProperty:
    """A property that its class doesn't show, and that an instance's own value hides."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            raise AttributeError(f"{self._function.__name__} is an attribute of instances")
        return self._function(instance)


if TYPE_CHECKING:
    yielding_method = classmethod
    yielding_property = property
else:
    yielding_method = YieldingMethod
    yielding_property = YieldingProperty
