"""sse-starlette: its EventSourceResponse over one asyncio.Queue a client; the JSON is encoded once for all.

Its README's generators yield `{"data": ...}`; so does this one. They also ask `request.is_disconnected()`
before each event, which the response watches anyway: left out, in its favour.
"""

import asyncio
import json
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from servers.pace import Payload, fire

queues: set[asyncio.Queue[str]] = set()


def emit(payload: Payload) -> None:
    data = json.dumps(payload)
    for queue in queues:
        queue.put_nowait(data)


async def messages() -> AsyncIterator[dict[str, str]]:
    queue: asyncio.Queue[str] = asyncio.Queue()
    queues.add(queue)
    try:
        yield {"comment": "ready"}
        while True:
            yield {"data": await queue.get()}
    finally:
        queues.discard(queue)


async def events(_: Request) -> EventSourceResponse:
    return EventSourceResponse(messages())


async def fire_events(request: Request) -> JSONResponse:
    return await fire(request, emit)


app = Starlette(routes=[Route("/events", events), Route("/fire", fire_events)])
