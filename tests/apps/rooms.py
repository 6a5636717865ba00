"""Rooms: who is in which, for tests of presence. A query says who comes, into which room, with which state."""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, Response

import nitro
from nitro import Grant, event, event_stream

ROOMS = os.environ.get("ROOMS", "a,b,c,hall").split(",")
note = event("note")
app = FastAPI()
app.mount("/nitro", nitro.assets)


@app.get("/events")
async def events(request: Request, user: str, room: str = "", state: str | None = None) -> Response:
    allowed = ["note", *(f"presence.{name}" for name in (*ROOMS, f"of.{user}"))]

    return event_stream(
        request,
        Grant(allowed=allowed, user_id=user),
        presence=room.split(",") if room else None,
        state=None if state is None else {"name": state},
        overflow=request.query_params.get("overflow"),  # type: ignore[arg-type]  # one of three
        max_messages=int(request.query_params.get("most", 1000)),
    )


@app.get("/members/{room}")
async def members(room: str) -> list[dict[str, Any]]:
    await nitro.presence.ready()
    return [member._asdict() for member in nitro.presence(room)]


@app.post("/state/{user}")
async def change_state(user: str, name: str) -> None:
    for client in nitro.active_clients.values():
        if client.user_id == user:
            client.set_state({"name": name})


@app.post("/note")
async def write(text: str, count: int = 1) -> str:
    for _ in range(count):
        await nitro.emit_async(note, result=text)
    return nitro.position()


@app.get("/blank", response_class=HTMLResponse)
async def blank() -> str:
    return '<!doctype html><meta charset="utf-8"><title>blank</title>'


@app.get("/state")
async def look() -> dict[str, Any]:
    seen = nitro.statistics()
    return {"clients": seen.clients, "connects": seen.connects, "pid": os.getpid()}
