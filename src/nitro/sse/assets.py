"""The built browser client as an ASGI application: `app.mount("/nitro", nitro.assets)`."""

from __future__ import annotations

import re
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

__all__ = ["Assets", "assets"]

_DIRECTORY: Final = Path(__file__).parents[1] / "static"
_HASHED: Final = re.compile(r"(?P<stem>[\w.]+)\.(?P<hash>[0-9a-f]{12})\.js")
_IMPORTED: Final = re.compile(r'(from ?"\./)(?P<name>\w+\.js)(?=")')
_FOREVER: Final = "public, max-age=31536000, immutable"


class Assets(StaticFiles):
    """Serves `client.js`, `collection.js`, which imports it, and `follow.js`.

    There is a readable build of each, `client.readable.js`, and its types, `client.d.ts`. Under its plain name, a
    file is revalidated on each page and answered with 304 if unchanged. Under `versioned("client.js")`, a name with a
    hash of its content, browsers cache it for a year; a collection of that name imports the client of that name.
    """

    def __init__(self) -> None:
        super().__init__(directory=_DIRECTORY)

    def versioned(self, name: str) -> str:
        """`name` with the hash of its content: `client.js` → `client.0123456789ab.js`.

        Raises:
            FileNotFoundError: the file doesn't exist.
        """
        return f"{name.removesuffix('.js')}.{_hash_of(name)}.js"

    async def get_response(self, path: str, scope: Scope) -> Response:
        found = _HASHED.fullmatch(path)
        name = f"{found['stem']}.js" if found else path
        is_current = found is not None and (_DIRECTORY / name).is_file() and _hash_of(name) == found["hash"]
        response = await super().get_response(name if is_current else path, scope)
        if is_current and response.status_code == 200:
            response = Response(_content(name), media_type="text/javascript")
        if response.status_code in (200, 304):
            response.headers["cache-control"] = _FOREVER if is_current else "no-cache"
        return response


@cache
def _content(name: str) -> bytes:
    """A file as it is under its name with a hash: what it imports has such a name, too, since a page has one client."""
    text = (_DIRECTORY / name).read_text(encoding="utf-8")
    return _IMPORTED.sub(lambda found: f"{found[1]}{assets.versioned(found['name'])}", text).encode()


@cache
def _hash_of(name: str) -> str:
    return sha256(_content(name)).hexdigest()[:12]


assets: Final = Assets()
"""The browser client as an ASGI application: `app.mount("/nitro", nitro.assets)` serves `/nitro/client.js`."""
