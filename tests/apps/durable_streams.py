"""Durable streams that everybody may use, where the conformance suite and clients look for them."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount

from nitro.durable_streams import Action, DurableStreams


async def authorize(request: Request, path: str, action: Action) -> bool:
    return request.headers.get("x-refuse") != action


streams = DurableStreams(
    authorize=authorize,
    long_poll_seconds=float(os.environ.get("TEST_LONG_POLL_SECONDS", "1")),
    sse_seconds=float(os.environ.get("TEST_SSE_SECONDS", "60")),
)
app = Starlette(routes=[Mount("/v1/stream", streams)])
