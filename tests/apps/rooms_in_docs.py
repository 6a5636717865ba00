"""`docs/how-to/presence.md`'s application as it stands there, and pages: `/` with the client, `/plain` without it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from tests.documents import Document

_document = Document("docs/how-to/presence.md")
_page, _plain = _document.all("html")
_namespace: dict[str, Any] = {"__name__": "rooms_in_docs"}
_document.run(_document.the("python", "A room in 20 lines"), _namespace)
app: FastAPI = _namespace["app"]


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    return _page.source


@app.get("/plain", response_class=HTMLResponse)
async def plain() -> str:
    return _plain.source
