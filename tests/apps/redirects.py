"""Post, redirect, get: a list whose page says where its stream begins, over several workers."""

from __future__ import annotations

import os
import sqlite3

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from nitro import Client, EventSourceResponse, emit_async, position, position_async


def rows(*write: object) -> list[int]:
    connection = sqlite3.connect(os.environ["ROWS_DB"], timeout=10, isolation_level=None)
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY)")
        if write:
            connection.execute("INSERT INTO rows VALUES (?)", write)
        return [id for (id,) in connection.execute("SELECT id FROM rows ORDER BY id")]
    finally:
        connection.close()


async def add(request: Request) -> Response:
    id = int(request.query_params["id"])
    rows(id)
    await emit_async("row.added", result=id)
    return RedirectResponse("/", 303)


async def page(request: Request) -> Response:
    return JSONResponse({"position": await position_async(), "ids": rows(), "worker": os.getpid()})


def page_of_a_thread(request: Request) -> Response:
    return JSONResponse({"position": position(), "ids": rows(), "worker": os.getpid()})


async def events(request: Request) -> Response:
    return EventSourceResponse(Client(topics=["row.*"]), headers={"x-worker": str(os.getpid())})


app = Starlette(
    routes=[
        Route("/", page),
        Route("/thread", page_of_a_thread),
        Route("/rows", add, methods=["POST"]),
        Route("/events", events),
    ]
)
