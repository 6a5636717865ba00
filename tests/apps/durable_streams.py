"""Durable streams that everybody may use: mounted by Starlette and by FastAPI, and as an application of its own.

What a request may not do stands in its header `X-Refuse`, for tests of refusals.
"""

from __future__ import annotations

import os

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from nitro.durable_streams import Action, DurableStreams
from nitro.sse.readers import readers
from nitro.streams.process import get_streams


async def authorize(request: Request, path: str, action: Action) -> bool:
    return _may(request, path, action)


def authorize_in_thread(request: Request, path: str, action: Action) -> bool:
    return _may(request, path, action)


def _may(request: Request, path: str, action: Action) -> bool:
    if request.headers.get("x-refuse") == "login":
        raise HTTPException(401, "who are you?", {"www-authenticate": "Bearer"})
    return request.headers.get("x-refuse") not in (action, f"{action} {path}")


async def left(request: Request) -> JSONResponse:
    """What is left of readers: those who wait, and the streams that are watched for them."""
    return JSONResponse([len(readers()._waiting), len(get_streams().access._tails)])


def made(**options: object) -> DurableStreams:
    return DurableStreams(
        **{
            "authorize": authorize,
            "long_poll_seconds": float(os.environ.get("TEST_LONG_POLL_SECONDS", "1")),
            "sse_seconds": float(os.environ.get("TEST_SSE_SECONDS", "60")),
            **options,
        }  # type: ignore[arg-type]
    )


app = Starlette(routes=[Mount("/v1/stream", made()), Mount("/small", made(max_body_bytes=1_000)), Route("/left", left)])
fastapi_app = FastAPI()
fastapi_app.mount("/v1/stream", made(authorize=authorize_in_thread))
alone = made()
