"""A stream, as each server's own way to read `X-Forwarded-For` wraps it."""

from __future__ import annotations

from granian.utils.proxies import wrap_asgi_with_proxy_headers
from hypercorn.middleware import ProxyFixMiddleware
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nitro import Client, EventSourceResponse


async def events(_: Request) -> Response:
    return EventSourceResponse(Client(topics=["todo.*"]))


app = Starlette(routes=[Route("/events", events)])
behind_a_proxy = {
    "uvicorn": app,  # it takes an option
    "granian": wrap_asgi_with_proxy_headers(app, trusted_hosts="*"),
    "hypercorn": ProxyFixMiddleware(app),  # type: ignore[arg-type]
}
uvicorn_app, granian_app, hypercorn_app = behind_a_proxy.values()
