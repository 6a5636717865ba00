"""The examples of `docs/how-to/live.md` that send HTML, as they stand there, and a page for each of them."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse

from tests.apps.frontends import library
from tests.apps.rendered import PAGES
from tests.servers import ROOT

__all__ = ["app"]

_text = (ROOT / "docs/how-to/live.md").read_text()
_section = _text.partition("### HTML instead of JSON\n")[2].partition("\n### ")[0]
_blocks = re.findall(r"```(python|html)\n(.*?)```", _text.partition("## Live queries")[0] + _section, re.DOTALL)
_python = "\n".join(block for language, block in _blocks if language == "python")
_, _htmx, _turbo = [block for language, block in _blocks if language == "html"]
_namespace: dict[str, Any] = {"__name__": "live_in_docs"}
exec(compile(_python, "docs/how-to/live.md", "exec", dont_inherit=True), _namespace)
app: FastAPI = _namespace["app"]
_bodies = {
    "htmx 4": re.sub(r"<div hx-ext.*", "", _htmx),
    "htmx 2": re.sub(r"<div hx-sse:.*", "", _htmx),
    "Turbo": _turbo,
}


@app.get("/pages/{name}", response_class=HTMLResponse)
async def page(name: str) -> str:
    head, _ = PAGES[name]
    return f"<!doctype html><html><head><title>quiet</title>{head}</head><body>{_bodies[name]}</body></html>"


@app.get("/static/{name}")
async def static(name: str) -> FileResponse:
    return FileResponse(library(name))
