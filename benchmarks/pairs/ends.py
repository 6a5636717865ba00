"""The two ends of each way across: how one process emits, and how another hears.

An end is opened with the broker's URL. Events are bytes of JSON of about 100; each way does with them what its own
documentation says.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

Emit = Callable[[dict[str, Any]], Awaitable[None]]
"""Emits one event. It may wait, so that no more is under way than the way can hold."""
Hear = AsyncIterator[dict[str, Any]]

UNDER_WAY = 1_000


@asynccontextmanager
async def nitro_emits(url: str) -> AsyncIterator[Emit]:
    os.environ["NITRO_BROKER_URL"] = url
    import nitro

    nitro.connect_broker()
    tick, count = nitro.event("bench.tick"), 0

    async def emit(event: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        if count % UNDER_WAY:
            nitro.emit(tick, "bench", result=event)
        else:
            await nitro.emit_async(tick, "bench", result=event)

    yield emit
    nitro.flush(30)


@asynccontextmanager
async def nitro_hears(url: str) -> AsyncIterator[Hear]:
    os.environ["NITRO_BROKER_URL"] = url
    import nitro

    nitro.connect_broker()
    with nitro.Client(topics=["bench.*"], max_messages=1_000_000, max_bytes=1 << 30) as client:
        yield client.stream()


def _litestar(kind: str, url: str) -> Any:
    from litestar.channels import ChannelsPlugin
    from litestar.channels.backends import redis as backends
    from redis.asyncio import Redis

    history = {"history": UNDER_WAY} if kind == "RedisChannelsStreamBackend" else {}
    backend = getattr(backends, kind)(redis=Redis.from_url(url), **history)
    return ChannelsPlugin(backend=backend, channels=["bench"])


def litestar(kind: str) -> tuple[Any, Any]:
    """Litestar channels with one of its Redis backends: `wait_published`, as its documentation emits in a handler."""

    @asynccontextmanager
    async def emits(url: str) -> AsyncIterator[Emit]:
        async with _litestar(kind, url) as channels:

            async def emit(event: dict[str, Any]) -> None:
                await channels.wait_published(event, ["bench"])

            yield emit

    @asynccontextmanager
    async def hears(url: str) -> AsyncIterator[Hear]:
        async with _litestar(kind, url) as channels, channels.start_subscription(["bench"]) as subscriber:

            async def events() -> Hear:
                async for message in subscriber.iter_events():
                    yield json.loads(message)

            yield events()

    return emits, hears


@asynccontextmanager
async def redis_emits(url: str) -> AsyncIterator[Emit]:
    """redis-py alone: XADD, 200 of them in a pipeline when they come fast."""
    from redis.asyncio import Redis

    redis = Redis.from_url(url)
    waiting: list[bytes] = []
    latest = 0.0

    async def send() -> None:
        pipeline = redis.pipeline(transaction=False)
        for body in waiting:
            pipeline.xadd("bench", {"b": body}, maxlen=10_000, approximate=True)
        waiting.clear()
        await pipeline.execute()

    async def emit(event: dict[str, Any]) -> None:
        nonlocal latest
        now = asyncio.get_running_loop().time()
        is_slow, latest = now - latest > 0.001, now
        waiting.append(json.dumps(event).encode())
        if is_slow or len(waiting) == 200 or event["i"] == event["of"] - 1:
            await send()

    yield emit
    if waiting:
        await send()
    await redis.aclose()


@asynccontextmanager
async def redis_hears(url: str) -> AsyncIterator[Hear]:
    from redis.asyncio import Redis

    redis = Redis.from_url(url)

    async def events() -> Hear:
        newest = b"0"
        while True:
            for _, entries in await redis.xread({"bench": newest}, count=500, block=1_000):
                for id, fields in entries:
                    newest = id
                    yield json.loads(fields[b"b"])

    yield events()
    await redis.aclose()


WAYS: dict[str, tuple[Any, Any]] = {
    "nitro": (nitro_emits, nitro_hears),
    "litestar-pubsub": litestar("RedisChannelsPubSubBackend"),
    "litestar-streams": litestar("RedisChannelsStreamBackend"),
    "redis-py": (redis_emits, redis_hears),
}
