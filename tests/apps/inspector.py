"""Serves streams, and inspectors that differ in who may see them and in what they allow."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from starlette.authentication import UnauthenticatedUser
from starlette.responses import RedirectResponse, Response

import nitro
from nitro import ANY, Client, EventSourceResponse, emit


@asynccontextmanager
async def with_a_crowd(_: FastAPI) -> AsyncIterator[None]:
    """Some thousand clients without connections, if they are wanted."""
    count = int(os.environ.get("INSPECTED_CLIENTS", "0"))
    crowd = [Client(topics=["todo.*", f"user.{n}"], user_id=f"user-{n}", allowed=ANY).connect() for n in range(count)]
    yield
    for client in crowd:
        client.disconnect()


app = FastAPI(lifespan=with_a_crowd)


def by_header(request: Request) -> str | None:
    return request.headers.get("x-admin") or request.cookies.get("admin")


sessions = {"once"}


async def by_answers(request: Request) -> Any:
    answers: dict[str, Any] = {
        "nothing": None,
        "zero": 0,
        "login": RedirectResponse("/login"),
        "someone": {"id": 1},
        "generator": (n for n in [1]),
        "unauthenticated": UnauthenticatedUser(),
        "once": "once" in sessions,
    }
    wanted = request.headers.get("x-answer", "nothing")
    if wanted == "raise":
        raise HTTPException(401, headers={"www-authenticate": 'Basic realm="admins"'})
    return answers[wanted]


app.mount("/inspector", nitro.inspector(authenticate=by_header, payloads=True))
app.mount("/careful", nitro.inspector(authenticate=by_header, actions=False))
app.mount("/answers", nitro.inspector(authenticate=by_answers))
app.mount("/open", nitro.inspector())


@app.get("/events")
async def events(
    request: Request, user: str | None = None, topics: str = "todo.*", room: str | None = None
) -> Response:
    allowed = ["todo.*", "order.*", "user.*", "room.*", "presence.*"] if room is not None else None
    client = Client(topics=topics.split(","), user_id=user, allowed=allowed, presence=room)
    return EventSourceResponse(client)


@app.post("/emit")
async def emit_some(topic: str = "todo.created", count: int = 1, size: int = 1, text: str = "x") -> None:
    for n in range(count):
        emit(topic, "anna", result={"n": n, "text": text * size})


@app.get("/statistics")
async def statistics() -> dict[str, Any]:
    found = nitro.statistics()
    return {
        "clients": found.clients,
        "connects": found.connects,
        "messages_in": found.messages_in,
        "messages_out": found.messages_out,
        "active": len(nitro.active_clients),
        "head": found.head,
    }


@app.get("/threads")
async def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate()]


@app.post("/end")
async def end_session() -> None:
    sessions.clear()


odd: list[Client] = []


@app.post("/odd")
async def connect_odd() -> None:
    odd.append(Client(topics=["a"], user_id="u" * 600, address="\ud800").connect())


@app.delete("/odd")
async def disconnect_odd() -> None:
    odd.pop().disconnect()
