"""`nitro skill`: what coding agents have to know of Nitro, out of the wheel. Needs nothing of the other commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.resources import files
from os.path import expanduser
from pathlib import Path
from typing import Final

from nitro.cli.pipe import drop_output

__all__ = ["run"]

_NAME: Final = "nitro-realtime"
"""Of the skill, and so of its directory, as the format of agent skills demands."""
_WRONG: Final = 2


def _text() -> bytes:
    """The skill, as it is in the wheel."""
    return files("nitro").joinpath("skill", "SKILL.md").read_bytes()


def run(arguments: Sequence[str]) -> int:
    """Print the skill, or write it where an agent looks for skills; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="nitro skill",
        description="Print what coding agents have to know of Nitro: a skill in the format of agentskills.io.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--to",
        metavar="DIR",
        type=expanduser,
        help=f"write DIR/{_NAME}/SKILL.md instead; DIR is where your agent looks for skills",
    )
    directory: str | None = parser.parse_args(arguments).to
    return _print() if directory is None else _write(Path(directory, _NAME, "SKILL.md"))


def _print() -> int:
    try:
        sys.stdout.buffer.write(_text())
        sys.stdout.flush()
    except BrokenPipeError:  # of `nitro skill | head`
        drop_output()
    return 0


def _write(file: Path) -> int:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_text())
    except OSError as error:
        print(f"nitro: {file} can't be written: {error.strerror or error}", file=sys.stderr)
        return _WRONG
    print(file)
    return 0
