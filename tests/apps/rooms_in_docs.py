"""`docs/how-to/presence.md`'s application as it stands there, and more of its pages: `/plain`, `/one-stream`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from tests.documents import Document

_document = Document("docs/how-to/presence.md")
_, _plain, _one_stream = _document.all("html")
_namespace: dict[str, Any] = {"__name__": "rooms_in_docs"}
for _under in ("A room", "One stream for all rooms"):
    _document.run(_document.the("python", _under), _namespace)
app: FastAPI = _namespace["app"]


@app.get("/plain", response_class=HTMLResponse)
async def plain() -> str:
    return _plain.source


@app.get("/one-stream", response_class=HTMLResponse)
async def one_stream() -> str:
    return _one_stream.source
