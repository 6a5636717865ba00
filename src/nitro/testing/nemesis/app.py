"""The application under attack: one stream of the topics that are asked for. Fed by the log; feeds the readers.

`uvicorn nitro.testing.nemesis.app:app`, or mount `events` in your own application and give the tool its command.
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
