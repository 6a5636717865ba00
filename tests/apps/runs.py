"""Serves runs of a work that counts, and everything that can be done with them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

import nitro
from nitro import runs

app = FastAPI()
AWAITED: list[str] = []
"""The runs whose results were asked for."""
ENDED: list[str] = []
"""How each work of this process went out, as its `finally` saw it."""


async def counting(items: int, pause: float, at_once: int = 1, start: int = 0) -> AsyncIterator[Any]:
    how = "done"
    try:
        for n in range(start, items):
            if n % at_once == 0:
                await asyncio.sleep(pause)
            yield {"n": n}
    except asyncio.CancelledError:
        how = "cancelled"
        raise
    except GeneratorExit:
        how = "closed"
        raise
    finally:
        ENDED.append(how)


@runs.restartable
async def go_on(run: runs.Run, items: list[Any]) -> AsyncIterator[Any]:
    yield {"restarted behind": len(items), "pid": os.getpid()}
    async for item in counting(run.data["items"], run.data["pause"], start=len(items)):
        yield item


async def failing(reason: str | None) -> AsyncIterator[Any]:
    yield {"n": 0}
    if reason:
        raise runs.RunFailed(reason)
    raise ZeroDivisionError("a secret of the server")


@app.post("/runs", status_code=202)
async def start(
    items: int = 10,
    pause: float = 0.0,
    at_once: int = 1,
    user: str | None = None,
    restarts: bool = False,
    max_items: int | None = None,
    keep: float | None = None,
) -> dict[str, str]:
    run = await runs.start(
        counting(items, pause, at_once),
        user_id=user,
        restart=go_on if restarts else None,
        data={"items": items, "pause": pause},
        max_items=max_items,
        keep_seconds=keep,
    )
    return {"run": run.id}


@app.post("/late")
async def start_late(seconds: float) -> StreamingResponse:
    """A response that begins at once, and after a while starts a run."""

    async def lines() -> AsyncIterator[str]:
        yield "\n"
        await asyncio.sleep(seconds)
        run = await runs.start(counting(10, 0.2), restart=go_on, data={"items": 10, "pause": 0.2})
        yield run.id

    return StreamingResponse(lines())


@app.post("/failing", status_code=202)
async def fail(reason: str | None = None) -> dict[str, str]:
    return {"run": (await runs.start(failing(reason))).id}


@app.post("/empty", status_code=202)
async def empty(within: float = 60.0, user: str | None = None) -> dict[str, str]:
    return {"run": (await runs.start(user_id=user, within_seconds=within)).id}


@app.post("/by-hand/{id}")
async def by_hand(id: str, items: int = 3, word: str | None = None) -> dict[str, str]:
    async with runs.open(id) as run:
        for n in range(items):
            await run.send({"n": n})
        if word is not None:
            await run.send(word)
    return {"run": id}


@app.post("/threads/{id}")
def in_a_thread(id: str, items: int = 3) -> dict[str, str]:
    with runs.open(id) as run:
        for n in range(items):
            run.send({"n": n})
    return {"run": id}


@app.get("/runs/{id}")
async def follow(id: str, user: str | None = None, text: bool = False, last: str | None = None) -> Response:
    return await runs.stream(id, user_id=user, text=text, last=last)


@app.delete("/runs/{id}")
async def cancel(id: str, user: str | None = None) -> Response:
    return await runs.cancel(id, user_id=user)


@app.get("/runs")
async def listed(user: str | None = None) -> list[dict[str, Any]]:
    return [info._asdict() for info in await runs.list(user_id=user)]


@app.post("/disconnect/{user}")
async def disconnect(user: str) -> None:
    nitro.disconnect_user(user)


@app.get("/results/{id}")
async def result(id: str) -> dict[str, Any]:
    AWAITED.append(id)
    try:
        return {"items": await runs.open(id).result()}
    except runs.RunFailed as error:
        return {"error": type(error).__name__, "reason": str(error)}


@app.get("/awaited")
async def awaited() -> list[str]:
    return AWAITED


@app.get("/ended")
async def ended() -> list[str]:
    return ENDED
