"""The application of the soak: one stream, and one door for producers."""

from __future__ import annotations

import os

from fastapi import FastAPI
from starlette.responses import Response

from nitro import Client, EventSourceResponse, emit, event
from tests.apps.streams import WaitsInSend

app = FastAPI()
if os.environ.get("SOAK_WAITS"):  # a delay in each send
    app.add_middleware(WaitsInSend)
happened = event("soak.happened")


@app.get("/events")
async def events() -> Response:
    return EventSourceResponse(Client(topics=["soak.*"]))


@app.post("/emit")
def emit_in_thread(producer: str, n: int, pad: int = 0) -> None:
    emit(happened, producer, result={"producer": producer, "n": n, "pad": "x" * pad})
