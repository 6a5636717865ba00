"""Rows as results: what is sent of one that belongs to a session, and what is said of one that a commit has expired."""

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import core_schema
from sqlalchemy import JSON, create_engine
from sqlmodel import Field, Relationship, Session, SQLModel

import nitro
from nitro.errors import ConfigurationError, InvalidPayload
from nitro.events.payload import encode
from nitro.events.schema import Schema

MOST = 10_000
WAYS: dict[str, Callable[[Any], Any]] = {
    "itself": lambda row: row,
    "in a list": lambda row: [row],
    "in a dict": lambda row: {"row": row},
    "deeper": lambda row: [[row], 1],
}
EACH_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
HAS_EXPIRED = r"RowTold has no values; a commit has expired it: call session\.refresh\(\)"
WITH_ALL = {"id": 1, "title": "a", "note": None, "tags": ["x", "y"], "owner_id": 7}


class RowOwner(SQLModel, table=True):
    id: int = Field(primary_key=True)
    rows: list["RowTold"] = Relationship(back_populates="owner")


class RowTold(SQLModel, table=True):
    id: int = Field(primary_key=True)
    title: str
    note: str | None = None
    tags: list[str] = Field(default=[], sa_type=JSON)
    owner_id: int | None = Field(default=None, foreign_key="rowowner.id")
    owner: RowOwner | None = Relationship(back_populates="rows")


class RowEntity(nitro.Entity, table=True):
    title: str
    note: str | None = None


class RowShelf(nitro.Entity, table=True):
    note: str | None = None
    books: list["RowBook"] = Relationship(back_populates="shelf")


class RowBook(nitro.Entity, table=True):
    note: str | None = None
    shelf_id: str | None = Field(default=None, foreign_key="rowshelf.id")
    shelf: RowShelf | None = Relationship(back_populates="books")


class RowOut(SQLModel):
    id: int
    title: str


@pytest.fixture
def session() -> Iterator[Session]:
    engine = create_engine("sqlite://")
    tables = [SQLModel.metadata.tables[name] for name in ("rowowner", "rowtold", "rowentity")]
    SQLModel.metadata.create_all(engine, tables)
    with Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def row(session: Session) -> RowTold:
    row = RowTold(id=1, title="a", tags=["x", "y"], owner=RowOwner(id=7))
    session.add(row)
    session.flush()
    return row


@EACH_WAY
def test_a_row_in_a_session_is_sent_by_its_fields(session: Session, row: RowTold, way: Callable[[Any], Any]) -> None:
    assert row.owner is not None and row.owner.rows == [row]  # what refers to each other is in memory
    assert json.loads(encode(way(row), MOST)) == way(WITH_ALL)
    session.expire(row.owner)
    assert json.loads(encode(way(row), MOST)) == way(WITH_ALL)
    entity = RowEntity(id="e", title="b")
    session.add(entity)
    session.flush()
    assert json.loads(encode(way(entity), MOST)) == way({"id": "e", "title": "b", "note": None})


@EACH_WAY
def test_a_row_that_a_commit_has_expired_is_refused_until_it_is_read_again(
    session: Session, row: RowTold, way: Callable[[Any], Any]
) -> None:
    session.commit()
    with pytest.raises(InvalidPayload, match=HAS_EXPIRED):
        encode(way(row), MOST)
    session.refresh(row)
    assert json.loads(encode(way(row), MOST)) == way(WITH_ALL)


def test_a_schema_refuses_it_or_reads_it_as_attributes(session: Session, row: RowTold) -> None:
    entity = RowEntity(id="e", title="b")
    session.add(entity)
    session.commit()
    for schema, result in ((RowEntity, entity), (list[RowEntity], [entity]), (dict[str, RowEntity], {"a": entity})):
        with pytest.raises(InvalidPayload, match="has no"):
            Schema(schema, "row.told").encode(result, MOST)
    whole = RowEntity(id="f", title="b")  # whose note is null
    with pytest.raises(InvalidPayload, match=HAS_EXPIRED.replace("RowTold", "RowEntity")):
        Schema(list[RowEntity], "row.told").encode([whole, entity], MOST)
    _, payload = Schema(list[RowOut], "row.told").encode([row], MOST)
    assert json.loads(payload) == [{"id": 1, "title": "a"}]


def test_a_schema_sends_an_entity_whose_relationships_lead_back_to_it() -> None:
    book = RowBook(id="b")
    book.shelf = RowShelf(id="s")
    assert book.shelf.books == [book]
    _, payload = Schema(RowBook, "row.book").encode(book, MOST)
    assert json.loads(payload) == {"id": "b", "note": None, "shelf_id": None}


class RowsOut(SQLModel):
    """One of whose fields is made of rows, and which is in itself."""

    of: "dict[str, tuple[RowTold, int]]"
    more: "RowsOut | None" = None


class RowNamed(BaseModel):
    metadata: RowTold  # a name that pydantic's schemas have, too


class RowApart:
    """A class whose schema is of a model, and which is none of pydantic's."""

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> Any:
        note = core_schema.model_field(core_schema.str_schema())
        return core_schema.model_schema(cls, core_schema.model_fields_schema({"note": note}))

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: Any) -> dict[str, Any]:
        return {"type": "object"}


def test_a_schema_may_be_of_a_class_that_has_only_its_schema() -> None:
    _, payload = Schema(RowApart, "row.apart").encode({"note": "a"}, MOST)
    assert json.loads(payload) == {"note": "a"}


@pytest.mark.parametrize(
    "schema", [RowTold, list[RowTold], RowTold | None, RowOut | RowTold, RowsOut, RowNamed], ids=str
)
def test_a_table_that_takes_any_values_is_no_schema(schema: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"RowTold in it, .* without table=True, or RowTold an Entity"):
        Schema(schema, "row.told")


@dataclass(slots=True)
class Slotted:
    x: Any


@pytest.mark.parametrize("result", [Slotted(float("nan")), deque([Slotted(float("inf"))]), [deque([float("nan")])]])
def test_nan_is_refused_in_every_container(result: Any) -> None:
    with pytest.raises(InvalidPayload, match=r"is not JSON|unknown type"):  # the oldest pydantic writes no deque at all
        encode(result, MOST)
