"""What a test reaches for: those that start a process are marked `server`, so that `make quick` can leave them out.

Nobody has to remember the mark. A test gets it when its code, that of its fixtures, or what they call of the tests'
own code, names something of the files that start processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

__all__ = ["starts_a_process"]

STARTERS = ("tests.servers", "tests.services", "tests.brokers", "playwright", "subprocess", "multiprocessing")


def starts_a_process(test: pytest.Function) -> bool:
    """Whether the test or one of its fixtures reaches something that starts a server, a browser or a program."""
    definitions = [fixture for found in test._fixtureinfo.name2fixturedefs.values() for fixture in found]
    seen: set[int] = set()
    codes = [test.function, *(getattr(fixture.func, "__func__", fixture.func) for fixture in definitions)]
    group = test.cls
    used = {name for code in codes if group and isinstance(code, FunctionType) for name in code.__code__.co_names}
    methods = [getattr(found, "__func__", found) for name in used if (found := getattr(group, name, None))]
    return any(_reaches(value, seen) for value in [*codes, *methods])


def _reaches(value: Any, seen: set[int]) -> bool:
    if id(value) in seen:
        return False
    seen.add(id(value))
    origin = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    if isinstance(origin, str) and f"{origin}.".startswith(tuple(f"{name}." for name in STARTERS)):
        return True
    if isinstance(value, dict):  # such as the brokers by their kind
        return any(_reaches(item, seen) for item in value.values())
    if not isinstance(origin, str) or not origin.startswith("tests."):
        return False
    if isinstance(value, type):
        return any(_reaches(item, seen) for item in vars(value).values() if isinstance(item, FunctionType))
    if isinstance(value, FunctionType):
        whole = getattr(value, "__wrapped__", value)  # what a decorator wraps
        names = {name for code in _codes(whole.__code__) for name in code.co_names}
        if not names.isdisjoint(STARTERS):  # what it imports itself
            return True
        return any(_reaches(whole.__globals__[name], seen) for name in names & whole.__globals__.keys())
    return False


def _codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code, and that of everything that is defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
