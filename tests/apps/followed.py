"""The runs of `tests/apps/runs.py`, and pages that follow them: `/page?run=…` by `follow`, `/native?run=…` by the
browser's own `EventSource`.

`/asked` has the requests for runs, each with the header `Authorization`, which may be `refuse 403`, say.
"""

from __future__ import annotations

from fastapi.responses import HTMLResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

import nitro
from tests.apps import runs

PAGE = '<!doctype html><meta charset="utf-8"><title>quiet</title><script type="module" src="{script}"></script>'
SCRIPT = """
import { follow } from "/nitro/follow.js";
Object.assign(window, { items: [], ids: [], ends: [], failures: [], states: [], errors: [] });
addEventListener("error", (event) => errors.push(String(event.message)));
window.begin = (url, options) => {
  window.run = follow(url, {
    onitem: (item, id) => { items.push(item.n ?? item); ids.push(id); },
    onend: (end) => ends.push(end),
    onerror: ({ status, message }) => failures.push([status, message]),
    onstate: (state, error) => states.push([state, error?.status ?? null]),
    ...options,
  });
};
window.stop = () => fetch(location.search.replace("?run=", "/runs/"), { method: "DELETE" });
const id = new URLSearchParams(location.search).get("run");
if (id) begin(`/runs/${id}`);
"""
NATIVE = """
Object.assign(window, { items: [], ends: [], errors: 0 });
window.source = new EventSource(location.search.replace("?run=", "/runs/"));
source.onmessage = ({ data }) => items.push(JSON.parse(data).n);
source.addEventListener("end", ({ data }) => ends.push(JSON.parse(data)));
source.onerror = () => errors++;
"""
SCRIPTS = {"page": SCRIPT, "native": NATIVE}
asked: list[dict[str, str]] = []


class Watched:
    """Notes who asks for a run, and refuses who asks for that."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and scope["path"].startswith("/runs/"):
            request = Request(scope)
            authorization = request.headers.get("authorization", "")
            asked.append({"url": str(request.url), "authorization": authorization})
            if authorization.startswith("refuse "):
                return await Response(status_code=int(authorization.split()[1]))(scope, receive, send)
        return await self.app(scope, receive, send)


app = runs.app
app.mount("/nitro", nitro.assets)
app.add_middleware(Watched)


@app.get("/asked")
async def all_asked() -> list[dict[str, str]]:
    return asked


@app.get("/scripts/{name}.js")
async def script(name: str) -> Response:
    return Response(SCRIPTS[name], media_type="text/javascript")


@app.get("/{name}", response_class=HTMLResponse)
async def page(name: str) -> HTMLResponse:
    html = PAGE.format(script=f"/scripts/{name}.js")
    return HTMLResponse(html, headers={"content-security-policy": "default-src 'self'"})
