"""queue: what people write by hand. One asyncio.Queue a client; each event is framed once for all."""

import json
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from peers.pace import Payload, doors
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


app = Starlette(routes=[Route("/events", events), *doors(emit)])
