"""An application that takes what strangers send: a stream within a grant, streams of everything, and a page that reads
those in each way that a browser has. `tests/bad_inputs` sends it what is bad.
"""

from __future__ import annotations

from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route

import nitro
from nitro import Client, EventSourceResponse, Grant, active_clients, emit, event_stream

PAGE = '<!doctype html><meta charset="utf-8"><title>quiet</title><script type="module" src="/script.js"></script>'
SCRIPT = """
import { connect } from "/nitro/client.js";
window.text = [];    // what a stream of text brought
window.json = [];    // what a stream of JSON brought
window.named = [];   // what came under the name "t.x"
window.seconds = []; // what came under a name that no application of ours emits
window.client = [];  // what the browser client brought
window.errors = [];
addEventListener("error", (event) => errors.push(String(event.message)));
const url = "/everything?muted=neighbour.*";
const sources = ["&text", "", "&named"].map((form) => new EventSource(url + form));
sources[0].onmessage = ({ data }) => text.push(data);
sources[1].onmessage = ({ data }) => json.push(JSON.parse(data));
sources[2].addEventListener("t.x", ({ data }) => named.push(JSON.parse(data)));
for (const source of sources) source.addEventListener("admin", ({ data }) => seconds.push(data));
window.live = connect(url, { share: location.search !== "?alone" });
live.on("*", (data, { topic }) => client.push([topic, data]));
live.on("admin", (data) => seconds.push(data));
window.isOpen = () => live.state === "open" && sources.every(({ readyState }) => readyState === EventSource.OPEN);
"""


async def events(request: Request) -> Response:
    """What the user of `?user=` may hear."""
    user = request.query_params.get("user", "nobody")
    grant = Grant(["t.*", f"user.{user}.*"], denied=["t.denied"], user_id=user)
    return event_stream(request, grant)


async def everything(request: Request) -> Response:
    """All that is emitted, but for `?muted=`, in the form that `&named` and `&text` ask for."""
    query = request.query_params
    client = Client(topics=["*"], muted_topics=query.getlist("muted"))
    return EventSourceResponse(client, named="named" in query, text="text" in query)


async def page(_: Request) -> Response:
    return HTMLResponse(PAGE, headers={"content-security-policy": "default-src 'self'"})


async def emit_all(request: Request) -> Response:
    """Emit each pair of a topic and a result; where the log stands then."""
    for topic, result in await request.json():
        emit(topic, result=result)
    return JSONResponse({"position": nitro.position()})


async def clients(_: Request) -> Response:
    return JSONResponse(len(active_clients))


async def waiting(_: Request) -> Response:
    """Bytes that wait for the client that is furthest behind."""
    return JSONResponse(nitro.statistics().slowest_bytes)


post = partial(Route, methods=["POST"])
app = Starlette(
    routes=[
        Route("/events", events),
        Route("/everything", everything),
        Route("/page", page),
        Route("/script.js", lambda _: Response(SCRIPT, media_type="text/javascript")),
        Route("/clients", clients),
        Route("/waiting", waiting),
        post("/emit", emit_all),
        Mount("/nitro", nitro.assets),
    ]
)
