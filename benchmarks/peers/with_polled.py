"""polled: the naive way. Each client connects a blinker receiver of its own, which fills its own queue, and its
generator looks into that queue every 0.1 s.

Its cost is what it is about: a call and a queue a client for each event, the JSON written for each client, and a timer
for each client that waits. A queue that isn't empty is drained without a pause, in its favour.
"""

import asyncio
import json
from collections.abc import AsyncIterator

from blinker import Signal
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from peers.pace import Payload, doors

DELAY_SECONDS = 0.1

tick = Signal("bench.tick")


def emit(payload: Payload) -> None:
    tick.send("bench", result=payload)


async def frames() -> AsyncIterator[str]:
    queue: asyncio.Queue[Payload] = asyncio.Queue()

    def receive(_: str, result: Payload) -> None:
        queue.put_nowait(result)

    with tick.connected_to(receive):
        yield ": ready\n\n"
        while True:
            try:
                payload = queue.get_nowait()
            except asyncio.QueueEmpty:
                await asyncio.sleep(DELAY_SECONDS)
            else:
                yield f"data: {json.dumps(payload)}\n\n"


async def events(_: Request) -> StreamingResponse:
    return StreamingResponse(frames(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


app = Starlette(routes=[Route("/events", events), *doors(emit)])
