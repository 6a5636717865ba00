"""Restarts: the functions that start a run again whose producer has died."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from typing import Any, Final, TypeAlias, TypeVar

from nitro.errors import ConfigurationError
from nitro.runs.run import Run

__all__ = ["Restart", "name_of", "restartable", "restarter"]

Restart: TypeAlias = Callable[[Run, list[Any]], AsyncIterable[Any]]
"""Is given the run and the items that it has already, and goes on behind them."""
F = TypeVar("F", bound=Callable[..., Any])

_restarts: Final[dict[str, Callable[..., Any]]] = {}


def restartable(function: F) -> F:
    """Let a function start runs again, in whichever process finds that their producer has died. A decorator.

    Every worker has to know the function, so it belongs to a module that all of them import.

    Raises:
        ConfigurationError: it is defined within another function, so that other processes don't have it.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    if "<locals>" in name:
        raise ConfigurationError(f"{name} is defined within a function, where no other worker finds it; move it out")
    _restarts[name] = function
    return function


def name_of(function: Callable[..., Any] | None) -> str | None:
    """The name of a restartable function.

    Raises:
        ConfigurationError: it isn't.
    """
    if function is None:
        return None
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
    if _restarts.get(name) is not function:
        raise ConfigurationError(
            f"restart= takes a function that every worker knows: write @nitro.runs.restartable above {function!r:.80}"
        )
    return name


def restarter(name: str | None) -> Callable[..., Any] | None:
    """The function of that name; None if this process doesn't know it."""
    return None if name is None else _restarts.get(name)
