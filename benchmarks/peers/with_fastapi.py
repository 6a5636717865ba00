"""fastapi: its own EventSourceResponse, the `response_class` of an endpoint that yields, with a queue a client.

Its tutorial yields models, which are written as JSON for each client, or a ServerSentEvent. Here one ServerSentEvent
with `raw_data` is made for all, in its favour: JSON and validation are paid once an event.
"""

import json
from collections.abc import AsyncIterable

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent

from peers.pace import Payload, doors
from peers.queues import Queues

app = FastAPI()
queues: Queues[ServerSentEvent] = Queues()


def emit(payload: Payload) -> None:
    queues.put(ServerSentEvent(raw_data=json.dumps(payload)))


@app.get("/events", response_class=EventSourceResponse)
async def events() -> AsyncIterable[ServerSentEvent]:
    with queues.joined() as queue:
        yield ServerSentEvent(comment="ready")
        while True:
            yield await queue.get()


app.router.routes += doors(emit)
