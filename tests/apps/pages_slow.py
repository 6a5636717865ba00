"""`tests/apps/pages.py`, with an empty page at `/blank`, which may have a `<base>`, the client a second time at `/v2`,
and a script for shared workers that comes late, or not at all: `/worker-script`.
"""

from __future__ import annotations

import asyncio
import time

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

import nitro
from tests.apps import pages

script: dict[str, float] = {"seconds": 0, "status": 200}


async def blank(request: Request) -> Response:
    return HTMLResponse(f'<!doctype html><base href="{request.query_params.get("base", "/")}"><title>blank</title>')


async def worker_script(request: Request) -> Response:
    """After how many seconds shared workers get their script from now on, and with which status."""
    script.update({"seconds": 0, "status": 200, **await request.json()})
    return JSONResponse({})


pages_and_more = Starlette(
    routes=[
        Route("/blank", blank),
        Route("/app/events", pages.events),
        Route("/worker-script", worker_script, methods=["POST"]),
        Mount("/v2", nitro.assets),
        *pages.app.routes,
    ],
    lifespan=pages.lifespan,
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and (b"sec-fetch-dest", b"sharedworker") in scope["headers"]:
        began = time.monotonic()
        while time.monotonic() - began < script["seconds"]:
            await asyncio.sleep(0.05)
        if script["status"] != 200:
            return await Response("no", status_code=int(script["status"]))(scope, receive, send)
    return await pages_and_more(scope, receive, send)
