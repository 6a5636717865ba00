"""An application with every kind of stream, and doors through which tests look at what is left."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import nitro
from nitro import Client, EventSourceResponse, active_clients, emit, shutdown
from nitro.delivery.process import get_hub

emitter: ContextVar[str] = ContextVar("emitter", default="nobody")
held: ContextVar[bool] = ContextVar("held", default=False)
seen_by_sends: set[str] = set()


worst_lag = 0.0


async def watch_lag() -> None:
    """Notes by how much the loop was late with a timer of 10 ms."""
    global worst_lag
    while True:
        due = time.monotonic() + 0.01
        await asyncio.sleep(0.01)
        worst_lag = max(worst_lag, time.monotonic() - due)


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    watching = asyncio.create_task(watch_lag())
    yield
    watching.cancel()
    print("lifespan shutdown ran", flush=True)


app = FastAPI(lifespan=lifespan)


class LooksAtContext:
    """Notes which emitter's context a send runs in: none may be seen."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noting(message: Message) -> None:
            if scope.get("path") != "/emit":
                seen_by_sends.add(emitter.get())
            await send(message)

        await self.app(scope, receive, noting)


class WaitsInSend:
    """Suspends in the middle of each send, under a time limit of anyio's, as careful middleware does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def waiting(message: Message) -> None:
            await anyio.lowlevel.checkpoint()
            await send(message)

        await self.app(scope, receive, waiting)


class HoldsScopes:
    """Keeps a time limit, a lock and a context variable over each send, and writes into the message."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lock = anyio.Lock()

        async def holding(message: Message) -> None:
            token = held.set(True)
            with anyio.fail_after(30):
                async with lock, asyncio.timeout(30):
                    await anyio.lowlevel.checkpoint()
                    if b"data: " in message.get("body", b""):
                        message["body"] += b":" + str(id(lock)).encode() + b"\n"
                    await send(message)
            held.reset(token)

        await self.app(scope, receive, holding)


class SoonBack(EventSourceResponse):
    """Its last bytes ask for a wait of 20 ms."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.body" and not message["more_body"]:
                message["body"] = b"retry: 20\n"
            await send(message)

        await super().__call__(scope, receive, sending)


async def pass_on(request: Request, call_next: Any) -> Response:
    return await call_next(request)  # type: ignore[no-any-return]


app.add_middleware(LooksAtContext)
for name in os.environ.get("TEST_MIDDLEWARE", "").split():
    if name == "base":
        app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    elif name == "gzip":
        app.add_middleware(GZipMiddleware, minimum_size=1)
    elif name == "holds":
        app.add_middleware(HoldsScopes)
    elif name == "waits":
        app.add_middleware(WaitsInSend)


@app.get("/events")
async def events(topics: str = "t.*", named: bool = False, text: bool = False, soon: bool = False) -> Response:
    """`soon`: its last bytes ask for a shorter wait than its first ones."""
    response = SoonBack if soon else EventSourceResponse
    return response(Client(topics=topics.split()), named=named, text=text)


@app.get("/events-of-a-server-that-stops")
async def events_of_a_server_that_stops() -> Response:
    os.kill(os.getpid(), signal.SIGTERM)
    return EventSourceResponse(Client(topics=["t.*"]))


@app.get("/from-a-thread")
def from_a_thread() -> Response:
    client = Client(topics=["t.*"]).connect()
    emit("t.early", result="emitted before the response began")
    return EventSourceResponse(client)


@app.get("/by-hand")
async def by_hand() -> Response:
    client = Client(topics=["t.*"])

    async def stream() -> AsyncIterator[str]:
        with client:
            yield ":\n\n"  # Starlette 0.46 compresses nothing here, but holds the head back until there is a body
            async for data in client.stream():
                yield f"data: {data}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream")


@app.api_route("/head", methods=["GET", "HEAD"])
async def head() -> Response:
    return EventSourceResponse(Client(topics=["t.*"]))


@app.post("/emit")
async def emit_in_loop(count: int = 1, start: int = 0, topic: str = "t.n", pad: int = 0, ticks: bool = False) -> int:
    emitter.set("an emitter's secret")
    for n in range(start, start + count):
        emit(topic, "me", result={"n": n, "pad": "x" * pad})
        if ticks:
            await asyncio.sleep(0)
    return count


@app.post("/emit-in-thread")
def emit_in_thread(count: int = 1, thread: int = 0) -> int:
    for n in range(count):
        emit("t.n", "me", result={"n": n, "thread": thread})
    return count


@app.post("/disconnect-all")
async def disconnect_all(stop: bool = False) -> int:
    clients = list(active_clients.values())
    for client in clients:
        client.disconnect(stop=stop)
    return len(clients)


@app.post("/shutdown")
def shut_down() -> None:
    shutdown()


@app.get("/page", response_class=HTMLResponse)
async def page() -> str:
    """A page as plain as can be, that keeps what it hears."""
    return """<!doctype html><title>stream</title><script>
    const heard = [], gaps = [];
    const source = new EventSource("/events");
    source.onmessage = (event) => heard.push(JSON.parse(event.data).n);
    source.addEventListener("gap", (event) => gaps.push(JSON.parse(event.data).reason));
    </script>"""


@app.get("/left")
async def left() -> dict[str, Any]:
    """What is alive, beside this request."""
    return {
        "clients": len(active_clients),
        "lanes": len(get_hub()._lanes),
        "feeds": sum(len(lane.feeds) for lane in get_hub()._lanes.values()),
        "tasks": len(asyncio.all_tasks()),
        "fds": len(os.listdir("/proc/self/fd")),
        "seen_by_sends": sorted(seen_by_sends),
        "resident_kib": int(_status("VmRSS")),
        "peak_kib": int(_status("VmHWM")),
    }


@app.get("/statistics")
async def statistics() -> dict[str, Any]:
    return dataclasses.asdict(nitro.statistics())


@app.get("/lag")
async def lag() -> float:
    """The longest that the loop was late since the last look, in seconds."""
    global worst_lag
    seen, worst_lag = worst_lag, 0.0
    return seen


def _status(name: str) -> str:
    with open("/proc/self/status") as status:
        return next(line.split()[1] for line in status if line.startswith(name + ":"))
