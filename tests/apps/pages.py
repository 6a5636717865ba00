"""A page with the browser client, for tests that drive it: `/page?options=…`, `/emit`, and answers that can be chosen.

The page has a strict Content-Security-Policy, and its script is a file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route

import nitro
from nitro import Client, EventSourceResponse, active_clients, emit, emit_async

PAGE = '<!doctype html><meta charset="utf-8"><title>quiet</title><script type="module" src="/script.js"></script>'
SCRIPT = """
import { connect } from "/nitro/client.js";
window.heard = []; window.gaps = []; window.states = []; window.errors = [];
addEventListener("error", (event) => errors.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => errors.push(event.violatedDirective));
window.open_ = (url, options) => {
  window.live = connect(url, options);
  live.onstate = (state, error) => states.push([state, error?.status ?? null, error?.message ?? null]);
  live.on("*", (data, { topic, id }) => heard.push([topic, data, id]));
  live.on("gap", (gap) => gaps.push(gap));
};
const options = JSON.parse(new URLSearchParams(location.search).get("options") ?? "null");
if (options) open_("/events", options);
"""
SERVICE_WORKER = """
let count = 0;
self.addEventListener("fetch", (event) => {
  if (event.request.url.endsWith("/count")) return event.respondWith(new Response(count));
  if (event.request.url.includes("/events")) count += 1;
  event.respondWith(fetch(event.request));
});
"""
"""One that answers everything, and says at `/count` how many streams it was asked for."""
answers: dict[str, object] = {"status": 200, "headers": {}}
asked: list[dict[str, str]] = []


async def page(_: Request) -> Response:
    return HTMLResponse(PAGE, headers={"content-security-policy": "default-src 'self'"})


async def script(_: Request) -> Response:
    return Response(SCRIPT, media_type="text/javascript")


async def service_worker(_: Request) -> Response:
    return Response(SERVICE_WORKER, media_type="text/javascript")


async def events(request: Request) -> Response:
    asked.append({"query": str(request.query_params), "authorization": request.headers.get("authorization", "")})
    if answers["status"] != 200:
        return Response("no", status_code=int(str(answers["status"])), headers=dict(answers["headers"]))  # type: ignore[call-overload]
    return EventSourceResponse(Client(topics=request.query_params.getlist("topic") or ["*"]))


async def answer(request: Request) -> Response:
    """What `/events` answers from now on."""
    answers.update(await request.json())
    return JSONResponse({})


async def emit_one(request: Request) -> Response:
    """What is answered is in the log."""
    for topic, data in await request.json():
        await emit_async(topic, result=data)
    return JSONResponse({"position": nitro.position()})


async def send(request: Request) -> Response:
    """To each connection alone."""
    for client in list(active_clients.values()):
        client.send(await request.json())
    return JSONResponse({})


async def stop(_: Request) -> Response:
    for client in list(active_clients.values()):
        client.disconnect(stop=True)
    return JSONResponse({})


async def state(_: Request) -> Response:
    return JSONResponse({"clients": len(active_clients), "connects": len(asked), "asked": asked[-20:]})


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Emit numbers all the time, if the environment says so."""

    async def tick() -> None:
        n = 0
        while True:
            emit("tick.n", result=n)
            n += 1
            await asyncio.sleep(0.02)

    task = asyncio.create_task(tick()) if os.environ.get("TICKS") else None
    yield
    if task:
        task.cancel()


app = Starlette(
    routes=[
        Route("/page", page),
        Route("/script.js", script),
        Route("/service-worker.js", service_worker),
        Route("/events", events),
        Route("/answer", answer, methods=["POST"]),
        Route("/emit", emit_one, methods=["POST"]),
        Route("/send", send, methods=["POST"]),
        Route("/stop", stop, methods=["POST"]),
        Route("/state", state),
        Mount("/nitro", nitro.assets),
    ],
    lifespan=lifespan,
)
