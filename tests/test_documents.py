"""The Python of the documentation that no other test runs: a page's blocks in their order, in one namespace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Request, Response
from sqlalchemy import create_engine, update
from sqlmodel import Field, Session, SQLModel

import nitro
import nitro.metrics  # as an application does, before its event loop runs
from nitro.fastapi import EventStream
from nitro.settings import get_settings
from tests.documents import PAGES, Document, claims, is_selected
from tests.specification.blocks import Block


def of_readme() -> dict[str, Any]:
    """What is imported further up there, or the application's own."""

    def current_user() -> None: ...

    return {
        **{name: getattr(nitro, name) for name in nitro.__all__},
        **{"Annotated": Annotated, "Depends": Depends, "Response": Response, "EventStream": EventStream},
        **{"nitro": nitro, "app": FastAPI(), "User": str, "current_user": current_user, "room_id": "12"},
        "todo_created": nitro.event("todo.created"),
        "todo": {"title": "Milk"},
        "may_be_told": lambda sender, result: True,
        "is_admin": lambda request: False,
        "active_clients": {"client-123": nitro.Client(topics=["client.123"])},
    }


class User:
    id = "ann@example.org"


def of_access() -> dict[str, Any]:
    return {
        "Grant": nitro.Grant,
        "segment": nitro.segment,
        "emit": nitro.emit,
        "user": User,
        "mail": {"subject": "Hello"},
    }


def of_frontends() -> dict[str, Any]:
    return {
        **{"app": FastAPI(), "Request": Request, "Response": Response},
        **{"event_stream": nitro.event_stream, "Grant": nitro.Grant},
    }


def of_live() -> dict[str, Any]:
    class Todo(nitro.Entity, table=True, live=True):
        owner_id: str
        completed: bool = False
        created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    class Order(SQLModel, table=True):
        id: int | None = Field(default=None, primary_key=True)
        name: str
        state: str = "new"
        internal_note: str = ""

    class Invoice(SQLModel, table=True):
        id: int | None = Field(default=None, primary_key=True)
        state: str = "open"

    engine = create_engine("sqlite:///orders.db")
    Todo._repository.init_db()
    SQLModel.metadata.create_all(engine)
    return {
        **{"nitro": nitro, "EventSourceResponse": nitro.EventSourceResponse, "Client": nitro.Client, "app": FastAPI()},
        **{"Todo": Todo, "Order": Order, "Invoice": Invoice, "Session": Session, "engine": engine, "update": update},
        **{"user": User, "ids": [Todo(owner_id="ann").save().id]},
    }


PREPARED: dict[str, Callable[[], dict[str, Any]]] = {
    "README.md": of_readme,
    "docs/how-to/access.md": of_access,
    "docs/how-to/frontends.md": of_frontends,
    "docs/how-to/live.md": of_live,
    "docs/how-to/publishing.md": lambda: {"app": FastAPI()},
}
"""What a page leaves to the application."""


def blocks_that_are_run_here() -> dict[Document, list[Block]]:
    found = {}
    for document in map(Document, PAGES):
        claimed = [each for selectors in claims().get(document.name, {}).values() for each in selectors]
        blocks = document.all("python")
        found[document] = [each for each in blocks if not any(is_selected(each, claim) for claim in claimed)]
    return {document: blocks for document, blocks in found.items() if blocks}


BLOCKS = blocks_that_are_run_here()


@pytest.mark.usefixtures("hub", "no_handlers", "own_declarations", "own_engines")
@pytest.mark.parametrize("document", BLOCKS, ids=lambda document: document.name)
def test_the_python_of_a_page_runs_in_its_order(
    document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NITRO_DB_URL", f"sqlite:///{tmp_path / 'todos.db'}")
    monkeypatch.setenv("BILLING_KEY", "a key of the tests, which is long enough")
    get_settings.cache_clear()
    names = {"__name__": f"{__name__}.{Path(document.name).stem}", **PREPARED.get(document.name, dict)()}
    with asyncio.Runner() as runner:
        for block in BLOCKS[document]:
            if document.awaits(block):
                runner.run(document.run_async(block, names))
            else:
                document.run(block, names)


def test_what_is_prepared_is_used() -> None:
    assert PREPARED.keys() <= {document.name for document in BLOCKS}
