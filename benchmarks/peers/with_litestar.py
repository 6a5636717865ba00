"""litestar: its ChannelsPlugin in memory, read through its ServerSentEvent response, as its maintainers combine them.

`publish` writes the JSON once for all. The backlog of a subscriber is unbounded, which is the default: nothing is
dropped. Its generator yields the bytes that it gets; the response makes a frame of them for each client.
"""

from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar, MediaType, Request, get
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend
from litestar.response import ServerSentEvent, ServerSentEventMessage

from peers.pace import Payload, fire

CHANNEL = "bench"

plugin = ChannelsPlugin(MemoryChannelsBackend(), channels=[CHANNEL])


def emit(payload: Payload) -> None:
    plugin.publish(payload, CHANNEL)


async def messages(channels: ChannelsPlugin) -> AsyncIterator[bytes | ServerSentEventMessage]:
    async with channels.start_subscription(CHANNEL) as subscriber:
        # the response's own `comment_message` would be sent before the subscription
        yield ServerSentEventMessage(data=None, comment="ready")
        async for event in subscriber.iter_events():
            yield event


@get("/events")
async def events(channels: ChannelsPlugin) -> ServerSentEvent:
    return ServerSentEvent(messages(channels))


@get("/fire", media_type=MediaType.TEXT)
async def fire_events(request: Request[Any, Any, Any]) -> str:
    await fire(request.query_params, emit)
    return "fired"


@get("/plain", media_type=MediaType.TEXT)
async def plain() -> str:
    return "plain"


app = Litestar([events, fire_events, plain], plugins=[plugin])
