"""The recipes of `docs/how-to/frontends.md`, and of the page without holes, as they stand there, on pages of their own,
and libraries.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from jinja2 import FunctionLoader
from starlette.middleware.base import RequestResponseEndpoint

import nitro
from nitro import Client, EventSourceResponse, active_clients, emit
from tests.documents import ROOT, Document

PAGE = Document("docs/how-to/frontends.md")
WITHOUT_HOLES = Document("docs/how-to/page-without-holes.md")
NODE_MODULES = Path(os.environ.get("NITRO_NODE_MODULES", ROOT / "js/node_modules"))
LIBRARIES = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "hx-sse.min.js": "htmx.org/dist/ext/hx-sse.min.js",
    "hx-upsert.min.js": "htmx.org/dist/ext/hx-upsert.min.js",
    "htmx2.min.js": "htmx2/dist/htmx.min.js",
    "sse.min.js": "htmx-ext-sse/dist/sse.min.js",
    "turbo.es2017-umd.js": "@hotwired/turbo/dist/turbo.es2017-umd.js",
}
visits: Counter[tuple[str, bool, bool, bool]] = Counter()


namespace: dict[str, Any] = {"__name__": "recipes"}
for under in ("With other libraries", "Turbo", "Datastar"):
    PAGE.run(PAGE.the("python", under), namespace)
app: FastAPI = namespace["app"]
applying: dict[str, Any] = {"__name__": "applying"}
WITHOUT_HOLES.run(WITHOUT_HOLES.the("python", "Applying events"), applying)
app.include_router(applying["app"].router)
app.mount("/nitro", nitro.assets)
todos: dict[str, str] = namespace["todos"]
beginning = ""
template: ContextVar[str] = ContextVar("template")
"""What the recipe's `todos.html` is for this request."""
namespace["templates"].env.loader = FunctionLoader(lambda _: template.get())
namespace["templates"].env.cache = None


@app.get("/static/{name}")
async def static(name: str) -> FileResponse:
    return FileResponse(Path(os.environ.get("NITRO_BUNDLES", "")) / name if name not in LIBRARIES else library(name))


def library(name: str) -> Path:
    return NODE_MODULES / LIBRARIES[name]


@app.get("/pages/{heading}")
async def page(
    request: Request,
    heading: str,
    unnamed: bool = False,
    lost: bool = False,
    closes: bool = False,
    plain: bool = False,
    boosted: bool = False,
    early: bool = False,
) -> Response:
    """A page with a recipe. `lost` begins it once with an id that no log has; `closes` lets `todo.end` end it; `plain`
    is the second way that the documentation gives; `boosted` lets htmx follow the link to the other page; `early`
    begins it before all that has been emitted since `/forget`.
    """
    html = PAGE.the("html turbo-stream-source" if plain else "html", heading).source
    if unnamed:
        html = html.replace("named=true&", "").replace('sse-swap="todo.added"', 'sse-swap="message"')
    if closes:
        html = re.sub(
            r'(hx-sse:|sse-)connect="/events\?(named=true&)?',
            r'\1close="todo.end" \1connect="/events?named=true&',
            html,
        )
    visits[heading, unnamed, lost, plain] += 1
    if lost and visits[heading, unnamed, lost, plain] == 1:
        html = html.replace("{{ position }}", "nobodys")
    if early:
        html = html.replace("{{ position }}", beginning)
    again = "again" if visits[heading, unnamed, lost, plain] > 1 else ""
    boost = ' hx-boost="true" hx-boost:inherited="true"' if boosted else ""
    head, body = html.split("<ul", 1)
    template.set(
        f"<!doctype html><html><head><title>quiet</title>{head}</head>"
        f'<body{boost}><ul{body}<output>{again}</output><a href="/other">on</a></body></html>'
    )
    answer: Response = await namespace["page"](request)
    return answer


