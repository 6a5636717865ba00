"""sse-starlette: its EventSourceResponse over one asyncio.Queue a client; the JSON is written once for all.

Its README's generators yield `{"data": ...}`; so does this one. They also ask `request.is_disconnected()`
before each event, which the response watches anyway: left out, in its favour.
"""

import json
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from peers.pace import Payload, doors
from peers.queues import Queues

queues: Queues[str] = Queues()


def emit(payload: Payload) -> None:
    queues.put(json.dumps(payload))


async def messages() -> AsyncIterator[dict[str, str]]:
    with queues.joined() as queue:
        yield {"comment": "ready"}
        while True:
            yield {"data": await queue.get()}


async def events(_: Request) -> EventSourceResponse:
    return EventSourceResponse(messages())


app = Starlette(routes=[Route("/events", events), *doors(emit)])
