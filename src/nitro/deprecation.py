"""Deprecation: old names that still work, and warn with their new name. Imports nothing of Nitro."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

__all__ = ["renamed"]

F = TypeVar("F", bound=Callable[..., Any])


def renamed(**names: str) -> Callable[[F], F]:
    """Let a function accept keyword arguments by their old names, too: `@renamed(timeout="timeout_seconds")`.

    Its signature, also for type checkers, has the new names alone.

    Warns:
        DeprecationWarning: an old name is used; the text has the new one.

    Raises:
        TypeError: both names are used.
    """

    def decorate(function: F) -> F:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old, new in names.items():
                if old in kwargs:
                    if new in kwargs:
                        raise TypeError(f"{old} is the old name of {new}; leave it out")
                    warnings.warn(f"{old} is called {new} now", DeprecationWarning, stacklevel=2)
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return cast("F", call)

    return decorate
