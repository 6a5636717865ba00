"""Missing table: the remedy in what a database says of a table that it doesn't have.

Used where entities are read and written, which a newly written application does before its tables are made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError

__all__ = ["told_of_tables"]

_SAYS: Final = ("no such table", "UndefinedTable", "doesn't exist")
"""SQLite, PostgreSQL's drivers, MySQL."""


@contextmanager
def told_of_tables(name: str) -> Iterator[None]:
    """Add a note to the error of a database that has no table for the class `name`."""
    try:
        yield
    except DBAPIError as error:
        if any(said in f"{type(error.orig).__name__}: {error.orig}" for said in _SAYS):
            error.add_note(
                f"the tables are made by {name}._repository.init_db(), called once when all entity classes are "
                f"imported, or by your migrations; NITRO_DB_URL says in which database"
            )
        raise
