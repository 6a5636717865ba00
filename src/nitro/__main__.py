"""`python -m nitro run app:app`: uvicorn, set up for streams."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import Final

from nitro.errors import ConfigurationError

__all__ = ["main"]

_USAGE: Final = """\
usage: python -m nitro run APP [OPTIONS]

Serves an ASGI application by uvicorn, with direct streams: a connection that stands costs some 4 KiB.
APP is as for uvicorn, such as main:app; so are all options. `python -m nitro run --help` lists them.
"""
_MOST_FILES: Final = 1_000_000
_PROTOCOL: Final = "nitro.uvicorn:HttpProtocol"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (by default those of the process) ask for; returns the exit code."""
    command, *rest = [*(sys.argv[1:] if arguments is None else arguments), ""]
    if command in ("-h", "--help"):
        print(_USAGE, end="")
        return 0
    if command != "run":
        print(_USAGE, end="", file=sys.stderr)
        return 2
    try:
        _run(rest[:-1])
    except ConfigurationError as error:
        print(f"nitro: {error}", file=sys.stderr)
        return 1
    return 0


def _run(arguments: Sequence[str]) -> None:
    """uvicorn's own command. Options that streams want are set unless the caller set them."""
    try:
        from uvicorn.main import main as uvicorn
    except ImportError as error:
        raise ConfigurationError("uvicorn is not installed: pip install 'nitro-realtime[fastapi]'") from error
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limit, and macOS one of its own
        _raise_limit_of_files()
    default = {"http": _PROTOCOL}
    uvicorn.main(list(arguments), "python -m nitro run", auto_envvar_prefix="UVICORN", default_map=default)


def _raise_limit_of_files() -> None:
    """Each stream is an open file, and shells allow 1,024."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, _MOST_FILES) if most > 0 else _MOST_FILES, most))


if __name__ == "__main__":
    sys.exit(main())
