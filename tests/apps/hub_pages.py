"""An application beside a hub: it issues tickets as `docs/how-to/serve.md` does, and has an empty page."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.documents import Document

document = Document("docs/how-to/serve.md")
names: dict[str, Any] = {}
document.run(document.the("python", "By ticket"), names)


async def ticket(request: Request) -> Response:
    return PlainTextResponse(names["ticket_of"]("ann"))


async def page(request: Request) -> Response:
    return HTMLResponse("<!doctype html><title>an application</title>")


app = Starlette(routes=[Route("/ticket", ticket, methods=["POST"]), Route("/page", page)])
