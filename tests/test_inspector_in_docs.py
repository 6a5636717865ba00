"""The blocks and the table of `docs/how-to/inspector.md`."""

from __future__ import annotations

import asyncio
import inspect
import re
from typing import Any

import httpx
import pytest

import nitro
from tests.documents import Document

PAGE = Document("docs/how-to/inspector.md")
RUNS_BLOCKS = {"docs/how-to/inspector.md": ["python"]}


@pytest.mark.usefixtures("hub")
def test_the_blocks_run_and_let_administrators_in_alone() -> None:
    names: dict[str, Any] = {}
    for block in PAGE.all("python"):
        PAGE.run(block, names)

    async def get(**cookies: str) -> int:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(names["app"]), base_url="http://app", cookies=cookies
        ) as client:
            return (await client.get("/nitro-inspector/")).status_code

    assert asyncio.run(get()) == 401
    assert asyncio.run(get(session="a user's")) == 401
    assert asyncio.run(get(session="an administrator's")) == 200


def test_the_table_has_each_argument_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", PAGE.text, re.MULTILINE))
    parameters = inspect.signature(nitro.inspector).parameters
    assert rows == {name: repr(each.default) for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY}
