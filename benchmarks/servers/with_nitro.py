"""nitro: a client and an EventSourceResponse, as its README says."""

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse

import nitro
from servers.pace import Payload, fire

app = FastAPI()
tick = nitro.event("bench.tick")


def emit(payload: Payload) -> None:
    nitro.emit(tick, "bench", result=payload)


@app.get("/events")
async def events() -> nitro.EventSourceResponse:
    return nitro.EventSourceResponse(nitro.Client(topics=["bench.*"]))


@app.get("/fire")
async def fire_events(request: Request) -> JSONResponse:
    return await fire(request, emit)
