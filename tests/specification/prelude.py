"""What blocks of the specification use and forget to import or to define, and nothing else."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from typing import Final

__all__ = ["PRELUDE", "names_missing_in", "prelude_of"]

_FRAGMENT: Final = "a fragment of the page's running example, whose imports stand in Quick Start"

PRELUDE: Final[dict[str, tuple[str, str]]] = {
    # name: (what is put before the block, why the block needs it)
    "ANY": ("from nitro.infrastructure.events import ANY", "Constructor and Subscribe to All Events name it"),
    "Any": ("from typing import Any", "the annotations of Constructor name it"),
    "Client": ("from nitro.infrastructure.events import Client", _FRAGMENT),
    "FastAPI": ("from fastapi import FastAPI", _FRAGMENT),
    "StreamingResponse": (
        "from fastapi.responses import StreamingResponse",
        "examples 2 and 3 and Handle Disconnections Gracefully return one",
    ),
    "emit": ("from nitro.infrastructure.events import emit", _FRAGMENT),
    "event": ("from nitro.infrastructure.events import event", "makes todo_created, below"),
    "active_clients": (
        "from nitro.infrastructure.events.client import active_clients",
        "send(item) looks a client up; the import stands in Active Clients Tracking",
    ),
    "json": ("import json", "examples 2 and 3 and Handle Disconnections Gracefully call json.dumps"),
    "uuid": ("import uuid", "Quick Start calls uuid.uuid4"),
    "datetime": ("from datetime import datetime", "example 2 calls datetime.now"),
    "Todo": (
        "from nitro.domain.entities.base_entity import Entity\n"
        "class Todo(Entity, table=True):\n"
        "    title: str\n"
        "    completed: bool = False\n"
        "Todo._repository.init_db()",
        "Quick Start saves one; this is the entity of example 1",
    ),
    "todo": ('todo = Todo(id="1", title="Milk")', "Include Result Data in Events emits one"),
    "todo_created": ("todo_created = event('todo.created')", "as Quick Start defines it"),
    "app": ("app = FastAPI()", "Handle Disconnections Gracefully adds its endpoint to it"),
    "client": (
        'client = Client(topics=["todo.*"])',
        "disconnect() goes on with the client of connect(); Memory Leaks and Events Delayed read one",
    ),
    "calculate_total_revenue": (
        "def calculate_total_revenue():\n    return 1234.5",
        "example 3 leaves the arithmetic to the application",
    ),
}


def names_missing_in(source: str) -> list[str]:
    """The names that `source` reads and nowhere binds, in the order of their first use."""
    read: dict[str, None] = {}
    bound = set(dir(builtins))
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                read[name] = None
            case ast.Name(id=name) | ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.alias(name=name, asname=other):
                bound.add(other or name.partition(".")[0])
    return [name for name in read if name not in bound]


def prelude_of(source: str) -> str:
    """Statements that give `source` the names that it misses.

    Raises:
        KeyError: it misses one that `PRELUDE` doesn't know.
    """
    return "".join(f"{statement}\n" for statement in dict.fromkeys(_statements(source)))


def _statements(source: str) -> Iterator[str]:
    for name in names_missing_in(source):
        statement, _ = PRELUDE[name]
        yield from _statements(statement)
        yield statement
