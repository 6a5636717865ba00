"""The todo example, and a stream of events, with answers that say which worker gave them."""

from __future__ import annotations

import os

from examples.todo import app as todo
from starlette.types import Message, Receive, Scope, Send

import nitro


@todo.get("/events")
async def events() -> nitro.EventSourceResponse:
    return nitro.EventSourceResponse(nitro.Client(topics=["todo.*"]))


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    async def naming(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"x-worker", str(os.getpid()).encode())]
        await send(message)

    await todo(scope, receive, naming)
