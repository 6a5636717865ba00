"""An application whose streams are for somebody, and doors through which tests look at who is connected."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nitro import ANY, Client, EventSourceResponse, Grant, active_clients, client_event, emit, event_stream, on

lifecycle: list[str] = []


@on(client_event)
def note(sender: Any, action: str, **_: Any) -> None:
    lifecycle.append(action)


async def granted(request: Request) -> Response:
    """What `?allow=`, `?deny=` and `?user=` grant; nothing with `?nobody`. With `?own=` the server says the topics."""
    query = request.query_params
    if "nobody" in query:
        return event_stream(request, None)
    allowed = {pattern: query.getlist("sender") or ANY for pattern in query.getlist("allow")}
    grant = Grant(
        allowed or ANY, query.getlist("deny"), user_id=query.get("user"), expires_at=_seconds(query.get("until"))
    )
    return event_stream(request, grant, topics=query.getlist("own") or None, muted_topics=query.getlist("mute"))


async def by_hand(request: Request) -> Response:
    """An endpoint that reads `?topic=` itself, and knows nothing of headers; it adds what `?own=` says."""
    query = request.query_params
    topics = {pattern: query.getlist("sender") or ANY for pattern in query.getlist("topic")}
    return EventSourceResponse(Client(topics={**topics, **dict.fromkeys(query.getlist("own"), ANY)}))


async def emit_all(request: Request) -> Response:
    for topic in await request.json():
        emit(topic, result=topic)
    return Response()


async def left(_: Request) -> Response:
    return JSONResponse({"clients": len(active_clients), "lifecycle": lifecycle})


def _seconds(text: str | None) -> float | None:
    return None if text is None else float(text)


app = Starlette(
    routes=[
        Route("/granted", granted),
        Route("/by-hand", by_hand),
        Route("/emit", emit_all, methods=["POST"]),
        Route("/left", left),
    ]
)
