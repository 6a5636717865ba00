"""The tests that `docs/how-to/testing.md` shows are run as they stand there."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine
from sqlalchemy.exc import OperationalError

from nitro import Client, EventSourceResponse, emit
from nitro.settings import get_settings
from nitro.testing import stream
from tests.documents import Document
from tests.specification.blocks import Block

PAGE = Document("docs/how-to/testing.md")
RUNS_BLOCKS = {"docs/how-to/testing.md": ["python"]}


def create_todo(title: str) -> None:
    """The application's own."""
    emit("todo.created", "ann", result={"title": title})


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/events")
    async def events() -> EventSourceResponse:
        return EventSourceResponse(Client(topics=["todo.*"]))

    return app


DATABASE = PAGE.the("python", "A database for the tests")


@pytest.mark.usefixtures("own_declarations", "own_engines", "hub")
@pytest.mark.parametrize("block", [each for each in PAGE.all("python") if each != DATABASE], ids=str)
def test_a_test_passes(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NITRO_DB_URL", f"sqlite:///{tmp_path / 'tests.db'}")
    get_settings.cache_clear()
    names: dict[str, Any] = {"__name__": __name__, "create_todo": create_todo}
    PAGE.run(block, names)
    (test,) = [value for name, value in names.items() if name.startswith("test_")]
    test(*([application()] if inspect.signature(test).parameters else []))


@pytest.mark.usefixtures("hub")
def test_a_run_that_was_started_by_the_test_client_is_lost_with_its_loop() -> None:
    async def answer(question: str) -> AsyncIterator[str]:
        await asyncio.Event().wait()
        yield question

    names: dict[str, Any] = {"__name__": __name__}
    PAGE.run(PAGE.the("python", "A run"), names)
    names["answer"] = answer
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it wants httpx2
        from starlette.testclient import TestClient
    id = TestClient(names["app"]).post("/answers?question=why not").json()["run"]

    async def scenario() -> None:
        async with stream(names["app"], f"/answers/{id}") as page:
            lost = await page.next()
            assert lost.data == {"state": "lost", "reason": "its producer was stopped"}

    asyncio.run(scenario())


def test_threads_share_the_database_in_memory_of_the_page_and_no_other_one() -> None:
    names: dict[str, Any] = {"__name__": __name__}
    PAGE.run(DATABASE, names)
    table = Table("things", MetaData(), Column("id", Integer, primary_key=True))

    def count(engine: Engine) -> int:
        try:
            table.metadata.create_all(engine)
            with ThreadPoolExecutor(1) as threads:
                return threads.submit(rows, engine).result()
        finally:
            engine.dispose()

    def rows(engine: Engine) -> int:
        with engine.connect() as connection:
            connection.detach()  # so that it is closed here: its own thread alone can do that
            return len(connection.execute(table.select()).all())

    assert count(names["engine"]) == 0
    with pytest.raises(OperationalError, match="no such table"):
        count(create_engine("sqlite://"))
