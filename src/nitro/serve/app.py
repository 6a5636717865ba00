"""The hub as an ASGI application: stream, publisher, inspector, metrics, health and browser client, over one log.

`hub(configuration)` makes it; `from_environment` is what the workers of `nitro serve` load.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, request_response
from starlette.types import ASGIApp, Receive, Scope, Send

from nitro.clients.event_stream import event_stream
from nitro.delivery.process import get_hub
from nitro.errors import AccessDenied, NotAuthenticated
from nitro.inspection.app import inspector
from nitro.serve.configuration import Configuration
from nitro.serve.identity import CredentialsApart, Identity, without_credentials
from nitro.serve.password import asks_for
from nitro.serve.sources import read_configuration
from nitro.sse.assets import assets
from nitro.sse.health import health
from nitro.sse.problem import Problem

__all__ = ["from_environment", "hub"]

_TOPIC_HEADERS: Final = 16
"""In so many headers the browser client may send topics that don't fit into a URL, each with 4,000 characters."""
_ALLOWED: Final = (
    "Authorization",
    "Last-Event-ID",
    "Nitro-Topics",
    *(f"Nitro-Topics-{n}" for n in range(1, _TOPIC_HEADERS + 1)),
)
_EXPOSED: Final = ("Retry-After", "WWW-Authenticate")


def hub(configuration: Configuration) -> ASGIApp:
    """The hub's application.

    Raises:
        ConfigurationError: a key file can't be read any more.
        ImportError: metrics are wanted, and prometheus-client is not installed.
    """
    identity = Identity(configuration)
    logging.getLogger("uvicorn.access").addFilter(without_credentials)

    async def events(request: Request) -> Response:
        try:
            grant = identity.grant_of(request)
        except (NotAuthenticated, AccessDenied) as refusal:
            return Problem(refusal)
        return event_stream(request, grant)

    shared = _across_origins(configuration)
    stream: ASGIApp = request_response(events)
    for cls, arguments, options in shared:
        stream = cls(stream, *arguments, **options)
    routes: list[BaseRoute] = [
        Route(configuration.stream.path, _Served(stream), methods=["GET", "OPTIONS"] if shared else ["GET"]),
        *health.routes,
        Mount("/nitro", assets, middleware=shared),
    ]
    if configuration.publish.keys:
        routes += _at("/publish", configuration.publish.publisher)
    if configuration.metrics:
        from nitro.metrics import app as metrics

        routes += _at("/metrics", metrics)
    if configuration.inspector is not None:
        inspected = configuration.inspector
        page = inspector(asks_for(inspected.password), payloads=inspected.payloads, actions=inspected.actions)
        routes += [Mount("/nitro-inspector", page), Route("/nitro-inspector", _to_the_inspector)]
    app = Starlette(routes=routes, middleware=[Middleware(CredentialsApart)], lifespan=_connected)
    app.router.redirect_slashes = False
    return app


def _across_origins(configuration: Configuration) -> list[Middleware]:
    """What lets pages of other origins read the stream, and load the browser client; nothing else is theirs to read."""
    stream = configuration.stream
    if not stream.origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=stream.origins,
            allow_credentials=stream.cookies,
            allow_methods=["GET"],
            allow_headers=_ALLOWED,
            expose_headers=_EXPOSED,
        )
    ]


def from_environment() -> ASGIApp:
    """The hub that `NITRO_SERVE_CONFIG` and the other variables describe."""
    made = hub(read_configuration(os.environ.get("NITRO_SERVE_CONFIG"), os.environ))
    gc.collect()
    gc.freeze()  # modules and what they made stay: else each full collection looks at them, and all streams wait
    return made


async def _to_the_inspector(_: Request) -> Response:
    return RedirectResponse("nitro-inspector/")


class _Served:
    """An application at exactly one path; Starlette takes a function for an endpoint."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _at(path: str, app: ASGIApp) -> list[Route]:
    """With and without a slash: a redirect would lose the body of a POST."""
    return [Route(each, _Served(app)) for each in (path, f"{path}/")]


@asynccontextmanager
async def _connected(_: Starlette) -> AsyncIterator[None]:
    """The process reads the log from its start on, and not from its first stream."""
    get_hub()
    yield
