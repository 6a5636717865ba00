"""A publisher for two programs, beside a stream of everything, and the handlers that ran."""

from __future__ import annotations

import time
from typing import Any

from fastapi import FastAPI

import nitro
from nitro import ANY, Client, EventSourceResponse, Grant, on
from nitro.publisher import Publisher
from tests.apps.keys import BILLING

app = FastAPI()
app.mount(
    "/publish",
    Publisher(
        {
            BILLING: Grant({"order.*": ["billing"], "todo.*": ANY}, denied=["todo.secret"], user_id="billing"),
            "the new key of billing": Grant(["order.*"], user_id="billing"),
            "the key of the warehouse": Grant(["*"], user_id="warehouse"),
            "a key that has expired": Grant(["*"], user_id="x", expires_at=time.time() - 1),
            "a key that expired in 1970": Grant(["*"], user_id="x", expires_at=0),
        }
    ),
)
handled: list[Any] = []


@on("todo.*")
def handle(sender: Any, result: Any, **_: Any) -> bool:
    handled.append([sender if isinstance(sender, str) else None, result])
    return bool(result != "cancel")


@app.get("/events")
async def events() -> EventSourceResponse:
    return EventSourceResponse(Client(topics=["*"]), named=True)


@app.get("/handled")
async def what_was_handled() -> list[Any]:
    return handled


@app.get("/position")
async def position() -> str:
    return nitro.position()
