"""The application under test: one stream of the requested topics. Fed by the log; feeds the readers.

`uvicorn nitro.testing.nemesis.app:app`, or mount `events` in your own application and pass that with `--app`.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from nitro import Client, EventSourceResponse

__all__ = ["app", "events"]


async def events(request: Request) -> Response:
    """`GET /events?topics=a.*,b`."""
    return EventSourceResponse(Client(topics=request.query_params.get("topics", "nemesis.*").split(",")))


app: Starlette = Starlette(routes=[Route("/events", events)])
