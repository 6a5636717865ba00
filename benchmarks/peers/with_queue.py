"""queue: what people write by hand. One asyncio.Queue a client; each event is framed once for all."""

import json
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from peers.pace import Payload, fire
from peers.queues import Queues

queues: Queues[bytes] = Queues()


def emit(payload: Payload) -> None:
    queues.put(b"data: " + json.dumps(payload).encode() + b"\n\n")


async def frames() -> AsyncIterator[bytes]:
    with queues.joined() as queue:
        yield b": ready\n\n"
        while True:
            yield await queue.get()


async def events(_: Request) -> StreamingResponse:
    return StreamingResponse(frames(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def fire_events(request: Request) -> PlainTextResponse:
    await fire(request.query_params, emit)
    return PlainTextResponse("fired")


async def plain(_: Request) -> PlainTextResponse:
    return PlainTextResponse("plain")


app = Starlette(routes=[Route("/events", events), Route("/fire", fire_events), Route("/plain", plain)])
