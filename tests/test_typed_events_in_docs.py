"""The blocks of `docs/how-to/typed-events.md`, in their order."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from openapi_spec_validator import validate

from nitro import Client, emit
from nitro.errors import InvalidPayload
from tests.documents import Document

PAGE = Document("docs/how-to/typed-events.md")
RUNS_BLOCKS = {"docs/how-to/typed-events.md": ["python", "text"]}


@pytest.mark.usefixtures("hub", "own_declarations")
def test_the_blocks_do_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third, fourth, fifth, *documented = PAGE.all("python")
    names: dict[str, Any] = {"__name__": __name__}

    async def heard() -> list[Any]:
        with Client(topics=["todo.created", "user.created"]) as client:
            PAGE.run(first, names)
            PAGE.run(second, names)
            stream = client.stream()
            return [await anext(stream), await anext(stream)]

    async def read() -> None:
        PAGE.run(fifth, names)
        reading = asyncio.create_task(names["read"]())
        printed = ""
        async with asyncio.timeout(10):
            while not printed:
                emit("todo.created", "me", result={"id": 8, "title": "Tea"})
                await asyncio.sleep(0.01)
                printed = capsys.readouterr().out
        assert printed.splitlines()[0] == "Tea"
        reading.cancel()

    todo, user = asyncio.run(heard())
    assert todo == {"id": 7, "title": "Milk"}
    assert (set(user), user["name"]) == ({"id", "name"}, "Ann")
    PAGE.run(third, names)
    said = PAGE.the("text")
    assert capsys.readouterr().out.strip() == said.source.strip()
    with pytest.raises(InvalidPayload):
        PAGE.run(fourth, names)
    asyncio.run(read())
    for block in documented:
        PAGE.run(block, names)
    validate(names["app"].openapi())
    assert "itemSchema" in str(names["app"].openapi())
