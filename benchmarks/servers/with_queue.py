"""queue: what people write by hand. One asyncio.Queue a client; each event is framed once for all."""

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from servers.pace import Payload, fire

queues: set[asyncio.Queue[bytes]] = set()


def emit(payload: Payload) -> None:
    frame = b"data: " + json.dumps(payload).encode() + b"\n\n"
    for queue in queues:
        queue.put_nowait(frame)


async def frames() -> AsyncIterator[bytes]:
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    queues.add(queue)
    try:
        yield b": ready\n\n"
        while True:
            yield await queue.get()
    finally:
        queues.discard(queue)


async def events(_: Request) -> StreamingResponse:
    return StreamingResponse(frames(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def fire_events(request: Request) -> JSONResponse:
    return await fire(request, emit)


app = Starlette(routes=[Route("/events", events), Route("/fire", fire_events)])
