"""Paths: which stream a URL names, within the mount of the application.

Fed by ASGI scopes and by the header of forks; feeds authorization and the keys of streams.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote

from starlette.requests import Request
from starlette.types import Scope

from nitro.errors import NitroError

__all__ = ["InvalidRequest", "UnknownSource", "source_of", "stream_of", "url_of"]

MAX_PATH_CHARACTERS: Final = 1_000
_MAX_PATH_BYTES: Final = 2_000
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?", re.ASCII)
_RESERVED: Final = "__ds"
"""The first part of paths that the protocol keeps for its own."""


class InvalidRequest(NitroError, ValueError):
    """A path, header, query or body that can't be; the text names it."""


class UnknownSource(NitroError):
    """The stream to fork from is none of this application's."""


def stream_of(scope: Scope) -> str:
    """The path of the stream within the mount, percent-decoded, as its server has done it.

    Raises:
        InvalidRequest: it is no path of a stream.
    """
    path = _within(scope, scope["path"])
    if path is None:
        root = scope.get("root_path", "")
        raise InvalidRequest(f"{scope['path']!r:.200} is outside of {root!r:.200}, where streams are mounted")
    return _checked(path)


def source_of(scope: Scope, url_path: str) -> str | None:
    """The same of the path of another stream's URL; None if that is outside of the mount."""
    path = _within(scope, unquote(url_path))
    return None if path is None else _checked(path)


def url_of(request: Request) -> str:
    """The URL of the stream, as the client has called it; without its host, if it named none that can be."""
    scope = request.scope
    is_whole = scope["path"].startswith(f"{scope.get('root_path', '')}/")
    host, path = request.headers.get("host", ""), quote(scope["path"] if is_whole else _root(scope) + scope["path"])
    return f"{request.scope.get('scheme', 'http')}://{host}{path}" if _HOST.fullmatch(host) is not None else path


def _within(scope: Scope, path: str) -> str | None:
    """The path behind the mount; None if it is outside.

    Where a proxy has cut off the application's `root_path`, and the server hasn't put it back, as with
    `FastAPI(root_path=…)`, the path begins at the application.
    """
    whole: str = scope.get("root_path", "")
    for mount in (whole, whole.removeprefix(_root(scope))):
        if path.startswith(f"{mount}/"):
            return path[len(mount) + 1 :]
    return None


def _root(scope: Scope) -> str:
    """Where the outermost application is; mounts add their paths to `root_path`."""
    return scope.get("app_root_path", scope.get("root_path", ""))  # type: ignore[no-any-return]


def _checked(path: str) -> str:
    if len(path) > MAX_PATH_CHARACTERS:
        raise InvalidRequest(f"the path has {len(path):,} characters, and may have {MAX_PATH_CHARACTERS:,}")
    parts = path.split("/")
    if "" in parts or "." in parts or ".." in parts:
        raise InvalidRequest("the path of a stream has no empty parts, and none that are '.' or '..'")
    if "\0" in path or "\ufffd" in path or not _is_unicode(path):  # servers decode what isn't UTF-8 to U+FFFD
        raise InvalidRequest("the path of a stream is UTF-8 without NUL, percent-encoded once")
    if len(path.encode()) > _MAX_PATH_BYTES:
        raise InvalidRequest(f"the path has {len(path.encode()):,} bytes of UTF-8, and may have {_MAX_PATH_BYTES:,}")
    if parts[0] == _RESERVED:
        raise InvalidRequest(f"paths that begin with {_RESERVED!r} are reserved: subscriptions are not supported")
    return path


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
