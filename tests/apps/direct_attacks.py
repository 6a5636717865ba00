"""Applications and middleware that treat a stream in odd ways, for `tests/test_direct_attacks.py`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from starlette.types import Message, Receive, Scope, Send

import nitro
from nitro import Client, EventSourceResponse, emit
from nitro.sse.direct import DirectStream

web = FastAPI()


def stream() -> EventSourceResponse:
    return EventSourceResponse(Client(topics=["t.*"]))


async def own_head(scope: Scope, receive: Receive, send: Send) -> None:
    """Sends a head of its own, and only the body of the response."""
    head = [(b"content-type", b"text/event-stream"), (b"x-own", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": head})

    async def body(message: Message) -> None:
        if message["type"] == "http.response.body":
            await send(message)

    await stream()(scope, receive, body)


async def iterator(scope: Scope, receive: Receive, send: Send) -> None:
    """Passes the headers on as an iterable that can be read once, as ASGI allows."""

    async def passing(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": (header for header in [*message["headers"], (b"x-last", b"1")])}
        await send(message)

    await stream()(scope, receive, passing)


async def final(scope: Scope, receive: Receive, send: Send) -> None:
    """Forgets `more_body`."""

    async def passing(message: Message) -> None:
        await send({key: value for key, value in message.items() if key != "more_body"})

    await stream()(scope, receive, passing)


async def fails_late(scope: Scope, receive: Receive, send: Send) -> None:
    """Fails after the response, as a dependency's exit or a middleware's last line may."""
    await stream()(scope, receive, send)
    await asyncio.sleep(float(scope["query_string"] or b"0"))
    raise ValueError("after the stream")


async def returns_something(scope: Scope, receive: Receive, send: Send) -> Any:
    await stream()(scope, receive, send)
    return "something"


async def twice(scope: Scope, receive: Receive, send: Send) -> None:
    """Two responses to one request, one after the other."""
    await stream()(scope, receive, send)
    await stream()(scope, receive, send)


async def sub_request(scope: Scope, receive: Receive, send: Send) -> None:
    """Asks another application of the process for a stream, takes its head, then answers with JSON itself."""
    got: list[Message] = []

    async def own(message: Message) -> None:
        got.append(message)
        if len(got) == 2:
            raise OSError("enough")

    with contextlib.suppress(OSError):
        await stream()(dict(scope), receive, own)
    body = b'{"got": %d}' % len(got)
    head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def late(scope: Scope, receive: Receive, send: Send) -> None:
    """Passes everything on from another task, a moment later."""
    queue: asyncio.Queue[Message] = asyncio.Queue()

    async def pump() -> None:
        while True:
            message = await queue.get()
            await asyncio.sleep(0.02)
            await send(message)

    task = asyncio.create_task(pump())
    try:
        await stream()(scope, receive, queue.put)
        await asyncio.sleep(0.2)
    finally:
        task.cancel()


async def cancels_when_gone(scope: Scope, receive: Receive, send: Send) -> None:
    """Cancels the application when the client disconnects, which many have for long requests."""
    work = asyncio.create_task(web(scope, receive, send))

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        work.cancel()

    watcher = asyncio.create_task(watch())
    try:
        await work
    finally:
        watcher.cancel()


async def early_return(scope: Scope, receive: Receive, send: Send) -> None:
    """Returns while a task of its own still sends."""

    async def work() -> None:
        try:
            await stream()(scope, receive, send)
        except BaseException as error:
            happened.append(f"{type(error).__name__}: {error}")
            raise

    tasks.add(asyncio.create_task(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)


happened: list[str] = []
tasks: set[Any] = set()

SPECIAL = {
    "/own-head": own_head,
    "/iterator": iterator,
    "/final": final,
    "/fails-late": fails_late,
    "/returns-something": returns_something,
    "/twice": twice,
    "/sub-request": sub_request,
    "/late": late,
    "/cancels/events": cancels_when_gone,
    "/early-return": early_return,
}


async def app(scope: Scope, receive: Receive, send: Send) -> Any:
    special = SPECIAL.get(scope.get("path", ""))
    if special is not None:
        return await special(scope, receive, send)
    return await web(scope, receive, send)


async def slow_session() -> AsyncIterator[int]:
    try:
        yield 1
        await asyncio.sleep(0.05)
        happened.append("committed")
    except BaseException as error:
        happened.append(f"session: {type(error).__name__}")
        raise


async def failing_session() -> AsyncIterator[int]:
    yield 1
    raise ValueError("the commit failed")


@web.get("/events")
async def events() -> Any:
    return stream()


@web.get("/cancels/events")
async def cancelled(session: Annotated[int, Depends(slow_session)]) -> Any:
    return stream()


@web.get("/failing-session")
async def with_failing_session(session: Annotated[int, Depends(failing_session)]) -> Any:
    return stream()


@web.post("/emit")
async def emitting(count: int = 1, pad: int = 0, start: int = 0) -> int:
    for n in range(start, start + count):
        emit("t.n", result={"n": n, "pad": "x" * pad})
    return count


@web.get("/block")
async def block() -> None:
    """The loop does nothing else, and connections wait to be accepted."""
    time.sleep(1)  # noqa: ASYNC251 - that is the point


@web.get("/left")
async def left() -> dict[str, Any]:
    statistics = nitro.statistics()
    return {
        "clients": statistics.clients,
        "direct": statistics.direct,
        "objects": sum(isinstance(each, DirectStream | Client) for each in gc.get_objects()),
        "tasks": len(asyncio.all_tasks()),
        "fds": len(os.listdir("/proc/self/fd")),
        "happened": happened,
    }
