"""Streams whose events are documented, for OpenAPI: of a grant, by their names, and of an endpoint's own."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response

from nitro import EventSourceResponse, Grant, event, event_stream
from nitro.datastar import DatastarResponse
from nitro.fastapi import EventStream, openapi
from tests.apps import typed

EVENTS = [event(topic) for topic in typed.SENT]

app = FastAPI(title="Todos", version="1.2.3", description="What is to be done.")


def may_hear() -> Grant:
    return Grant(["*"])


live = EventStream(may_hear, events=EVENTS)
named = EventStream(
    may_hear, events=[*EVENTS, event("gap", schema=int)], response=partial(EventSourceResponse, named=True)
)
fixed = EventStream(may_hear, topics=["todo.*"])
patches = EventStream(may_hear, response=DatastarResponse)


@app.get("/live", **live.openapi)
async def get_live(stream: Annotated[Response, Depends(live)]) -> Response:
    return stream


@app.get("/named", **named.openapi)
async def get_named(stream: Annotated[Response, Depends(named)]) -> Response:
    return stream


@app.get("/fixed", **fixed.openapi)
async def get_fixed(stream: Annotated[Response, Depends(fixed)]) -> Response:
    return stream


@app.get("/patches", **patches.openapi)
async def get_patches(stream: Annotated[Response, Depends(patches)]) -> Response:
    return stream


@app.get("/own", **openapi(event("todo.created"), event("todo.deleted")))
async def get_own(request: Request) -> Response:
    return event_stream(request, Grant(["todo.*"]))
