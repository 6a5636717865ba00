"""What the scripts of the documentation talk to that have no application beside them, and an empty page for them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlmodel import Field

import nitro
from nitro import Entity, EventSourceResponse, Grant, event_stream
from tests.documents import Document

__all__ = ["app"]

_runs = Document("docs/how-to/runs.md")
_names: dict[str, Any] = {"__name__": "scripts_in_docs"}
_runs.run(_runs.the("python", "A run"), _names)
app: FastAPI = _names["app"]
"""With the run that is asked for at `/answers`."""
app.mount("/nitro", nitro.assets)
app.add_middleware(nitro.PositionMiddleware)


class Todo(Entity, table=True, live=True):
    title: str
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))


Todo._repository.init_db()


@app.get("/events")
async def events(request: Request) -> Response:
    """A client that sends a token is known by it; the others are Ann."""
    user = request.headers.get("authorization", "Bearer ann").removeprefix("Bearer ")
    grant = Grant(["todo.*", "user.*", "presence.*"], user_id=user)
    return event_stream(request, grant, presence="room.42", state={"name": user.title()})


@app.get("/members")
async def members() -> list[str]:
    return [member.user_id for member in nitro.presence("room.42")]


@app.get("/todos/live")
async def live() -> EventSourceResponse:
    return EventSourceResponse(Todo.live(order_by=Todo.created_at))


@app.post("/todos")
def create(title: str) -> Todo:
    return Todo(title=title).save()


@app.get("/nitro-realtime/worker")
async def worker() -> Response:
    """Where `new URL("nitro-realtime/worker", import.meta.url)` leads without a bundler."""
    return RedirectResponse("/nitro/worker.js")


@app.get("/page", response_class=HTMLResponse)
async def page() -> str:
    return """<!doctype html><title>quiet</title><button id="cancel">Stop</button>
    <script type="importmap">{"imports": {
        "nitro-realtime": "/nitro/client.js",
        "nitro-realtime/collection": "/nitro/collection.js",
        "nitro-realtime/follow": "/nitro/follow.js"
    }}</script>"""
