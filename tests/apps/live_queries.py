"""Serves live queries over one table: `/live/NAME` for each of `QUERIES`; its database is that of the broker's log."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from fastapi import FastAPI
from sqlalchemy import Engine, and_, create_engine, event, not_, or_
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import nitro

__all__ = ["QUERIES", "Base", "Card", "Query", "Values", "app", "cards", "engine_on"]

Values = dict[str, Any]


class Base(DeclarativeBase):
    pass


class Card(Base):
    __tablename__ = "live_cards"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    owner: Mapped[int] = mapped_column(default=0)
    size: Mapped[int | None] = mapped_column(default=None)
    done: Mapped[bool] = mapped_column(default=False)
    note: Mapped[str | None] = mapped_column(default=None)
    secret: Mapped[str | None] = mapped_column(default=None)


def engine_on(url: str, **options: Any) -> Engine:
    """An engine whose savepoints are savepoints on SQLite, too."""
    if url.startswith("postgresql"):
        return create_engine(url.replace("postgresql://", "postgresql+psycopg://"), **options)
    engine = create_engine(url, **options)
    event.listen(engine, "connect", lambda connection, _: setattr(connection, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


class Query(NamedTuple):
    """A live query, and what it means, said again in Python.

    Attributes:
        where, order_by, limit: as SQLAlchemy has them.
        selects: the rows that it may have.
        order: their order; without it, that of their keys.
    """

    where: tuple[Any, ...]
    selects: Callable[[Values], bool]
    order_by: Any = None
    order: Callable[[Values], Any] = lambda row: row["id"]
    limit: int | None = None

    def rows(self, all_rows: list[Values]) -> list[Values]:
        """What its clients have to have."""
        return sorted(filter(self.selects, all_rows), key=self.order)[: self.limit]


QUERIES = {
    "all": Query((), lambda row: True),
    "mine": Query((Card.owner == 1,), lambda row: row["owner"] == 1),
    "open": Query(
        (Card.owner.in_([1, 2]), Card.done == False),  # noqa: E712 - SQL
        lambda row: row["owner"] in (1, 2) and not row["done"],
    ),
    "range": Query((Card.size > 0, Card.size <= 2), lambda row: row["size"] is not None and 0 < row["size"] <= 2),
    "unknown": Query((Card.size.is_(None),), lambda row: row["size"] is None),
    "not": Query(
        (not_(or_(Card.note == "a", and_(Card.done, Card.size == 1))),),
        # NULL = 'a' is not known, and neither is its negation, unless the other half says no
        lambda row: row["note"] not in ("a", None) and not (row["done"] and row["size"] in (1, None)),
    ),
    "top": Query((), lambda row: True, Card.id.desc(), lambda row: -row["id"], 3),
    "first": Query(
        (Card.size.is_not(None),),
        lambda row: row["size"] is not None,
        [Card.size, Card.id.desc()],
        lambda row: (row["size"], -row["id"]),
        2,
    ),
    "few": Query((Card.owner == 2,), lambda row: row["owner"] == 2, [Card.owner], lambda row: row["id"], 4),
}
app = FastAPI()
_url = os.environ.get("NITRO_BROKER_URL")
cards = nitro.live_model(Card, "live_card", exclude=["secret"], engine=engine_on(_url) if _url else None)


@app.get("/live/{name}")
async def live(name: str) -> nitro.EventSourceResponse:
    query = QUERIES[name]
    client = cards.live(*query.where, order_by=query.order_by, limit=query.limit)
    return nitro.EventSourceResponse(client)
