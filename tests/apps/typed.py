"""An application with typed events, for `nitro types`; what it prints must not reach the output."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypeVar

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field
from typing_extensions import TypeAliasType, TypedDict

from nitro import event

T = TypeVar("T")
Json = TypeAliasType("Json", "str | int | list[Json] | dict[str, Json] | None")

print("imported")


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class TodoOut(BaseModel):
    """A todo.

    It can't end this comment: */ nor this string: `
    """

    id: int
    title: str
    done: bool = False
    due: datetime | None = None
    color: Color
    price: Annotated[Decimal, Field(description="in */ euros", deprecated=True)]

    @computed_field  # type: ignore[prop-decorator]  # as pydantic has it
    @property
    def length(self) -> int:
        return len(self.title)


class Message(BaseModel):
    """Called as a type of the client."""

    odd: str = Field(alias='an "odd"\nname')
    number: Literal[1, -2, "three", True] | None


class Node(BaseModel):
    model_config = ConfigDict(extra="allow")
    children: list[Node]


class Point(NamedTuple):
    x: float
    y: float


class Part(TypedDict, total=False):
    colors: dict[Color, int]
    sides: dict[Literal["left", "right"], int]
    point: NotRequired[Point]


class Page(BaseModel, Generic[T]):
    items: list[T | None]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Pets(RootModel[list[Cat | Dog]]):
    pass


class Empty(BaseModel):
    pass


class string(BaseModel):
    """Called as a type of the language."""

    TypedEvents: Any


event("todo.created", "A todo is there.", schema=TodoOut)
event("todo.deleted", schema=Empty)
event("todo.renamed.twice", schema=Message)
event("tree", schema=Node)
event("part", schema=Part)
event("page", schema=Page[Message])
event("pet", schema=Annotated[Cat | Dog, Field(discriminator="kind")])
event("pets", schema=Pets)
event("tuple", schema=tuple[int, str | None])
event("nothing", schema=tuple[()])
event("json", schema=Json)
event("string", schema=string)
event("untyped")

app = FastAPI()


SENT: dict[str, list[Any]] = {
    "todo.created": [
        TodoOut(id=1, title="a", color=Color.RED, price=Decimal("1.50")),
        TodoOut(id=1, title="a", color=Color.RED, price=Decimal(2), due=datetime(2026, 1, 1, tzinfo=UTC)),
    ],
    "todo.deleted": [Empty()],
    "todo.renamed.twice": [{'an "odd"\nname': "a", "number": number} for number in (1, -2, "three", True, None)],
    "tree": [{"children": [{"children": [], "more": 7}], "even": {"more": None}}],
    "part": [{}, {"colors": {"red": 1}}, {"sides": {"left": 1}, "point": Point(1, 2.5)}],
    "page": [Page(items=[None])],
    "pet": [{"kind": "cat", "lives": 9}, {"kind": "dog", "tricks": ["sit"]}],
    "pets": [[], [Cat(kind="cat", lives=9), Dog(kind="dog", tricks=[])]],
    "tuple": [(1, None), (1, "a")],
    "nothing": [()],
    "json": [None, "a", [1, ["a", {"b": [None]}]]],
    "string": [{"TypedEvents": {"anything": [1]}}],
}
"""Results of each of them."""


def sent() -> list[tuple[str, str]]:
    """The topic, and what is sent, of each of these results."""
    schemas = {topic: event(topic).schema for topic in SENT}
    return [
        (topic, schema.encode(result, 10_000)[1].decode())
        for topic, schema in schemas.items()
        if schema is not None
        for result in SENT[topic]
    ]


def make() -> FastAPI:
    event("made", schema=int)
    return FastAPI()
