"""`nitro`, or `python -m nitro`: `run` by uvicorn alone, `skill` by nothing, and the others by typer and rich."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from nitro.cli import skill
from nitro.cli.run import serve
from nitro.errors import ConfigurationError

__all__ = ["main"]

_USAGE: Final = """\
usage: nitro run APP [OPTIONS]

Serves an ASGI application by uvicorn, with direct streams: a connection that stands costs some 4 KiB.
APP is as for uvicorn, such as main:app; so are all options. `nitro run --help` lists them.

`nitro skill` prints what coding agents have to know of Nitro; `nitro skill --to DIR` writes it where yours looks.

The commands tail, emit, log, doctor, bench, types and asyncapi need typer and rich: pip install 'nitro-realtime[cli]'
The command serve, a hub of its own, needs more: pip install 'nitro-realtime[serve]'
"""
"""What is printed where typer or rich is missing."""
_EXTRAS: Final = {
    **dict.fromkeys(("tail", "emit", "log", "doctor", "bench", "types", "asyncapi"), "cli"),
    "serve": "serve",
}
"""The commands that need typer and rich, and the extra that brings all that each needs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (by default those of the process) ask for; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["run"]:
        try:
            serve(given[1:])
        except ConfigurationError as error:
            print(f"nitro: {error}", file=sys.stderr)
            return 1
        return 0
    if given[:1] == ["skill"]:
        return skill.run(given[1:])
    try:
        from nitro.cli.app import run_app
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("typer", "rich", "click"):
            raise
        return _without_typer(given, missing)
    return run_app(given)


def _without_typer(given: list[str], missing: str) -> int:
    command = given[0] if given else ""
    if command in ("-h", "--help"):
        print(_USAGE, end="")
        return 0
    if command in _EXTRAS:
        remedy = f"pip install 'nitro-realtime[{_EXTRAS[command]}]'"
        print(f"nitro: {command} needs the package {missing!r}: {remedy}", file=sys.stderr)
    else:
        print(_USAGE, end="", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
