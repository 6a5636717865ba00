"""The place in an application's code that a warning is about: the first frame outside of Nitro and of asyncio."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

from nitro.errors import NitroWarning

__all__ = ["place_of_caller", "warn_caller"]


def place_of_caller() -> tuple[str, int]:
    """Its file and line."""
    frame, _ = _caller()
    return ("", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)


def warn_caller(text: str) -> None:
    """Warn there; Python tells each text once for each place.

    Raises:
        NitroWarning: where the application has made errors of warnings.
    """
    warnings.warn(text, NitroWarning, stacklevel=_caller()[1])


def _caller() -> tuple[FrameType | None, int]:
    """The frame, and how far up it is, as `warnings.warn` counts in the function that calls this one."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("nitro", "asyncio"):
        frame, level = frame.f_back, level + 1
    return frame, level
