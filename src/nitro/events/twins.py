"""Twins: what a file has declared twice, since it was executed twice.

`python main.py` executes it as `__main__`, and `uvicorn.run("main:app")` in it imports it again, as `main`. Processes
that multiprocessing starts have it as `__mp_main__` before. Asked by `event`, where the newer takes the other's place.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

__all__ = ["are_twin_types", "are_twins"]

_PROGRAM: Final = ("__main__", "__mp_main__")


def are_twins(one: Any, other: Any) -> bool:
    """Whether two functions are the same of one file, of which one is the program's and the other is imported."""
    if (getattr(one, "__module__", None) in _PROGRAM) == (getattr(other, "__module__", None) in _PROGRAM):
        return False
    return _place(one) is not None and _place(one) == _place(other)


def are_twin_types(one: Any, other: Any) -> bool:
    """The same of two types, which may have such classes in them."""
    program = next((each for each in _PROGRAM if f"{each}." in f"{one!r} {other!r}"), "")
    file = _file_of(program)
    imported = [name for name in list(sys.modules) if name not in _PROGRAM and file and _file_of(name) == file]
    return any(
        repr(one).replace(f"{program}.", f"{name}.") == repr(other).replace(f"{program}.", f"{name}.")
        for name in imported
    )


def _place(function: Any) -> tuple[str, str, int] | None:
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    return function.__qualname__, os.path.realpath(code.co_filename), code.co_firstlineno


def _file_of(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    return os.path.realpath(file) if isinstance(file, str) else ""
