"""A program that is run to its end; what it said is told if it failed."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["CommandFailed", "run"]


class CommandFailed(Exception):
    """It ended with another exit code than 0; the text has the last lines that it said."""


def run(*command: str | Path, cwd: Path | None = None, seconds: float = 600) -> str:
    """Run a program; what it wrote to standard output.

    Raises:
        CommandFailed: it failed, or took longer than `seconds`.
    """
    words = " ".join(str(word) for word in command)
    try:
        ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{words}\ntook longer than {seconds} s") from error
    if ended.returncode:
        said = (ended.stdout + ended.stderr).splitlines()[-40:]
        raise CommandFailed("\n".join([words, f"ended with {ended.returncode}", *said]))
    return ended.stdout
