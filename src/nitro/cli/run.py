"""`nitro run`: uvicorn, set up for streams. Needs uvicorn, and nothing of the other commands."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from nitro.errors import ConfigurationError

__all__ = ["raise_limit_of_files", "serve"]

_MOST_FILES: Final = 1_000_000
_HUB_STOPS_WITHIN: Final = 10
"""Seconds; without a limit, a client that has sent half a request could keep uvicorn from ending."""
_KEEPS_IDLE: Final = 75
"""Seconds; longer than a proxy keeps a connection, else one that uvicorn closes may just have been given a request."""
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
    raise_limit_of_files()
    default: dict[str, object] = {"http": _PROTOCOL, "timeout_keep_alive": _KEEPS_IDLE}
    if extra == "serve":  # its requests are short but for streams, which end by themselves
        default |= {"timeout_graceful_shutdown": _HUB_STOPS_WITHIN, "ws": "none"}  # nor does it speak WebSocket
    uvicorn.main(list(arguments), program, auto_envvar_prefix="UVICORN", default_map=default)


def raise_limit_of_files() -> int:
    """Each stream is an open file, and shells allow 1,024. Returns what is allowed from now on."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return _MOST_FILES
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS has one of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, _MOST_FILES) if most > 0 else _MOST_FILES, most))
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return allowed if allowed > 0 else _MOST_FILES