WORKERS = {
    "answers": "self.addEventListener('fetch', (event) => event.respondWith(fetch(event.request)));",
    "passes": PAGE.the("js", "Behind a service worker").source,
}
COUNTS = """
let count = 0;
self.addEventListener("fetch", (event) => {
  if (event.request.url.endsWith("/count")) event.respondWith(new Response(count));
  else if (event.request.headers.get("accept")?.includes("text/event-stream")) count += 1;
});
"""
"""How many streams it was asked for, at `/count`."""


@app.get("/worker.js")
async def worker(kind: str) -> Response:
    """A service worker, and beside it what shows that it was there."""
    return Response(COUNTS + WORKERS[kind], media_type="text/javascript")


@app.get("/native", response_class=HTMLResponse)
async def native(starts: bool = False) -> str:
    """A page with nothing but an EventSource."""
    url = f"/items/events?last_event_id={nitro.position()}" if starts else "/items/events"
    script = f"""window.heard = []; window.source = new EventSource("{url}");
        source.onmessage = ({{ data }}) => heard.push(JSON.parse(data).text);"""
    return f"<!doctype html><title>quiet</title><script>{script}</script>"


@app.get("/other", response_class=HTMLResponse)
async def other() -> str:
    return "<!doctype html><html><head><title>other</title></head><body><h1>Another page</h1></body></html>"


refusals: list[int] = []


@app.middleware("http")
async def refuse(request: Request, call_next: RequestResponseEndpoint) -> Response:
    """Answer who asks for a stream as it was ordered, as a proxy, a limit or a login would: with a piece of HTML."""
    if refusals and request.method == "GET" and request.url.path in ("/events", "/streams", "/items/events"):
        return HTMLResponse("<li>You were refused</li>", refusals.pop(0))
    return await call_next(request)


@app.post("/refuse")
async def order(statuses: list[int]) -> None:
    refusals[:] = statuses


@app.get("/refusals")
async def left() -> int:
    return len(refusals)


@app.post("/forget")
async def forget() -> None:
    """Have no data, as before each test."""
    global beginning
    beginning = await nitro.position_async()
    todos.clear()
    applying["items"].clear()


@app.get("/react/{name}", response_class=HTMLResponse)
async def react(name: str) -> str:
    script = f'<script type="module" src="/static/{name}.js"></script>'
    return f"<!doctype html><title>quiet</title><main></main>{script}"


@app.get("/json")
async def json() -> EventSourceResponse:
    return EventSourceResponse(Client(topics=["json.*"]))


@app.get("/position")
async def position() -> str:
    return nitro.position()


@app.post("/json")
async def emit_json(title: str) -> None:
    emit("json.added", result={"title": title})


@app.get("/applying", response_class=HTMLResponse)
async def applying_page() -> str:
    """The script of `Applying events`, and the list that it shows."""
    script = WITHOUT_HOLES.the("js", "Applying events").source
    scripts = f'<script src="/static/show.js"></script><script type="module">{script}</script>'
    return f"<!doctype html><title>quiet</title><ul></ul>{scripts}"


@app.post("/write-early")
async def write_early(id: str) -> None:
    """Write an item, and emit nothing yet: who reads the data now gets it, and hears of it later."""
    applying["items"][id] = {"id": id, "text": id}


@app.post("/again")
async def again(id: str, title: str) -> None:
    """Emit a todo once more that pages show already."""
    item = f'<li id="{id}">{title}</li>'
    emit("todo.added", result=item)
    emit(
        "stream.todos",
        result=f'<turbo-stream action="append" target="todos"><template>{item}</template></turbo-stream>',
    )


@app.get("/clients")
async def clients() -> int:
    return len(active_clients)


@app.post("/end")
async def end() -> None:
    emit("todo.end", result="the end")


@app.post("/disconnect-all")
async def disconnect_all(stop: bool = False, then: str = "") -> None:
    """End all streams; and emit an item before anybody can be back."""
    for client in list(active_clients.values()):
        client.disconnect(stop=stop)
    if then:
        emit("item.written", result={"id": then, "text": then})
