"""The application that the examples of `docs/how-to/runs.md` are together, as they stand there, and their pages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from tests.documents import Document

__all__ = ["app"]

FIRST, RECIPES = "A run", "Recipes"
_document = Document("docs/how-to/runs.md")
_saved: list[str] = []


class Graph:
    """What LangGraph's `astream` yields for a graph with a subgraph that asks a model."""

    async def astream(self, asked: dict[str, Any], *, stream_mode: list[str], subgraphs: bool) -> AsyncIterator[Any]:
        assert (stream_mode, subgraphs) == (["updates", "messages", "custom"], True)
        inner = ("talk:eae3dddc",)
        yield inner, "custom", {"note": "asking"}
        for word in asked["messages"][-1]["content"].split():
            await asyncio.sleep(0.01)
            yield inner, "messages", ({"content": f"{word} ", "type": "AIMessageChunk"}, {"langgraph_node": "say"})
        yield inner, "updates", {"say": {"messages": []}}
        yield (), "updates", {"talk": {"messages": []}}


def save(row: str) -> None:
    """The application's own."""
    if row == "wrong":
        raise ValueError("a row of the import is wrong")
    if row == "slow":
        time.sleep(30)
    _saved.append(row)


_namespace: dict[str, Any] = {"__name__": "runs_in_docs", "save": save, "graph": Graph()}


for _block in _document.all("python"):
    if {FIRST, RECIPES} & set(_block.path):
        _document.run(_block, _namespace)
app: FastAPI = _namespace["app"]
_namespace["chats"]["expired"] = f"{0:08}-{0:033}"  # a run that is no longer kept
_pages = {block.heading: block.source for block in _document.all("html")}
_scripts = {block.heading: block.source for block in _document.all("js")}


@app.get("/pages/{name}", response_class=HTMLResponse)
async def page(name: str) -> str:
    return f"<!doctype html><title>quiet</title><body>{_pages[name]}</body>"


@app.get("/scripts/{name}", response_class=HTMLResponse)
async def script(name: str, id: str) -> str:
    elements = "".join(f"<p id={each}></p>" for each in ("words", "nodes", "hint"))
    return f"<!doctype html>{elements}<script type=module>const id = {id!r};\n{_scripts[name]}</script>"


@app.get("/saved")
async def saved() -> int:
    return len(_saved)
