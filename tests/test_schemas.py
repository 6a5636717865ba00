"""Events with a schema: what is let through, what is refused, and what handlers and clients get."""

from __future__ import annotations

import asyncio
import json
import math
import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    PlainSerializer,
    SecretStr,
    TypeAdapter,
    computed_field,
)
from sqlalchemy.pool import StaticPool
from sqlmodel import Session, SQLModel, create_engine
from typing_extensions import TypedDict

from nitro import Client, Entity, Grant, emit, emit_async, event, on
from nitro.errors import ConfigurationError, InvalidPayload, PayloadTooLarge
from nitro.events.event import Namespace, default_namespace
from nitro.events.schema import Schema
from nitro.publisher import Publisher
from nitro.testing import captured

pytestmark = pytest.mark.usefixtures("hub")


class TodoOut(BaseModel):
    id: int
    title: str
    price: float | None = None


class Stored(TodoOut):
    """What an application has, which is more than anybody may see."""

    password_hash: str = "$2b$12$secret"


class Row:
    """The same without pydantic, as an ORM has it."""

    def __init__(self) -> None:
        self.id, self.title, self.password_hash = 7, "Milk", "$2b$12$secret"


class TodoEntity(Entity, table=True):
    __tablename__ = "schema_todo"
    title: str
    password_hash: str = "$2b$12$secret"


class LiveNote(Entity, table=True, live=True, topic="schema.note"):
    title: str
    secret: str = "hidden"


class EntityOut(BaseModel):
    id: str
    title: str


FIELDS: dict[str, Any] = {"id": "x", "title": "a"}
NEVER_VALIDATED = TodoOut.model_construct(**FIELDS)
INCOMPLETE = TodoOut.model_construct(None, **dict[str, Any](id=1))


@dataclass
class Point:
    x: int
    y: int = 0


class Move(TypedDict):
    of: str
    to: tuple[int, int]


class Deleted(BaseModel):
    kind: Literal["deleted"]
    id: UUID


class Renamed(BaseModel):
    kind: Literal["renamed"]
    name: str


class Camel(BaseModel):
    model_config = ConfigDict(serialize_by_alias=False, populate_by_name=True)
    first_name: str = Field(alias="firstName")


def heard(name: str, result: Any) -> Any:
    """What a client gets of one emit."""

    async def scenario() -> Any:
        with Client(topics=[name]) as client:
            emit(name, "me", result=result)
            return await anext(client.stream())

    return asyncio.run(asyncio.wait_for(scenario(), 10))


@pytest.mark.parametrize(
    "result",
    [
        {"id": 7, "title": "Milk", "password_hash": "$2b$12$secret"},
        Stored(id=7, title="Milk"),
        Row(),
        TodoOut(id=7, title="Milk"),
        {"id": "7", "title": "Milk"},
    ],
    ids=["dict", "subclass", "object", "instance", "of text"],
)
def test_what_the_schema_does_not_have_never_leaves(result: Any) -> None:
    event("schema.todo", schema=TodoOut)
    assert heard("schema.todo", result) == {"id": 7, "title": "Milk", "price": None}


def test_an_entity_is_taken_as_it_is() -> None:
    event("schema.entity", schema=EntityOut, takes=TodoEntity)
    todo = TodoEntity(title="Milk")
    assert heard("schema.entity", todo) == {"id": todo.id, "title": "Milk"}


