"""The examples of `docs/how-to/live.md` with a page, as they stand there: lists, as JSON and as HTML, and events."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse

from nitro import Client
from tests.apps.frontends import library
from tests.apps.rendered import PAGES
from tests.documents import Document

__all__ = ["app"]

_page = Document("docs/how-to/live.md")
_, _htmx, _turbo = (block.source for block in _page.all("html"))
_events = _page.the("js", "Events of rows").source
_namespace: dict[str, Any] = {"__name__": "live_in_docs", "Client": Client}
for _under in ("A live list", "HTML instead of JSON", "Events of rows"):
    _page.run(_page.the("python", _under), _namespace)
app: FastAPI = _namespace["app"]
_bodies = {
    "htmx 4": re.sub(r"<div hx-ext.*", "", _htmx),
    "htmx 2": re.sub(r"<div hx-sse:.*", "", _htmx),
    "Turbo": _turbo,
    "events": f"""<ul id="list"></ul><script>
        const show = ({{ title }}) => list.append(Object.assign(document.createElement("li"), {{ innerText: title }}));
        {_events}
    </script>""",
}


@app.get("/pages/{name}", response_class=HTMLResponse)
async def page(name: str) -> str:
    head, _ = PAGES.get(name, ("", ""))
    return f"<!doctype html><html><head><title>quiet</title>{head}</head><body>{_bodies[name]}</body></html>"


@app.get("/static/{name}")
async def static(name: str) -> FileResponse:
    return FileResponse(library(name))
