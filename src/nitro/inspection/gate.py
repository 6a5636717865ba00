"""The gate: who may look, and from which pages something may be changed."""

from __future__ import annotations

import inspect
import ipaddress
import sys
from collections.abc import Awaitable, Callable
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from nitro.errors import AccessDenied, ConfigurationError, NotAuthenticated
from nitro.sse.asking import asking

__all__ = ["Authenticate", "Gate"]

Authenticate = Callable[[Request], "Any | Awaitable[Any]"]
"""Who makes a request: anything true lets it pass; a `Response` is the answer, such as a redirect to a login."""

_REMEDY: Final = (
    "nitro.inspector(authenticate=is_admin), where is_admin(request) returns something true if the request may see "
    "all clients, and None or False otherwise"
)
_GENERATORS: Final = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)
_HEADER: Final = "x-nitro-inspector"
"""A page of another origin can't send it without being allowed to by CORS, and nothing here allows that."""


class Gate:
    """Args:
        authenticate: a function, or a coroutine function; others run in a thread, as endpoints do. None lets those pass
            who develop: on this machine, under a server that reloads.

    Raises:
        ConfigurationError: it is no such function.
    """

    def __init__(self, authenticate: Authenticate | None) -> None:
        call = getattr(authenticate, "__call__", None)  # noqa: B004 - an object's own method may be one
        if authenticate is not None and not callable(authenticate):
            raise ConfigurationError(f"authenticate is {authenticate!r:.100}, and not a function; use {_REMEDY}")
        if any(kind(each) for each in (authenticate, call) for kind in _GENERATORS):
            raise ConfigurationError(
                f"authenticate is the generator {authenticate!r:.100}, and a generator is true before it has run; use "
                f"{_REMEDY}"
            )
        self._authenticate = authenticate
        self._ask = None if authenticate is None else asking(authenticate)

    async def check(self, request: Request) -> Response | None:
        """Return if the request may pass; or what it is to be answered.

        Raises:
            NotAuthenticated: it may not.
            AccessDenied: it may not, since a page of another origin sends it; or nobody may.
        """
        _check_origin(request)
        if self._ask is None:
            if not (is_reloading(sys.argv) and _is_local(request)):
                raise AccessDenied(
                    f"this inspector shows all clients and was given nothing to tell who may see them: use {_REMEDY}. "
                    f"Without it, it only answers on this machine, under a server that was started with --reload"
                )
            return None
        answer = await self._ask(request)
        if isinstance(answer, Response):
            return answer
        if not answer or inspect.isgenerator(answer) or inspect.isasyncgen(answer):
            raise NotAuthenticated("the inspector needs a login that may see all clients")
        if getattr(answer, "is_authenticated", True) is False:  # Starlette's user without a login, which is true
            raise NotAuthenticated("the inspector needs a login that may see all clients")
        return None

    def __repr__(self) -> str:
        return f"<Gate by {self._authenticate!r}>"


def is_reloading(arguments: list[str]) -> bool:
    """Whether this command line is that of a server which reloads its code: `--reload`, or `fastapi dev`."""
    if not arguments:
        return False
    is_fastapi = PurePath(arguments[0]).stem == "fastapi" or PurePath(arguments[0]).parent.name == "fastapi"
    return "--reload" in arguments[1:] or (is_fastapi and arguments[1:2] == ["dev"])


def _check_origin(request: Request) -> None:
    """Raises AccessDenied if a page of another origin sends the request, but for a link to the inspector's own page.

    A browser says so itself over HTTPS and on this machine; elsewhere the origin that it names is compared.
    """
    headers, changes = request.headers, request.method not in ("GET", "HEAD")
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        is_own = site in ("same-origin", "none") or (not changes and headers.get("sec-fetch-dest") == "document")
    else:
        is_own = origin is None or urlsplit(origin).netloc in (headers.get("host"), headers.get("x-forwarded-host"))
    if not is_own or (changes and _HEADER not in headers):
        raise AccessDenied("only the inspector's own page can do that")


def _is_local(request: Request) -> bool:
    """Whether it comes from this machine, and was meant for it, and by no proxy that says so or speaks HTTP/1.0, as
    nginx does to what it stands before.
    """
    is_forwarded = any(name in request.headers for name in ("forwarded", "via", "x-forwarded-for", "x-real-ip"))
    is_forwarded |= request.scope.get("http_version") == "1.0"
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    names_it = host == "localhost" or _is_loopback(host)
    return not is_forwarded and names_it and request.client is not None and _is_loopback(request.client.host)


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