@pytest.mark.parametrize(
    ("schema", "result", "sent"),
    [
        (Point, Point(1, 2), {"x": 1, "y": 2}),
        (Point, {"x": 1}, {"x": 1, "y": 0}),
        (Move, {"of": "a", "to": (1, 2)}, {"of": "a", "to": [1, 2]}),
        (list[TodoOut], [Stored(id=1, title="a")], [{"id": 1, "title": "a", "price": None}]),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (int, 7, 7),
        (Annotated[int, Field(gt=0)], 7, 7),
        (
            Annotated[Deleted | Renamed, Field(discriminator="kind")],
            {"kind": "renamed", "name": "b", "more": 1},
            {"kind": "renamed", "name": "b"},
        ),
        (Camel, Camel(first_name="Ann"), {"firstName": "Ann"}),
        (Decimal, Decimal("1.10"), "1.10"),
        (str, "a\u2028b", "a\u2028b"),
    ],
    ids=repr,
)
def test_a_schema_is_anything_that_pydantic_knows(schema: Any, result: Any, sent: Any) -> None:
    namespace_name = f"schema.kinds{abs(hash((str(schema), repr(result))))}"
    event(namespace_name, schema=schema)
    assert heard(namespace_name, result) == sent


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"id": 1}, "result of 'schema.todo' is no TodoOut: title: Field required"),
        ({"id": "x", "title": 7}, "id: Input should be a valid integer.*; title: Input should be a valid string"),
        (7, "is no TodoOut: Input should be a valid dictionary or object"),
        ({"id": 1, "title": "a", "price": math.nan}, "can't be sent as TodoOut: .*not JSON compliant"),
        ({"id": 1, "title": "a", "price": math.inf}, "can't be sent as TodoOut: .*not JSON compliant"),
        (
            NEVER_VALIDATED,
            "can't be sent as TodoOut: id: Input should be a valid integer; it was changed, or never validated",
        ),
        (
            INCOMPLETE,
            "can't be sent as TodoOut: it has no title; it was changed, or never validated",
        ),
    ],
    ids=["missing", "two fields", "a number", "NaN", "infinity", "never validated", "incomplete"],
)
def test_what_does_not_fit_raises_in_emit_and_calls_nobody(result: Any, words: str) -> None:
    todo = event("schema.todo", schema=TodoOut)
    called: list[Any] = []

    @on(todo)
    def note(sender: Any, result: Any) -> None:
        called.append(result)

    try:
        with pytest.raises(InvalidPayload, match=words):
            emit(todo, "me", result=result)
        with pytest.raises(InvalidPayload, match=words):
            asyncio.run(emit_async("schema.todo", "me", result=result))
        assert called == []
    finally:
        todo.disconnect(note)


@pytest.mark.parametrize("schema", [Point, Move, list[Move], dict[str, Point]])
def test_an_object_is_read_by_models_alone_and_the_error_says_so(schema: Any) -> None:
    result = {list[Move]: [Row()], dict[str, Point]: {"a": Row()}}.get(schema, Row())
    words = "attributes of an object are read by pydantic models alone: give a dict"
    with pytest.raises(InvalidPayload, match=words):
        Schema(schema, "schema.object").encode(result, 1000)
    with pytest.raises(InvalidPayload) as caught:
        Schema(schema, "schema.object").encode(7, 1000)
    assert words not in str(caught.value)


def test_an_error_names_fields_and_shows_no_values() -> None:
    class Login(BaseModel):
        user: int
        password: SecretStr

    event("schema.login", schema=Login)
    with pytest.raises(InvalidPayload) as caught:
        emit("schema.login", "me", result={"user": "hunter2", "password": 12345678})
    assert "hunter2" not in str(caught.value)
    assert "12345678" not in str(caught.value)
    assert caught.value.__cause__ is None, "pydantic's own error shows them"


