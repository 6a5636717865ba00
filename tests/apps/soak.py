"""The application of the soak: one stream, and one door for producers."""

from __future__ import annotations

import os

from fastapi import FastAPI
from starlette.responses import Response

from nitro import Client, EventSourceResponse, emit_async, event
from nitro.errors import BrokerUnavailable
from tests.apps.streams import WaitsInSend

app = FastAPI()
if os.environ.get("SOAK_WAITS"):  # a delay in each send
    app.add_middleware(WaitsInSend)
happened = event("soak.happened")


@app.get("/events")
async def events() -> Response:
    return EventSourceResponse(Client(topics=["soak.*"]))


@app.post("/emit")
async def emit_and_wait(producer: str, n: int, pad: int = 0) -> Response:
    """200 is an acknowledgement by the log."""
    try:
        await emit_async(happened, producer, result={"producer": producer, "n": n, "pad": "x" * pad})
    except BrokerUnavailable as error:
        return Response(str(error), 503)
    return Response(status_code=200)
