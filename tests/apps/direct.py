"""An application whose streams uvicorn can hand over, with what may stand in the way, and what is left of requests."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import nitro
from nitro import Client, EventSourceResponse, active_clients, client_event, emit
from nitro.sse.direct import DirectStream
from tests.apps.memory import resident_kib

app = FastAPI()
happened: deque[str] = deque(maxlen=1_000)
user: ContextVar[str] = ContextVar("user", default="nobody")


class Rewrites:
    """Changes the body of every response, or says that it does."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def rewriting(message: Message) -> None:
            if message["type"] == "http.response.start" and scope["path"] == "/announced":
                message["headers"].append((b"content-encoding", b"identity"))
            if message["type"] == "http.response.body" and scope["path"] == "/rewritten":
                message["body"] += b": signed\n"
            await send(message)

        await self.app(scope, receive, rewriting)


class AnswersInstead:
    """Fails when a stream at `/failing` is about to begin, and answers in its place."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def fail(_: Message) -> None:
            raise LookupError

        if scope["type"] != "http" or scope["path"] != "/failing":
            await self.app(scope, receive, send)
            return
        try:
            await self.app(scope, receive, fail)
        except LookupError:
            await Response(b"instead")(scope, receive, send)


class KeepsStreams:
    """Takes the offer to hand a connection over out of the scope, as a middleware does that has to see all of it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/kept":
            scope["extensions"].pop("nitro.direct", None)
        await self.app(scope, receive, send)


async def count_time(request: Request, call_next: Any) -> Response:
    user.set("ada")
    response: Response = await call_next(request)
    response.headers["x-time"] = "1"
    happened.append(f"the middleware is through with {request.url.path}")
    return response


for middleware in os.environ.get("TEST_MIDDLEWARE", "").split():
    if middleware == "base":
        app.add_middleware(BaseHTTPMiddleware, dispatch=count_time)
    elif middleware == "cors":
        app.add_middleware(CORSMiddleware, allow_origins=["*"])
app.add_middleware(Rewrites)
app.add_middleware(KeepsStreams)
app.add_middleware(AnswersInstead)


@nitro.on(client_event)
def note(sender: Any, action: str, client: Client) -> None:
    happened.append(action)


async def session() -> AsyncIterator[str]:
    happened.append("the session is open")
    yield "session"
    happened.append("the session is closed")


@app.api_route("/events", methods=["GET", "POST"])
@app.get("/rewritten")
@app.get("/announced")
@app.get("/kept")
@app.get("/failing")
async def events() -> Response:
    return EventSourceResponse(Client(topics=["t.*"]))


@app.get("/of-a-session")
async def of_a_session(session: Annotated[str, Depends(session)], background: BackgroundTasks) -> Response:
    background.add_task(lambda: happened.append(f"the background ran for {user.get()}"))
    return EventSourceResponse(Client(topics=["t.*"]))


@app.get("/failing-background")
async def failing_background(background: BackgroundTasks) -> Response:
    background.add_task(lambda: 1 / 0)
    return EventSourceResponse(Client(topics=["t.*"]))


@app.get("/stopping")
async def stopping() -> Response:
    """A stream that comes when the server has been told to stop, and has told its connections."""
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(0.3)
    return EventSourceResponse(Client(topics=["t.*"]))


@app.post("/emit")
async def emitting(count: int = 1, pad: int = 0, start: int = 0, ticks: bool = False) -> int:
    for n in range(start, start + count):
        emit("t.n", result={"n": n, "pad": "x" * pad})
        if ticks:
            await asyncio.sleep(0)
    return count


@app.post("/disconnect-all")
async def disconnect_all(stop: bool = False) -> int:
    clients = list(active_clients.values())
    for client in clients:
        client.disconnect(stop=stop)
    return len(clients)


@app.get("/left")
async def left() -> dict[str, Any]:
    """What is alive, beside this request."""
    import gc

    statistics = nitro.statistics()
    return {
        "clients": statistics.clients,
        "direct": statistics.direct,
        "ended": statistics.ended,
        "objects": sum(isinstance(each, DirectStream | Client) for each in gc.get_objects()),
        "tasks": len(asyncio.all_tasks()),
        "fds": len(os.listdir("/proc/self/fd")),
        "happened": list(happened),
        "resident_kib": resident_kib(),
        "signal": "nitro" in type(signal.getsignal(signal.SIGTERM)).__module__,
    }
