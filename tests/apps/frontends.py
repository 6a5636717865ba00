"""The recipes of `docs/frontends.md` as they stand there, on pages of their own, and the libraries that they load."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, HTMLResponse

from nitro import Client, EventSourceResponse, active_clients, emit

ROOT = Path(__file__).parents[2]
NODE_MODULES = Path(os.environ.get("NITRO_NODE_MODULES", ROOT / "js/node_modules"))
LIBRARIES = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "hx-sse.min.js": "htmx.org/dist/ext/hx-sse.min.js",
    "htmx2.min.js": "htmx2/dist/htmx.min.js",
    "sse.min.js": "htmx-ext-sse/dist/sse.min.js",
    "turbo.es2017-umd.js": "@hotwired/turbo/dist/turbo.es2017-umd.js",
}
visits: Counter[tuple[str, bool, bool]] = Counter()


def recipe(heading: str, language: str) -> str:
    """The first block of the documentation in that language, under that heading."""
    sections = re.split(r"^##+ (.*)\n", (ROOT / "docs/frontends.md").read_text(), flags=re.MULTILINE)
    text = dict(zip(sections[1::2], sections[2::2], strict=True))[heading]
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None, f"docs/frontends.md has no {language} under {heading}"
    return found[1]


namespace: dict[str, Any] = {"__name__": "recipes"}
for under in ("With other libraries", "Turbo", "Datastar"):
    exec(compile(recipe(under, "python"), f"docs/frontends.md, {under}", "exec", dont_inherit=True), namespace)
app: FastAPI = namespace["app"]


@app.get("/static/{name}")
async def static(name: str) -> FileResponse:
    return FileResponse(Path(os.environ.get("NITRO_BUNDLES", "")) / name if name not in LIBRARIES else library(name))


def library(name: str) -> Path:
    return NODE_MODULES / LIBRARIES[name]


@app.get("/pages/{heading}", response_class=HTMLResponse)
async def page(heading: str, unnamed: bool = False, lost: bool = False, closes: bool = False) -> str:
    """A page with a recipe; `lost` begins it once with an id that no log has; `closes` lets `todo.end` end it."""
    html = recipe(heading, "html")
    if unnamed:
        html = html.replace("/events?named=true", "/events").replace('sse-swap="todo.added"', 'sse-swap="message"')
    if closes:
        connect = re.compile(r'(hx-sse:|sse-)connect="/events[^"]*"')
        html = connect.sub(r'\1connect="/events?named=true" \1close="todo.end"', html)
    visits[heading, unnamed, lost] += 1
    if lost and visits[heading, unnamed, lost] == 1:
        html = re.sub(r'"(/(?:events|streams))\??', r'"\1?last_event_id=nobodys&', html)
    again = "again" if visits[heading, unnamed, lost] > 1 else ""
    return f"<!doctype html><title>quiet</title>{html}<output>{again}</output>"


@app.get("/react", response_class=HTMLResponse)
async def react() -> str:
    return '<!doctype html><title>quiet</title><main></main><script type="module" src="/static/react.js"></script>'


@app.get("/json")
async def json() -> EventSourceResponse:
    return EventSourceResponse(Client(topics=["json.*"]))


@app.post("/json")
async def emit_json(title: str) -> None:
    emit("json.added", result={"title": title})


@app.get("/clients")
async def clients() -> int:
    return len(active_clients)


@app.post("/end")
async def end() -> None:
    emit("todo.end", result="the end")


@app.post("/disconnect-all")
async def disconnect_all(stop: bool = False) -> None:
    for client in list(active_clients.values()):
        client.disconnect(stop=stop)
