"""The gate: who may look, and from which pages something may be changed."""

from __future__ import annotations

import inspect
import ipaddress
import sys
from collections.abc import Awaitable, Callable
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from nitro.errors import AccessDenied, ConfigurationError, NotAuthenticated

__all__ = ["Authenticate", "Gate"]

Authenticate = Callable[[Request], "Any | Awaitable[Any]"]
"""Who makes a request: anything true lets it pass; a `Response` is the answer, such as a redirect to a login."""

_REMEDY: Final = (
    "nitro.inspector(authenticate=is_admin), where is_admin(request) returns something true if the request may see "
    "all clients, and None or False otherwise"
)
_HEADER: Final = "x-nitro-inspector"
"""A page of another origin can't send it without being allowed to by CORS, and nothing here allows that."""


class Gate:
    """Args:
        authenticate: a function, or a coroutine function; others run in a thread, as endpoints do. None lets those pass
            who develop: on this machine, under a server that reloads.

    Raises:
        ConfigurationError: it is no function.
    """

    def __init__(self, authenticate: Authenticate | None) -> None:
        if authenticate is not None and not callable(authenticate):
            raise ConfigurationError(f"authenticate is {authenticate!r:.100}, and not a function; use {_REMEDY}")
        self._authenticate = authenticate
        self._is_async = inspect.iscoroutinefunction(authenticate) or inspect.iscoroutinefunction(
            getattr(authenticate, "__call__", None)  # noqa: B004 - an object's own method may be a coroutine function
        )

    async def check(self, request: Request) -> Response | None:
        """Return if the request may pass; or what it is to be answered.

        Raises:
            NotAuthenticated: it may not.
            AccessDenied: it may not, as it would change something for a page of another origin; or nobody may.
        """
        if request.method not in ("GET", "HEAD") and (
            _HEADER not in request.headers or request.headers.get("sec-fetch-site", "same-origin") != "same-origin"
        ):
            raise AccessDenied("only the inspector's own page can do that")
        if self._authenticate is None:
            if not (is_reloading(sys.argv) and _is_local(request)):
                raise AccessDenied(
                    f"this inspector shows all clients and was given nothing to tell who may see them: use {_REMEDY}. "
                    f"Without it, it only answers on this machine, under a server that was started with --reload"
                )
            return None
        if self._is_async:
            answer = self._authenticate(request)
        else:
            answer = await run_in_threadpool(self._authenticate, request)
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, Response):
            return answer
        if not answer:
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


def _is_local(request: Request) -> bool:
    """Whether it comes from this machine, and was meant for it, and by no proxy."""
    is_forwarded = any(name in request.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip"))
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    names_it = host == "localhost" or _is_loopback(host)
    return not is_forwarded and names_it and request.client is not None and _is_loopback(request.client.host)


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False
