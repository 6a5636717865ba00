"""A recipe of `docs/how-to/access.md` as it stands there, chosen by NITRO_RECIPE, and doors beside it for tests."""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI, Request
from sqlalchemy import QueuePool
from sqlmodel import Field, Session, SQLModel, create_engine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route

import nitro
from nitro import active_clients, disconnect_user, emit
from tests.documents import Document

RECIPE = os.environ["NITRO_RECIPE"]
KEY = "a key of the tests, which is long enough"


class User(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str


def current_user(request: Request) -> str | None:
    """The application's own: here whoever a cookie says."""
    return request.cookies.get("user")


engine = create_engine(
    "sqlite://",
    poolclass=QueuePool,
    pool_size=1,
    max_overflow=0,
    pool_timeout=1,
    connect_args={"check_same_thread": False},
)
if RECIPE == "A database session":
    SQLModel.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(User(name="ada"))
        session.commit()

namespace: dict[str, Any] = {
    "__name__": __name__,
    "current_user": current_user,
    "KEY": KEY,
    "engine": engine,
    "User": User,
}
document = Document("docs/how-to/access.md")
document.run(document.the("python", RECIPE), namespace)
recipes_app = namespace["app"]

if isinstance(recipes_app, FastAPI):

    @recipes_app.post("/login")
    def login(request: Request, user: str) -> None:
        request.session["user"] = user


async def emit_one(request: StarletteRequest) -> Response:
    query = request.query_params
    emit(query["topic"], query.get("sender", "me"), result=query["result"])
    return JSONResponse(nitro.position())


async def disconnect(request: StarletteRequest) -> Response:
    disconnect_user(request.query_params["user"], stop="stop" in request.query_params)
    return JSONResponse(None)


async def clients(_: StarletteRequest) -> Response:
    return JSONResponse([list(client.topics) for client in active_clients.values()])


async def checked_out(_: StarletteRequest) -> Response:
    return JSONResponse(engine.pool.checkedout())  # type: ignore[attr-defined]


async def page(_: StarletteRequest) -> Response:
    return HTMLResponse("<!doctype html><title>another origin</title>")


app = Starlette(
    routes=[
        Route("/test/emit", emit_one, methods=["POST"]),
        Route("/test/disconnect", disconnect, methods=["POST"]),
        Route("/test/clients", clients),
        Route("/test/checked-out", checked_out),
        Route("/test/page", page),
        Mount("/", recipes_app),
    ],
    middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1"])],
)
