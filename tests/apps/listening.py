"""Streams for `tests/test_listening.py`: with tokens, refusals, gaps and ends; and runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from nitro import Client, EventSourceResponse, Grant, active_clients, emit_async, event_stream, runs

app = FastAPI()
seen: list[dict[str, str]] = []


@app.get("/events")
async def events(request: Request) -> Response:
    """Of the topics that are asked for, or else of `todo.*`."""
    seen.append({"query": request.url.query, **request.headers})
    return event_stream(request, Grant(["todo.*", "chat.*", "html.*"]))


@app.get("/own")
async def own(request: Request) -> Response:
    """Of the user whom the token names."""
    seen.append(dict(request.headers))
    user = request.headers.get("authorization", "").removeprefix("Bearer ")
    grant = Grant(["todo.*"], user_id=user) if user else None
    return event_stream(request, grant)


@app.get("/rights")
async def rights(request: Request) -> Response:
    """What the token may hear."""
    return event_stream(request, Grant([f"{request.headers['authorization']}.*", "todo.*"]))


@app.get("/answers/{status}")
async def answers(status: int) -> Response:
    seen.append({"status": str(status)})
    if status == 200:
        return JSONResponse({"what": "no stream"})
    headers = {"retry-after": "1"} if status == 429 else {}
    return JSONResponse({"detail": "the reason"}, status, headers) if status != 204 else Response(None, 204)


@app.get("/small")
async def small() -> Response:
    """Of a client that holds 10 messages at most."""
    return EventSourceResponse(Client(topics=["todo.*"], max_messages=10))


async def _counting(items: int, pause: float) -> AsyncIterator[Any]:
    for n in range(items):
        await asyncio.sleep(pause)
        yield {"n": n}
    if not items:
        raise runs.RunFailed("nothing to count")


@app.post("/runs")
async def start(items: int, pause: float) -> str:
    return (await runs.start(_counting(items, pause))).id


@app.get("/runs/{id}")
async def read(id: str) -> Response:
    seen.append({"run": id})
    return await runs.stream(id)


@app.post("/emit")
async def emit(topic: str, request: Request) -> None:
    await emit_async(topic, result=await request.json())


@app.post("/send")
async def send(request: Request) -> int:
    for client in active_clients.values():
        client.send(await request.json())
    return len(active_clients)


@app.post("/disconnect")
async def disconnect(stop: bool = False) -> None:
    for client in list(active_clients.values()):
        client.disconnect(stop=stop)


@app.get("/left")
async def left() -> dict[str, Any]:
    return {"clients": len(active_clients), "seen": seen, "pid": os.getpid()}
