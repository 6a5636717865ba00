"""The journals of a run: what producers emitted, what readers heard, and which faults struck, each in its file.

Written by the run's processes; read by the judge, at the end of the run or later. A line is a JSON list that begins
with what happened and when, in seconds of the machine's monotonic clock.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["Journal", "read"]


class Journal:
    """A file to which lines are appended, each with one write, so that a killed process truncates at most the last."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)

    def write(self, what: str, *more: Any, at: float | None = None) -> None:
        """Append `[what, at, *more]`; `at` defaults to now."""
        line = json.dumps([what, time.monotonic() if at is None else at, *more], separators=(",", ":"))
        os.write(self._file, f"{line}\n".encode())

    def close(self) -> None:
        os.close(self._file)


def read(path: Path) -> Iterator[list[Any]]:
    """The lines of a journal, without a truncated last one."""
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)
