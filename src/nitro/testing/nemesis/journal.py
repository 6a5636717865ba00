"""The journals of a run: what producers tried, what readers heard, and which faults there were, each in its file.

Fed by the processes of the run while it lasts; feeds the judge, then or later. A line is a JSON list that begins with
what happened and when, in seconds of the one monotonic clock of the machine.
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
    """A file that lines are added to, each with one write, so that who is killed leaves whole ones but the last."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)

    def write(self, what: str, *more: Any, at: float | None = None) -> None:
        """Add `[what, at, *more]`; `at` is now unless it is given."""
        line = json.dumps([what, time.monotonic() if at is None else at, *more], separators=(",", ":"))
        os.write(self._file, f"{line}\n".encode())

    def close(self) -> None:
        os.close(self._file)


def read(path: Path) -> Iterator[list[Any]]:
    """The lines of a journal; a last one that was cut off is left out."""
    with path.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)
