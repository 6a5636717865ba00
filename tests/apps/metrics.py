"""Streams with Nitro's metrics and health beside them, as `docs/how-to/operating.md` mounts them."""

from __future__ import annotations

import os

from fastapi import FastAPI
from prometheus_client import Counter

import nitro
from nitro import Client, EventSourceResponse, emit
from nitro.errors import TooManyClients
from nitro.metrics import worker_values
from nitro.sse.problem import Problem

worker_values._INTERVAL_SECONDS = float(os.environ.get("TEST_WRITES_EACH_SECONDS", "2"))  # type: ignore[misc]
asked_for_streams = Counter("app_asked_for_streams", "A metric of the application's own")

app = FastAPI()
app.mount("/metrics", nitro.metrics.app)
app.mount("/health", nitro.health)


@app.exception_handler(TooManyClients)
async def refuse(_: object, refusal: TooManyClients) -> Problem:
    return Problem(refusal)


@app.get("/events")
async def events(user: str | None = None) -> EventSourceResponse:
    asked_for_streams.inc()
    return EventSourceResponse(Client(topics=["a"], user_id=user), headers={"x-worker": str(os.getpid())})


@app.get("/newest")
async def newest() -> EventSourceResponse:
    return EventSourceResponse(Client(topics=["a"], max_messages=20, overflow="drop_oldest"))


@app.post("/emit")
async def emit_some(count: int, chars: int) -> None:
    for _ in range(count):
        emit("a", "me", result="x" * chars)


@app.post("/shutdown")
async def shutdown() -> None:
    nitro.shutdown()


@app.post("/block")
async def block(seconds: float) -> None:
    """Occupy the event loop, as code that doesn't await does."""
    import time

    time.sleep(seconds)  # noqa: ASYNC251