@pytest.mark.parametrize(
    ("schema", "result", "text"),
    [
        (
            Annotated[Deleted | Renamed, Field(discriminator="kind")],
            {"kind": "hunter2"},
            "Deleted | Renamed: Input should have one of the tags 'deleted', 'renamed' in 'kind'",
        ),
        (list[Deleted], [{"kind": "deleted", "id": "hunter2"}], "list[Deleted]: 0.id: Input should be a valid UUID"),
    ],
    ids=["tag", "UUID"],
)
def test_an_error_names_the_type_and_not_what_pydantic_read_of_the_value(schema: Any, result: Any, text: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        Schema(schema, "schema.told").encode(result, 1000)
    assert str(caught.value) == f"result of 'schema.told' is no {text}"


def test_a_schema_that_names_a_later_class_is_refused_with_the_remedy() -> None:
    class Early(BaseModel):
        of: Later  # type: ignore[name-defined]  # noqa: F821 - it is not there

    for schema in (Early, list["Later"]):  # type: ignore[name-defined]  # noqa: F821
        with pytest.raises(ConfigurationError, match="declare the event below all classes that its schema names"):
            event("schema.early", schema=schema)
    assert "schema.early" not in default_namespace


def test_a_field_that_was_changed_after_its_validation_is_refused() -> None:
    todo = TodoOut(id=1, title="a")
    event("schema.todo", schema=TodoOut)
    todo.title = 7  # type: ignore[assignment]
    with pytest.raises(
        InvalidPayload, match="title: Input should be a valid string; it was changed, or never validated"
    ):
        emit("schema.todo", "me", result=todo)


class Todos(BaseModel):
    first: TodoOut
    more: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("schema", "result", "field"),
    [
        (list[TodoOut], lambda todo: [todo], "0.id"),
        (dict[str, TodoOut], lambda todo: {"a": todo}, "a.id"),
        (Todos, lambda todo: {"first": todo}, "first.id"),
        (Todos, lambda todo: Todos(first=todo), "first.id"),
        (TodoOut | None, lambda todo: todo, "id"),
    ],
    ids=["list", "dict", "dict of fields", "model", "union"],
)
def test_a_changed_model_within_a_result_is_refused_and_its_value_is_not_shown(
    schema: Any, result: Any, field: str, recwarn: pytest.WarningsRecorder
) -> None:
    todo = TodoOut(id=1, title="a")
    todo.id = "hunter2"  # type: ignore[assignment]
    within = Schema(schema, "schema.changed")
    with pytest.raises(InvalidPayload, match=f": {field}: Input should be a valid integer; it was changed") as caught:
        within.encode(result(todo), 1 << 20)
    assert "hunter2" not in str(caught.value)
    assert not recwarn.list, "pydantic's warning shows it"


class Shelf(BaseModel):
    """In which only one thing may be None; the default of another is, and pydantic looks at no defaults."""

    name: Annotated[str, Field(alias="shelfName")] = "a"
    todo: TodoOut = TodoOut(id=1, title="a")
    tags: list[str] = []
    by: dict[str, int | None] = {}
    place: str = None  # type: ignore[assignment]
    note: str | None = None


@dataclass(slots=True)
class Slotted:
    x: int | None
    todo: TodoOut


def changed(**values: Any) -> Any:
    return Shelf(shelfName="a", place="b").model_copy(update=values)


class Tagged(BaseModel):
    kind: Literal["tagged"] = "tagged"
    title: str = None  # type: ignore[assignment]


class OtherTag(BaseModel):
    kind: Literal["other"] = "other"


UNSET_TODO = TodoOut.model_construct(**dict[str, Any](id=1, title=None))


@pytest.mark.parametrize(
    ("schema", "result", "field"),
    [
        (Shelf, changed(name=None), "shelfName: Input should be a valid string"),
        (Shelf, changed(todo=None), "todo: Input should be"),
        (Shelf, changed(todo=UNSET_TODO), "todo.title: Input should be a valid string"),
        (Shelf, changed(tags=["a", None]), "tags.1: Input should be a valid string"),
        (Shelf, {}, "place: Input should be a valid string"),
        (TodoOut, UNSET_TODO, "title: Input should be a valid string"),
        (list[TodoOut | int], [1, UNSET_TODO], "1.TodoOut.title: Input should be a valid string"),
        (Annotated[Tagged | OtherTag, Field(discriminator="kind")], Tagged(), "tagged.title: Input should be"),
        (Slotted, Slotted(None, UNSET_TODO), "todo.title: Input should be a valid string"),
        (Slotted, {"x": 1, "todo": UNSET_TODO}, "todo.title: Input should be a valid string"),
    ],
    ids=["field", "model", "nested", "item", "default", "constructed", "in a list", "by a tag", "slots", "in a dict"],
)
def test_none_is_refused_where_the_schema_has_none(schema: Any, result: Any, field: str) -> None:
    refused = f"can't be sent as .*: {re.escape(field)}.*; None was assigned, or never validated"
    with pytest.raises(InvalidPayload, match=refused):
        Schema(schema, "schema.none").encode(result, 1000)


class Hidden(BaseModel):
    price: Annotated[int, PlainSerializer(lambda _: None)] = 7
    of: str = Field("a", serialization_alias="from")
    note: str | None = None


