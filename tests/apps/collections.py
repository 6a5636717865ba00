"""A live query and pages that have its rows: `/page`, `/write`, and the scripts that a test has built.

The rows are those of owner 1, by rank. The page notes each call of its listener, and how many rows there
were in each frame.
"""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from sqlmodel import Session

import nitro
from nitro import EventSourceResponse, active_clients

PAGE = """<!doctype html><meta charset="utf-8"><title>quiet</title><main></main><ul></ul>
<script type="module" src="{script}"></script>"""
SCRIPT = """
import { collection } from "/nitro/collection.js";
Object.assign(window, { changes: [], frames: [], states: [], errors: [] });
addEventListener("error", (event) => errors.push(String(event.message)));
const begin = (url) => {
  window.todos = collection(url, { key: "id", sort: "rank" });
  todos.onchange = (_, told) => changes.push(told.map(({ operation, key }) => `${operation} ${key}`));
  todos.subscribe(() => states.at(-1) !== todos.state && states.push(todos.state));
  const look = () => {
    frames.push(todos.size);
    requestAnimationFrame(look);
  };
  look();
};
begin(new URLSearchParams(location.search).get("url") ?? "/todos/live");
window.titles = () => todos.rows.map(({ title }) => title).join();
window.write = async (...commits) => {
  const response = await fetch("/write", { method: "POST", body: JSON.stringify(commits) });
  return response.headers.get("Nitro-Position");
};
"""
asked: list[str] = []
app = FastAPI()
app.mount("/nitro", nitro.assets)


class CollectedTodo(nitro.Entity, table=True, live=True, topic="todo"):
    owner_id: int = 1
    title: str
    rank: int = 0


class CollectedOrder(nitro.Entity, table=True, live=True, topic="order"):
    price: Decimal


CollectedTodo._repository.init_db()


@app.get("/page", response_class=HTMLResponse)
async def page() -> HTMLResponse:
    return HTMLResponse(PAGE.format(script="/script.js"), headers={"content-security-policy": "default-src 'self'"})


@app.get("/script.js")
async def script() -> Response:
    return Response(SCRIPT, media_type="text/javascript")


@app.get("/built/{name}", response_class=HTMLResponse)
async def built(name: str) -> str:
    return PAGE.format(script=f"/built/{name}/script.js")


@app.get("/built/{name}/script.js")
async def built_script(name: str) -> FileResponse:
    return FileResponse(Path(os.environ["BUILT"]) / f"{name}.js", media_type="text/javascript")


@app.get("/todos/live")
async def live(request: Request) -> EventSourceResponse:
    asked.append(str(request.query_params))
    return EventSourceResponse(CollectedTodo.live(CollectedTodo.owner_id == 1, order_by=CollectedTodo.rank))


@app.get("/todos/first")
async def first() -> EventSourceResponse:
    """A window: the first three."""
    return EventSourceResponse(CollectedTodo.live(CollectedTodo.owner_id == 1, order_by=CollectedTodo.rank, limit=3))


@app.get("/orders/live")
async def orders() -> EventSourceResponse:
    return EventSourceResponse(CollectedOrder.live())


@app.post("/orders")
def order(price: Decimal) -> None:
    CollectedOrder(price=price).save()


@app.post("/write")
async def write(request: Request) -> Response:
    """Each commit is a list of rows: `id` and what is to be set; null for `title` deletes."""
    for commit in await request.json():
        with Session(CollectedTodo._repository.engine) as session:
            for change in commit:
                apply(session, change)
            session.commit()
    return Response(headers={"Nitro-Position": await nitro.position_async()})


def apply(session: Session, change: dict[str, Any]) -> None:
    row = session.get(CollectedTodo, change["id"])
    if row is None:
        session.add(CollectedTodo(**change))
    elif change.get("title", "") is None:
        session.delete(row)
    else:
        for name, value in change.items():
            setattr(row, name, value)


@app.get("/todos")
async def todos() -> list[str]:
    rows = CollectedTodo.where(CollectedTodo.owner_id == 1, order_by=CollectedTodo.rank)
    return [row.title for row in rows]


@app.get("/ids")
async def ids() -> list[str]:
    return [row.id for row in CollectedTodo.all()]


@app.post("/todos")
async def create(request: Request) -> Response:
    """As a program's endpoint would; a title may be refused."""
    row = await request.json()
    if row["title"] == "refused":
        return Response(status_code=422)
    CollectedTodo(**row).save()
    return Response(headers={"Nitro-Position": await nitro.position_async()})


@app.get("/state")
async def state() -> dict[str, Any]:
    return {"clients": len(active_clients), "asked": asked[-30:]}
