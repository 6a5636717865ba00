"""Attributes of a class that a subclass may override by a field of the same name.

Pydantic takes a parent's attribute as the default of a field with its name, and warns; so a new method in a base class
would break applications that have such a field. The attributes here are hidden from pydantic's collection of fields.
`Entity` uses them for names that are likely to be fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["YieldingProperty", "yielding_method", "yielding_property"]


if TYPE_CHECKING:
    _ClassMethod = classmethod[Any, ..., Any]  # Python's own can't be subscripted
else:
    _ClassMethod = classmethod


class YieldingMethod(_ClassMethod):
    """A classmethod that exists only on classes with a table, once they are mapped."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if not hasattr(owner, "__mapper__"):
            raise AttributeError(f"{owner.__name__} has no {self.__name__}(), for it has no table")
        return super().__get__(instance, owner)


class YieldingProperty:
    """A property that is invisible on its class, and hidden by a value of the instance."""

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
