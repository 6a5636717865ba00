"""Twins: what a file has declared twice, since it was executed twice.

`python main.py` executes it as `__main__`, and `uvicorn.run("main:app")` in it imports it again, as `main`. Processes
that multiprocessing starts have it as `__mp_main__` before. Asked by `event`, where the newer takes the other's place.
"""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any, Final

__all__ = ["are_twin_types", "are_twins"]

_PROGRAM: Final = ("__main__", "__mp_main__")


def are_twins(one: Any, other: Any) -> bool:
    """Whether two functions are the same of one file, of which one is the program's and the other is imported. Of
    functions with decorators that `functools.wraps` made, what is within them is compared.
    """
    modules = getattr(one, "__module__", None), getattr(other, "__module__", None)
    if (modules[0] in _PROGRAM) == (modules[1] in _PROGRAM) or not _are_one_file(*modules):
        return False
    places = _place(one), _place(other)
    return places[0] is not None and places[0] == places[1]


def are_twin_types(one: Any, other: Any) -> bool:
    """The same of two types, which may have such classes in them."""
    texts = repr(one), repr(other)
    named = [[program for program in _PROGRAM if f"{program}." in text] for text in texts]
    if bool(named[0]) == bool(named[1]):
        return False
    (program, *_), held, imported = (named[0], *texts) if named[0] else (named[1], *texts[::-1])
    return any(
        held.replace(f"{program}.", f"{name}.") == imported
        for name in list(sys.modules)
        if f"{name}." in imported and _are_one_file(program, name)
    )


def _place(function: Any) -> tuple[str, str, int] | None:
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    return function.__qualname__, os.path.realpath(code.co_filename), code.co_firstlineno


def _are_one_file(*modules: Any) -> bool:
    files: list[Any] = [getattr(sys.modules.get(module), "__file__", None) for module in modules]
    return None not in files and len({os.path.realpath(file) for file in files}) == 1
