"""Endpoints with the slips that people make, each beside the right one; under a real server."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse

import nitro
from nitro import ANY, Client, EventSourceResponse, Grant, active_clients, event_stream, requested_topics, segment
from nitro.fastapi import EventStream

app = FastAPI()

RETURNED: dict[str, Any] = {
    "true": True,
    "false": False,
    "list": ["todo.*"],
    "dict": {"allowed": ["todo.*"]},
    "text": "todo.*",
    "class": Grant,
}


DENIED: dict[str, list[str]] = {}  # of nobody


class NobodyIsLoggedIn(Exception):
    """The application's own, with a handler of its own."""


@app.exception_handler(NobodyIsLoggedIn)
def answer(_: Request, __: Exception) -> Response:
    return JSONResponse({"please": "log in"}, 401)


def returns(what: str) -> Any:
    return RETURNED[what]


def raises(name: str) -> Grant:
    if name == "nobody":
        raise NobodyIsLoggedIn
    if name == "stranger":
        raise HTTPException(403)
    return Grant([f"user.{segment(name)}.*"], DENIED[name])


async def raises_async(name: str) -> Grant:
    return raises(name)


class Rights:
    """A dependency that is an object."""

    def __call__(self, name: str) -> Grant:
        raise KeyError(name)


def broken_user() -> str:
    raise RuntimeError("the database is away")


def beside(user: Annotated[str, Depends(broken_user)]) -> Grant:
    return Grant(["todo.*"], user_id=user)


STREAMS = {
    "returned": EventStream(returns),
    "raised": EventStream(raises),
    "raised-async": EventStream(raises_async),
    "raised-partial": EventStream(partial(raises, name="x")),
    "raised-object": EventStream(Rights()),
    "raised-beside": EventStream(beside),
}
for path, live in STREAMS.items():

    @app.get(f"/{path}", **live.openapi)
    async def stream_of(stream: Annotated[Response, Depends(live)]) -> Response:
        return stream


@app.get("/by-hand")
async def by_hand(request: Request, what: str) -> Response:
    return event_stream(request, RETURNED[what])


@app.get("/requested")
async def requested(request: Request) -> Response:
    return EventSourceResponse(Client(topics=requested_topics(request)))


@app.get("/requested-any")
async def requested_any(request: Request) -> Response:
    return EventSourceResponse(Client(topics=requested_topics(request), allowed=ANY))


@app.post("/emit/{topic}")
def emit(topic: str, result: str) -> None:
    nitro.emit(topic, result=result)


@app.get("/clients")
def clients() -> int:
    return len(active_clients)


ONE_RESPONSE = EventSourceResponse(Client(topics=["todo.*"]))
ONE_CLIENT = Client(topics=["todo.*"])


@app.get("/one-response")
async def one_response() -> Response:
    return ONE_RESPONSE


@app.get("/one-client")
async def one_client() -> Response:
    return EventSourceResponse(ONE_CLIENT)


def may_hear_room(topic: str, watch: str) -> Grant:
    return Grant([f"room.{segment(topic)}.*"])


in_room = EventStream(may_hear_room)
anywhere = EventStream(lambda: Grant(["room.*"]))


@app.get("/rooms/{topic}/{request}/{grant}/{watch}", **in_room.openapi)
async def room(topic: str, stream: Annotated[Response, Depends(in_room)]) -> Response:
    stream.headers["x-room"] = topic
    return stream


@app.get("/any-room/{topic}", **anywhere.openapi)
async def any_room(stream: Annotated[Response, Depends(anywhere)]) -> Response:
    return stream
