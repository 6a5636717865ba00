"""A stream for everybody, one for each user, and a publisher, at 20 events a second; and what is left of a flood."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response

import nitro
from nitro import Grant, active_clients, emit, segment
from nitro.fastapi import EventStream
from nitro.publisher import Publisher
from tests.apps.memory import resident_kib

EVENTS_PER_SECOND = 20


async def tick() -> None:
    start, n = time.monotonic(), 0
    while True:
        emit(f"public.order.{n}.placed.by.customer", result={"n": n, "t": time.monotonic_ns(), "pad": "x" * 500})
        if n % EVENTS_PER_SECOND == 0:
            emit("loud.tick", result="x" * 10_000)
        n += 1
        await asyncio.sleep(max(0.0, start + n / EVENTS_PER_SECOND - time.monotonic()))


@contextlib.asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    ticking = asyncio.create_task(tick())
    yield
    ticking.cancel()


app = FastAPI(lifespan=lifespan)
app.mount("/publish", Publisher({"the key that no stranger has": Grant(["*"], user_id="nobody")}))


def may_hear(request: Request) -> Grant | None:
    user = request.headers.get("x-user")
    if user is None or not user.isalnum():
        return None
    return Grant(["public.*", "loud.*", f"user.{segment(user)}.*"], user_id=user)


live = EventStream(may_hear)


@app.get("/events", **live.openapi)
async def events(stream: Annotated[Response, Depends(live)]) -> Response:
    return stream


@app.get("/position")
async def position() -> str:
    return nitro.position()


@app.get("/plain")
async def plain() -> str:
    return "ok"


@app.get("/left")
async def left() -> dict[str, Any]:
    gc.collect()
    statistics = nitro.statistics()
    return {
        "clients": len(active_clients),
        "tasks": len(asyncio.all_tasks()),
        "fds": len(os.listdir("/proc/self/fd")),
        "resident_mib": resident_kib() / 1024,
        "objects": len(gc.get_objects()),
        "refused": dict(statistics.refused),
        "ended": dict(statistics.ended),
    }


gc.collect()
gc.freeze()  # as docs/about/performance.md advises
