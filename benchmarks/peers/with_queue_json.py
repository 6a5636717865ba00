"""queue-json: `with_queue.py` with the JSON work of `with_stream.py`, to tell what of the latter's cost is JSON.

The emitter writes JSON once, and each client's generator reads it and writes it again: `Client.stream()` gives
each client a copy that formats as JSON. The same functions of pydantic-core do it, and frames are texts there too.
"""

from collections.abc import AsyncIterator

from pydantic_core import from_json, to_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from peers.pace import Payload, doors
from peers.queues import Queues

queues: Queues[bytes] = Queues()


def emit(payload: Payload) -> None:
    queues.put(to_json(payload))


async def frames() -> AsyncIterator[str]:
    with queues.joined() as queue:
        yield ": ready\n\n"
        while True:
            data = from_json(await queue.get())
            yield f"data: {to_json(data).decode()}\n\n"


async def events(_: Request) -> StreamingResponse:
    return StreamingResponse(frames(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


app = Starlette(routes=[Route("/events", events), *doors(emit)])
