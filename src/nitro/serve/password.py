"""The password of the inspector: a browser asks for it, and sends it with each of the page's requests (RFC 7617)."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.requests import Request

__all__ = ["asks_for"]

_ASKS: Final = {"www-authenticate": 'Basic realm="Nitro inspector", charset="UTF-8"', "cache-control": "no-store"}


def asks_for(password: SecretStr) -> Callable[[Request], Awaitable[bool]]:
    """What lets a request pass that shows this password, with any user name, and asks every other one for it."""
    wanted = password.get_secret_value().encode()

    async def check(request: Request) -> bool:
        if not secrets.compare_digest(_shown(request), wanted):
            raise HTTPException(401, "the inspector needs its password", _ASKS)
        return True

    return check


def _shown(request: Request) -> bytes:
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(credentials.strip(), validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""