class OfObjects(BaseModel):
    author: Annotated[str, BeforeValidator(lambda author: author.id and author.title)]
    notes: list[str | None]


class Closed(BaseModel):
    """Which doesn't read what it writes itself."""

    model_config = ConfigDict(extra="forbid")
    meta: dict[str, Any] = {"color": None}
    note: str | None = Field(None, serialization_alias="noteText")
    price: Annotated[int, PlainSerializer(lambda _: None)] = 7

    @computed_field  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def since(self) -> str | None:
        return None


class Lent(BaseModel):
    meta: dict[str, str]


class Node(BaseModel):
    """Of a tree, in which each child holds its parent, and the root itself."""

    parent: Any = Field(None, exclude=True, repr=False)
    root: Annotated[Any, PlainSerializer(lambda root: root is not None)] = Field(None, repr=False)
    children: list[Node] = []
    note: str | None = None


def tree() -> Node:
    root = Node(children=[Node()])
    root.root = root.children[0].parent = root
    return root


CHILD = {"root": False, "children": [], "note": None}
CLOSED = {"meta": {"color": None}, "noteText": None, "price": None, "since": None}


@pytest.mark.parametrize(
    ("schema", "result", "sent"),
    [
        (Closed, Closed(), CLOSED),
        (Closed | Lent, Closed(), CLOSED),
        (Node, tree(), {**CHILD, "root": True, "children": [CHILD]}),
        (Shelf, changed(by={"a": None}, place="null"), None),
        (list[int | None], [1, None], [1, None]),
        (Slotted, Slotted(None, TodoOut(id=1, title="a")), None),
        (Hidden, Hidden(), {"price": None, "from": "a", "note": None}),
        (OfObjects, {"author": TodoOut(id=1, title="a"), "notes": [None]}, {"author": "a", "notes": [None]}),
    ],
    ids=[
        *("unreadable", "in a union", "tree"),
        *("optional", "list", "slots", "a serializer's", "a validator of objects"),
    ],
)
def test_none_is_sent_where_the_schema_has_it(schema: Any, result: Any, sent: Any) -> None:
    of = Schema(schema, "schema.none")
    _, payload = of.encode(result, 1000)
    assert b"null" in payload
    if sent is None:
        assert of.decode(payload) == result
    else:
        assert json.loads(payload) == sent


class Returned(BaseModel):
    """Whose validators return other types than those that they are declared for."""

    url: Annotated[HttpUrl, AfterValidator(str)] = "https://a.org/"  # type: ignore[assignment]
    numbers: Annotated[set[int], AfterValidator(sorted)] = {1}
    tags: tuple[str, ...] = []  # type: ignore[assignment]


def test_what_a_validator_made_of_a_field_is_sent(recwarn: pytest.WarningsRecorder) -> None:
    returned = Schema(Returned, "schema.returned")
    fields: dict[str, Any] = {"url": "https://b.org", "numbers": [2, 1]}
    sent = b'{"url":"https://b.org/","numbers":[1,2],"tags":[]}'
    assert returned.encode(fields, 1000)[1] == returned.encode(Returned(**fields), 1000)[1] == sent
    assert not recwarn.list


class OfBytes(BaseModel):
    of: list[bytes]
    more: Any = None


@pytest.mark.parametrize("result", [{"of": [b"a", b"\xff"]}, OfBytes(of=[b"a", b"\xff"])], ids=["dict", "model"])
def test_what_is_no_text_is_told_with_its_place(result: Any) -> None:
    with pytest.raises(InvalidPayload, match=r"can't be sent as OfBytes: result\.of\[1\]: .*invalid utf-8"):
        Schema(OfBytes, "schema.bytes").encode(result, 1000)


class InJson(BaseModel):
    model_config = ConfigDict(ser_json_timedelta="float", ser_json_bytes="base64")
    lasts: timedelta = timedelta(seconds=90)
    blob: bytes = b"\xff"
    price: Annotated[Decimal, PlainSerializer(float, return_type=float, when_used="json")] = Decimal("1.10")


class InJsonOpen(InJson):
    meta: dict[str, Any] = {}


