"""An application beside a hub: it issues tickets as `docs/how-to/serve.md` does, and has an empty page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.specification.blocks import blocks_in

TEXT = (Path(__file__).parents[2] / "docs/how-to/serve.md").read_text()
names: dict[str, Any] = {}
for block in blocks_in(TEXT):
    if (block.heading, block.language) == ("By ticket", "python"):
        exec(block.source, names)


async def ticket(request: Request) -> Response:
    return PlainTextResponse(names["ticket_of"]("ann"))


async def page(request: Request) -> Response:
    return HTMLResponse("<!doctype html><title>an application</title>")


app = Starlette(routes=[Route("/ticket", ticket, methods=["POST"]), Route("/page", page)])
