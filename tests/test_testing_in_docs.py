"""The tests that `docs/how-to/testing.md` shows are run as they stand there."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from fastapi import FastAPI

from nitro import Client, EventSourceResponse, emit
from tests.servers import ROOT
from tests.specification.blocks import blocks_in

BLOCKS = [block for block in blocks_in((ROOT / "docs/how-to/testing.md").read_text()) if block.language == "python"]


def create_todo(title: str) -> None:
    """The application's own."""
    emit("todo.created", "ann", result={"title": title})


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/events")
    async def events() -> EventSourceResponse:
        return EventSourceResponse(Client(topics=["todo.*"]))

    return app


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_test_passes(number: int) -> None:
    names: dict[str, Any] = {"__name__": __name__, "create_todo": create_todo}
    exec(compile(BLOCKS[number].source, "docs/how-to/testing.md", "exec", dont_inherit=True), names)
    (test,) = [value for name, value in names.items() if name.startswith("test_")]
    test(*([application()] if inspect.signature(test).parameters else []))
