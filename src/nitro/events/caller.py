"""The caller in the application's code that a warning points to: the first frame outside Nitro and asyncio."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

from nitro.errors import NitroWarning

__all__ = ["place_of_caller", "warn_caller"]


def place_of_caller() -> tuple[str, int]:
    """The caller's file name and line number."""
    frame, _ = _caller()
    return ("", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def warn_caller(text: str) -> None:
    """Issue a NitroWarning at the caller's line; by default Python shows each text once for each line.

    Raises:
        NitroWarning: the application turns warnings into errors.
    """
    warnings.warn(text, NitroWarning, stacklevel=_caller()[1])


def _caller() -> tuple[FrameType | None, int]:
    """The caller's frame, and its `stacklevel` for a `warnings.warn` in the function that calls this one."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("nitro", "asyncio"):
        frame, level = frame.f_back, level + 1
    return frame, level
