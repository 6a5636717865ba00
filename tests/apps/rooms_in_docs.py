"""`docs/how-to/presence.md`'s application as it stands there, and pages: `/` with the client, `/plain` without it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from tests.servers import ROOT
from tests.specification.blocks import blocks_in

_application, _page, _plain = list(blocks_in((ROOT / "docs/how-to/presence.md").read_text()))[:3]
_namespace: dict[str, Any] = {"__name__": "rooms_in_docs"}
exec(compile(_application.source, "docs/how-to/presence.md", "exec", dont_inherit=True), _namespace)
app: FastAPI = _namespace["app"]


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    return _page.source


@app.get("/plain", response_class=HTMLResponse)
async def plain() -> str:
    return _plain.source