@pytest.mark.parametrize("schema", [InJson, InJsonOpen])
@pytest.mark.parametrize("meta", [{"a": None, "b": [1, date(2026, 1, 2)]}, {}], ids=["some", "none"])
def test_a_model_is_written_as_its_serializers_have_it_also_beside_an_any(schema: Any, meta: dict[str, Any]) -> None:
    _, payload = Schema(schema, "schema.in_json").encode({"meta": meta}, 1000)
    sent = {"lasts": 90.0, "blob": "_w==", "price": 1.1}
    if schema is InJsonOpen:
        alone = json.loads(InJsonOpen(meta=meta).model_dump_json())  # where pydantic 2.12.0 has seconds for the date
        sent["meta"] = alone["meta"]
    assert json.loads(payload) == sent


def test_handlers_get_the_value_and_latest_by_is_one_of_its_fields() -> None:
    price = event("schema.price", schema=TodoOut, latest_by="id")
    seen: list[Any] = []

    @on(price)
    def note(sender: Any, result: TodoOut) -> None:
        seen.append(result)

    try:
        price.emit("me", result={"id": "3", "title": "a"})  # type: ignore[arg-type]
        assert seen == [TodoOut(id=3, title="a")]
        assert price.emit("me", result=None) == [None]
        assert seen[1:] == [None], "None means that there is nothing to send, whatever the schema"
    finally:
        price.disconnect(note)

    async def latest() -> Any:
        with Client(topics=["schema.price"]) as client:
            price.emit("me", result=TodoOut(id=3, title="b"))
            return await anext(client.messages())

    assert asyncio.run(latest()).key == "3"


def test_an_event_has_one_schema() -> None:
    one = event("schema.one", schema=TodoOut)
    assert event("schema.one") is one
    assert event("schema.one", schema=TodoOut) is one
    with pytest.raises(ConfigurationError, match=r"'schema.one' has schema=<class .*TodoOut'> already"):
        event("schema.one", schema=Point)
    later = event("schema.later")
    assert event("schema.later", schema=TodoOut) is later
    with pytest.raises(InvalidPayload):
        later.emit("me", result={})


def test_what_pydantic_does_not_know_is_refused_where_it_is_written() -> None:
    class Unknown:
        pass

    with pytest.raises(ConfigurationError, match="is nothing that pydantic can validate"):
        event("schema.unknown", schema=Unknown)
    assert "schema.unknown" not in default_namespace


def test_events_of_other_namespaces_have_schemas_too() -> None:
    own = Namespace().event("saved", schema=Point)
    assert own.connect(lambda sender, result: result, weak=False) is not None
    assert own.emit("me", result={"x": 1}) == [Point(1)]  # type: ignore[arg-type]


def test_a_value_that_is_too_long_or_too_deep_is_refused() -> None:
    event("schema.any", schema=Any)
    with pytest.raises(PayloadTooLarge):
        emit("schema.any", "me", result="x" * 2_000_000)
    deep: Any = []
    for _ in range(400):
        deep = [deep]
    with pytest.raises(InvalidPayload, match="can't be sent as"):
        emit("schema.any", "me", result=deep)


class Open(BaseModel):
    x: Any = None


