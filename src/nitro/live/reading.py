"""Reading the rows of live queries from an event loop, which a database must not block."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar, cast

from sqlalchemy import Engine, Select

from nitro.brokers.sqlite.forks import UNFORKED
from nitro.events.sessions import is_of_asyncio

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["Repository", "Source", "read_rows"]

T = TypeVar("T")

_THREADS: Final = 4
"""As many readings at a time: the application has the same database, and its pool of connections, to live from."""


class Repository(Protocol):
    """What entities are read from."""

    @property
    def engine(self) -> Engine:
        """Its engine."""

    def rows(self, statement: Select[Any], show: Callable[[Sequence[Any]], T]) -> list[T]:
        """What `show` makes of each row that a statement selects."""


Source: TypeAlias = "Engine | AsyncEngine | Repository"


async def read_rows(source: Source, statement: Select[Any], show: Callable[[Sequence[Any]], T]) -> list[T]:
    """What `show` makes of each row that `statement` selects, in a transaction of its own."""
    if is_of_asyncio(source, "AsyncEngine"):
        async with cast("AsyncEngine", source).connect() as connection:
            found = await connection.execute(statement)
        return [show(row) for row in found]
    loop = asyncio.get_running_loop()
    source = cast("Engine | Repository", source)
    return await loop.run_in_executor(_threads(os.getpid()), _read, source, statement, show)


def _read(source: Engine | Repository, statement: Select[Any], show: Callable[[Sequence[Any]], T]) -> list[T]:
    engine = source if isinstance(source, Engine) else source.engine
    with UNFORKED if engine.dialect.name == "sqlite" else nullcontext():
        if isinstance(source, Engine):
            with source.connect() as connection:
                return [show(row) for row in connection.execute(statement)]
        return source.rows(statement, show)


@cache
def _threads(_process: int) -> ThreadPoolExecutor:
    """Those of a process: a forked child has none of its parent's."""
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="nitro live query")
