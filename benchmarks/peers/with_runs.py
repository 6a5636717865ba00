"""Runs whose items tell when they were sent, all at once; for `runs.py`. The store is at NITRO_BROKER_URL."""

import asyncio
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI, Response

from nitro import runs

PAD = "x" * 40


def application() -> FastAPI:
    app = FastAPI()
    go = asyncio.Event()

    async def items(
        count: int, gap_seconds: float, delay_seconds: float, burst: int
    ) -> AsyncIterator[dict[str, object]]:
        await go.wait()
        due = time.monotonic() + delay_seconds
        for n in range(count):
            if gap_seconds and n % burst == 0:
                due += gap_seconds
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            yield {"at": time.monotonic_ns(), "pad": PAD}

    @app.get("/start")
    async def start(count: int, items_each: int, gap_seconds: float = 0.0, burst: int = 1) -> list[str]:
        go.clear()
        return [
            (await runs.start(items(items_each, gap_seconds, n / count * gap_seconds, burst))).id for n in range(count)
        ]

    @app.get("/runs/{id}")
    async def follow(id: str) -> Response:
        return await runs.stream(id)

    @app.get("/go")
    async def begin() -> str:
        go.set()
        return "go"

    return app
