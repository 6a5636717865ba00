"""The blocks of `docs/how-to/typed-events.md`, in their order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlmodel import SQLModel

from nitro import Client, emit
from nitro.errors import InvalidPayload
from nitro.events.event import default_namespace
from tests.servers import ROOT
from tests.specification.blocks import blocks_in

BLOCKS = list(blocks_in((ROOT / "docs/how-to/typed-events.md").read_text()))


@pytest.mark.usefixtures("hub")
def test_the_blocks_do_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third, fourth, fifth = [block for block in BLOCKS if block.language == "python"]
    names: dict[str, Any] = {"__name__": __name__}

    def run(source: str) -> None:
        exec(compile(source, "docs/how-to/typed-events.md", "exec", dont_inherit=True), names)

    async def heard() -> list[Any]:
        with Client(topics=["todo.created", "user.created"]) as client:
            run(first.source)
            run(second.source)
            stream = client.stream()
            return [await anext(stream), await anext(stream)]

    async def read() -> None:
        run(fifth.source)
        reading = asyncio.create_task(names["read"]())
        printed = ""
        async with asyncio.timeout(10):
            while not printed:
                emit("todo.created", "me", result={"id": 8, "title": "Tea"})
                await asyncio.sleep(0.01)
                printed = capsys.readouterr().out
        assert printed.splitlines()[0] == "Tea"
        reading.cancel()

    try:
        todo, user = asyncio.run(heard())
        assert todo == {"id": 7, "title": "Milk"}
        assert (set(user), user["name"]) == ({"id", "name"}, "Ann")
        run(third.source)
        (said,) = [block for block in BLOCKS if block.language == "text"]
        assert capsys.readouterr().out.strip() == said.source.strip()
        with pytest.raises(InvalidPayload):
            run(fourth.source)
        asyncio.run(read())
    finally:
        SQLModel.metadata.remove(SQLModel.metadata.tables["user"])
        for name in ("todo.created", "user.created"):  # other tests emit what they like
            default_namespace[name].schema = None
