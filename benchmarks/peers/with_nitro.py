"""nitro: a client and an EventSourceResponse, as its README says."""

from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse

import nitro
from peers.pace import Payload, fire

app = FastAPI()
tick = nitro.event("bench.tick")


def emit(payload: Payload) -> None:
    nitro.emit(tick, "bench", result=payload)


@app.get("/events")
async def events() -> nitro.EventSourceResponse:
    return nitro.EventSourceResponse(nitro.Client(topics=["bench.*"]))


@app.get("/fire")
async def fire_events(request: Request) -> PlainTextResponse:
    await fire(request.query_params, emit)
    return PlainTextResponse("fired")


@app.get("/position")
async def position() -> PlainTextResponse:
    return PlainTextResponse(nitro.position())


@app.get("/plain")
async def plain() -> PlainTextResponse:
    return PlainTextResponse("plain")
