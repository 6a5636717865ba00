"""Deprecation: names that go on working for a while, and say what they are called now. Imports nothing of Nitro."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

__all__ = ["renamed"]

F = TypeVar("F", bound=Callable[..., Any])


def renamed(**names: str) -> Callable[[F], F]:
    """Let a function take keywords by their old names, too: `@renamed(timeout="timeout_seconds")`.

    The function itself knows the new ones alone, and so do type checkers.

    Warns:
        DeprecationWarning: an old name was written; the text has the new one.

    Raises:
        TypeError: both were.
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
