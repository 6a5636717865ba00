"""stream: nitro by hand, in the form of its specification: `Client.stream()` in a StreamingResponse.

Each client gets a copy that formats as JSON: compare with `with_queue_json.py`, which does the same JSON work. The
first comment is the one line that the specification's example hasn't got.
"""

from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

import nitro
from peers.pace import Payload, doors

app = FastAPI()
tick = nitro.event("bench.tick")


def emit(payload: Payload) -> None:
    nitro.emit(tick, "bench", result=payload)


@app.get("/events")
async def events() -> StreamingResponse:
    client = nitro.Client(topics=["bench.*"])

    async def event_stream() -> AsyncIterator[str]:
        with client:
            yield ": ready\n\n"
            async for data in client.stream():
                yield f"data: {data}\n\n"

    return StreamingResponse(
        event_stream(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "Connection": "keep-alive"},
    )


app.router.routes += doors(emit)
