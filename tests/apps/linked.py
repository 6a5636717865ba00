"""A page as the linked pages have it: a `StreamingResponse` that yields what `client.stream()` gives, as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from nitro.datastar.helpers import (
    emit_elements,
    emit_signals,
    execute_script,
    redirect,
    remove_elements,
)
from nitro.infrastructure.events import Client, emit

app = FastAPI()


@app.get("/events")
async def events() -> StreamingResponse:
    client = Client(topics=["page.*"])

    async def generator() -> AsyncIterator[Any]:
        with client:
            yield ": connected\n\n"
            async for data in client.stream():
                yield data

    return StreamingResponse(generator(), media_type="text/event-stream")


@app.post("/change")
def change() -> list[str]:
    return [
        emit_elements("<p>\n</p>", "#x", "inner", topic="page.a"),
        emit_signals({"n": 1}, topic=["page.a"]),
        remove_elements("#y", topic="page.a"),
        execute_script("one();\ntwo()", attributes={"type": "module"}, topic="page.b"),
        redirect("/there", "page.b", "me"),
        emit_elements("<b>all</b>"),
    ]


@app.post("/emit")
async def emit_data(result: list[Any]) -> None:
    for each in result:
        emit("page.a", result=each)
