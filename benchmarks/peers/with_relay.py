"""What people write by hand: a Redis stream a run, `XADD` for each item, and a blocking `XREAD` for each reader.

For `runs.py`. Redis is at NITRO_BROKER_URL.
"""

import asyncio
import json
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from redis.asyncio import Redis
from starlette.responses import StreamingResponse

PAD = "x" * 40


def application() -> FastAPI:
    redis = Redis.from_url(os.environ["NITRO_BROKER_URL"], socket_timeout=None, max_connections=10_000)
    go = asyncio.Event()
    works: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await redis.aclose()

    app = FastAPI(lifespan=lifespan)

    async def work(key: str, count: int) -> None:
        await go.wait()
        for _ in range(count):
            await redis.xadd(key, {"data": json.dumps({"at": time.monotonic_ns(), "pad": PAD})})
        await redis.xadd(key, {"end": "done"})

    @app.get("/start")
    async def start(count: int, items_each: int, gap_seconds: float = 0.0) -> list[str]:
        assert not gap_seconds
        go.clear()
        keys = [secrets.token_hex(8) for _ in range(count)]
        for key in keys:
            task = asyncio.create_task(work(key, items_each))
            works.add(task)
            task.add_done_callback(works.discard)
        return keys

    @app.get("/runs/{id}")
    async def follow(id: str) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            last = "0-0"
            while True:
                for _, entries in await redis.xread({id: last}, block=10_000):
                    for entry, fields in entries:
                        last = entry.decode()
                        if b"end" in fields:
                            yield "event: end\ndata: {}\n\n"
                            return
                        yield f"id: {last}\ndata: {fields[b'data'].decode()}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    @app.get("/go")
    async def begin() -> str:
        go.set()
        return "go"

    return app