class Constant(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    x: float


@pytest.mark.parametrize(
    "schema", [Any, Open, dict, list[Any], dict[str, float], list[float | None], Open | None, TodoOut, Constant]
)
def test_nan_is_never_sent_as_null(schema: Any) -> None:
    name = f"schema.nan{abs(hash(str(schema)))}"
    event(name, schema=schema)
    of_lists = schema in (list[Any], list[float | None])
    fields = {"id": 1, "title": "a", "price": math.nan} if schema is TodoOut else {"x": math.nan}
    with pytest.raises(InvalidPayload, match="can't be sent as"):
        emit(name, "me", result=[math.nan] if of_lists else fields)


def test_a_float_that_is_sent_in_other_words_is_no_nan() -> None:
    class Worded(BaseModel):
        model_config = ConfigDict(ser_json_inf_nan="strings")
        x: Any
        left_out: float = Field(default=math.nan, exclude=True)
        nothing: None = None

    _, payload = Schema(Worded, "schema.worded").encode({"x": [math.inf, Decimal("NaN")]}, 1000)
    assert payload == b'{"x":["Infinity","NaN"],"nothing":null}'


class Inner(NamedTuple):
    a: int | None
    b: float | None


@dataclass
class Outer:
    inner: Inner
    texts: list[str]
    by: dict[str, Inner | None] = field(default_factory=dict)


OUTER = TypeAdapter(Outer)
INNER = st.builds(
    Inner, st.none() | st.integers(-(2**53), 2**53), st.none() | st.floats(allow_nan=False, allow_infinity=False)
)


@given(st.builds(Outer, INNER, st.lists(st.text()), st.dictionaries(st.text(), st.none() | INNER)))
def test_what_is_sent_is_what_the_schema_makes_of_it(value: Outer) -> None:
    outer = event("schema.outer", schema=Outer)
    assert outer.schema is not None
    _, given_as_it_is = outer.schema.encode(value, 1 << 20)
    assert outer.schema.encode(OUTER.dump_python(value), 1 << 20) == (value, given_as_it_is)
    assert OUTER.validate_json(given_as_it_is) == value
    assert not {"\u2028", "\u2029", "\x85"} & set(given_as_it_is.decode())


def test_live_models_are_held_to_it_too() -> None:
    event("schema.note.created", schema=EntityOut)
    engine = create_engine("sqlite://", poolclass=StaticPool)
    SQLModel.metadata.create_all(engine, tables=[SQLModel.metadata.tables["livenote"]])
    with captured("schema.note.*") as emitted, Session(engine) as session:
        note = LiveNote(title="Milk")
        id = note.id
        session.add(note)
        session.commit()
        note.title = "Oat milk"
        session.commit()
    engine.dispose()
    created, updated = emitted
    assert created.data == {"id": id, "title": "Milk"}
    assert updated.data["secret"] == "hidden", "of another topic, which has no schema"


def published(topic: str, result: Any) -> httpx.Response:
    publisher = Publisher({"k" * 32: Grant(["schema.*"], user_id="billing")})

    async def publish() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(publisher), base_url="http://app") as client:
            body = {"topic": topic, "result": result}
            return await client.post("/", json=body, headers={"Authorization": f"Bearer {'k' * 32}"})

    return asyncio.run(publish())


def test_what_is_published_over_http_is_held_to_it_too() -> None:
    event("schema.todo", schema=TodoOut)
    with captured() as emitted:
        refused = published("schema.todo", {"id": 1})
        assert (refused.status_code, refused.json()["detail"]) == (
            422,
            "result of 'schema.todo' is no TodoOut: title: Field required",
        )
        assert published("schema.todo", {"id": 1, "title": "a", "more": 2}).status_code == 200
    assert [each.data for each in emitted] == [{"id": 1, "title": "a", "price": None}]


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    id: str
    due: date
    price: Decimal


class LiveStrict(Entity, table=True, live=True, topic="schema.strict"):
    due: date
    price: Decimal


def test_a_strict_schema_takes_texts_for_dates_of_json_and_of_nothing_else() -> None:
    for topic in ("schema.strict.created", "schema.strict.emitted"):
        event(topic, schema=Strict)
    fields = {"id": "a", "due": "2026-01-02", "price": "1.50"}
    assert published("schema.strict.emitted", fields).status_code == 200
    refused = published("schema.strict.emitted", {**fields, "id": 7})
    assert (
        refused.json()["detail"] == "result of 'schema.strict.emitted' is no Strict: id: Input should be a valid string"
    )
    with pytest.raises(InvalidPayload, match="due: Input should be a valid date; price: Input should be an instance"):
        emit("schema.strict.emitted", "me", result=fields)
    engine = create_engine("sqlite://", poolclass=StaticPool)
    SQLModel.metadata.create_all(engine, tables=[SQLModel.metadata.tables["livestrict"]])
    with captured("schema.strict.*") as emitted, Session(engine) as session:
        session.add(LiveStrict(id="a", due=date(2026, 1, 2), price=Decimal("1.50")))
        session.commit()
    engine.dispose()
    assert [each.data for each in emitted] == [fields]
