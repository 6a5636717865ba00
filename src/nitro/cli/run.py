"""`nitro run`: uvicorn, set up for streams. Needs uvicorn, and nothing of the other commands."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from nitro.errors import ConfigurationError

__all__ = ["serve"]

_MOST_FILES: Final = 1_000_000
_PROTOCOL: Final = "nitro.uvicorn:HttpProtocol"


def serve(arguments: Sequence[str], program: str = "nitro run", extra: str = "fastapi") -> None:
    """uvicorn's own command. Options that streams want are set unless the caller set them.

    Args:
        program: how the command is called in its own texts.
        extra: of Nitro's, which brings uvicorn.
    """
    try:
        from uvicorn.main import main as uvicorn
    except ImportError as error:
        raise ConfigurationError(f"uvicorn is not installed: pip install 'nitro-realtime[{extra}]'") from error
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limit, and macOS one of its own
        _raise_limit_of_files()
    default = {"http": _PROTOCOL}
    uvicorn.main(list(arguments), program, auto_envvar_prefix="UVICORN", default_map=default)


def _raise_limit_of_files() -> None:
    """Each stream is an open file, and shells allow 1,024."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, _MOST_FILES) if most > 0 else _MOST_FILES, most))
