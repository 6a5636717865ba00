"""Rows 16 to 24 of docs/reference/bad-inputs.md: what is emitted, as its caller and the wire see it.

What a browser makes of it is in `test_payloads_in_browser.py`.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import IO, Any, TypedDict
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict
from pydantic.dataclasses import dataclass as checked_dataclass
from sqlalchemy import JSON
from sqlmodel import Field

import nitro
from nitro import Client, Entity, EventSourceResponse, emit, emit_async
from nitro.errors import InvalidPayload, PayloadTooLarge
from tests.bad_inputs.witnesses import Bystander
from tests.servers import ROOT
from tests.specification.hearing import heard_by, run
from tests.test_frame import as_read, parsed
from tests.wire import Wire

DOCUMENT = (ROOT / "docs/reference/bad-inputs.md").read_text()


class Form(TypedDict, total=False):
    """The options of a response that change its form on the wire."""

    named: bool
    text: bool


FORMS: list[Form] = [{}, {"named": True}, {"text": True}, {"named": True, "text": True}]
EACH_FORM = pytest.mark.parametrize("form", FORMS, ids=lambda form: " and ".join(form) or "JSON")


@dataclass
class Point:
    x: float


@checked_dataclass
class CheckedPoint:
    x: float


class Place(BaseModel):
    x: float


class Spot(Entity):
    x: float


class Anything(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: Any = None


class Measured(Entity, table=True):
    __tablename__ = "bad_measured"
    of: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


def nested(wrap: Callable[[Any], Any], depth: int = 100_000) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


def cycle() -> list[Any]:
    loop: list[Any] = []
    loop.append({"again": loop})
    return loop


def on_the_wire(results: list[Any], form: Form) -> list[tuple[str, str]]:
    """Name and data of the events that these results become, as a parser reads them that follows the standard."""
    found: list[tuple[str, str]] = []

    async def scenario() -> None:
        wire = Wire()
        task = wire.answer(EventSourceResponse(Client(topics=["t.x"]), **form))
        await wire.until(b"id: ")
        for result in [*results, "the end"]:
            emit("t.x", result=result)
        await wire.until(b"the end")
        wire.gone.set()
        await task
        *events, _ = parsed(wire.body, []).events
        found.extend((name, data) for name, data, _ in events)

    run(scenario)
    return found


UNSENDABLE: dict[str, Callable[[IO[str]], Any]] = {
    "NaN": lambda file: math.nan,
    "Infinity": lambda file: math.inf,
    "-Infinity in a list": lambda file: [{"x": (-math.inf,)}],
    "NaN in a dataclass": lambda file: Point(math.nan),
    "NaN in a dataclass of pydantic's": lambda file: CheckedPoint(math.nan),
    "NaN in a model": lambda file: Place(x=math.nan),
    "Infinity in a model in a list": lambda file: [Place(x=math.inf)],
    "NaN in an entity": lambda file: Spot(x=math.nan),
    "NaN in a field of a model that may be anything": lambda file: Anything(x=math.nan),
    "Infinity in a dict in a field of a model": lambda file: [Anything(x={"a": [1.5, -math.inf]})],
    "NaN in a field that a model doesn't name": lambda file: Anything(more=[math.nan]),
    "NaN in a column of JSON": lambda file: Measured(of={"loss": math.nan}),
    "a cycle": lambda file: cycle(),
    "100,000 nested lists": lambda file: nested(lambda value: [value]),
    "100,000 nested dicts": lambda file: nested(lambda value: {"a": value}),
    "a lone surrogate": lambda file: "\ud800",
    "a lone surrogate as a key": lambda file: {"\udfff": 1},
    "a set of objects": lambda file: {object()},
    "a file": lambda file: file,
    "a file of bytes": lambda file: file.buffer,  # type: ignore[attr-defined]
    "a file in a list": lambda file: [file],
    "a file in a dict": lambda file: {"file": file},
    "a generator": lambda file: (number for number in [1, 2]),
    "a map in a list": lambda file: [map(str, [1, 2])],
    "a generator in a field of a model": lambda file: Anything(x={"numbers": (number for number in [1, 2])}),
    "bytes that are not UTF-8": lambda file: b"\xff",
    "a number of 5,000 digits": lambda file: 10**4999,
    "a function": lambda file: print,
}


@pytest.mark.bad_input(16)
@pytest.mark.parametrize("what", UNSENDABLE)
def test_what_can_not_be_sent_raises_in_the_caller_and_the_stream_lives(
    what: str, bystander: Bystander, tmp_path: Path
) -> None:
    (tmp_path / "secret.txt").write_text("a secret\n")
    topic, called = nitro.Namespace().event("bad.payload"), []

    @topic.connect
    def note(sender: Any, **_: Any) -> None:
        called.append(sender)

    async def scenario(result: Any) -> None:
        with Client(topics=["*"]) as client:
            first = asyncio.ensure_future(anext(client.stream()))  # it is read while that happens
            await asyncio.sleep(0)
            for emitting in (lambda: emit(topic, result=result), lambda: client.send(result)):
                with pytest.raises(InvalidPayload, match=r"can't be sent as JSON: .*; pass dicts, lists") as caught:
                    emitting()
                assert isinstance(caught.value, ValueError)
                assert str(caught.value).isascii()
            with pytest.raises(InvalidPayload, match="can't be sent as JSON"):
                await emit_async(topic, result=result)
            assert called == []
            emit("lives", result="on")
            assert await first == "on"

    with (tmp_path / "secret.txt").open() as file:
        result = UNSENDABLE[what](file)
        run(lambda: scenario(result))
    bystander.lives_on("on")


@pytest.mark.bad_input(17)
@pytest.mark.parametrize(
    "number", [2**53 + 1, -(2**53) - 1, 2**64 + 1, 10**4299 + 1], ids=["2^53+1", "-2^53-1", "2^64+1", "10^4299+1"]
)
@EACH_FORM
def test_a_number_beyond_those_of_javascript_keeps_its_digits(number: int, form: Form, bystander: Bystander) -> None:
    events = on_the_wire([number, {"n": [number]}], form)
    assert [data for _, data in events] == [str(number), f'{{"n":[{number}]}}']
    bystander.lives_on(number, {"n": [number]}, "the end")


class Colour(Enum):
    RED = "red"


class Price(BaseModel):
    of: str
    euros: Decimal


class Todo(Entity):
    title: str


class StoredTodo(Entity, table=True):
    title: str


DOCUMENTED = [
    (datetime(2026, 1, 2, 12, tzinfo=UTC), '"2026-01-02T12:00:00Z"'),
    (datetime(2026, 1, 2, 12), '"2026-01-02T12:00:00"'),  # noqa: DTZ001
    (date(2026, 1, 2), '"2026-01-02"'),
    (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
    (Decimal("1.10"), '"1.10"'),
    (Colour.RED, '"red"'),
    (b"bytes", '"bytes"'),
    (Point(1), '{"x":1}'),
    (Price(of="tea", euros=Decimal("2.50")), '{"of":"tea","euros":"2.50"}'),
    (Todo(id="7", title="milk"), '{"id":"7","title":"milk"}'),
    (StoredTodo(id="7", title="milk"), '{"id":"7","title":"milk"}'),
]


@pytest.mark.bad_input(18)
@pytest.mark.parametrize(("value", "text"), DOCUMENTED, ids=lambda value: type(value).__name__)
def test_what_is_no_json_by_itself_is_sent_as_its_documented_json(value: Any, text: str, bystander: Bystander) -> None:
    assert f" | `{text}` |\n" in DOCUMENT.split("## Values and their JSON")[1]
    assert on_the_wire([value, [{"in": value}]], {}) == [("message", text), ("message", f'[{{"in":{text}}}]')]
    bystander.lives_on(data := json.loads(text), [{"in": data}], "the end")


@pytest.mark.bad_input(19)
@EACH_FORM
def test_what_is_empty_is_one_event_each(form: Form, bystander: Bystander) -> None:
    empty = ["", 0, False, [], {}]
    name = "t.x" if form.get("named") else "message"
    expected = ["" if form.get("text") else '""', "0", "false", "[]", "{}"]
    assert on_the_wire([*empty, None], form) == [(name, data) for data in expected]
    bystander.lives_on(*empty, "the end")


@pytest.mark.bad_input(21)
@pytest.mark.parametrize(
    "text",
    [
        "x\n\nevent: admin\ndata: y",
        "x\r\n\r\nevent: admin\r\ndata: y\r\n\r\n",
        "x\r\revent: admin\rdata: y\r\r",
        "\n\nid: 1\nretry: 1\nevent: admin\ndata: y\n\n",
        "x\n\n:\n\ndata: y",
    ],
    ids=ascii,
)
@EACH_FORM
def test_text_that_looks_like_the_wire_is_one_event(text: str, form: Form, bystander: Bystander) -> None:
    name = "t.x" if form.get("named") else "message"
    ((found, data),) = on_the_wire([text], form)
    assert found == name
    assert data == as_read(text) if form.get("text") else json.loads(data) == text
    bystander.lives_on(text, "the end")


@pytest.mark.bad_input(24)
@pytest.mark.parametrize(
    "make",
    [lambda n: "x" * n, lambda n: b"x" * n, lambda n: ["x"] * (n // 4), lambda n: {"a": [{"b": "é" * (n // 2)}]}],
    ids=["text", "bytes", "a list", "text within"],
)
def test_ten_mebibytes_are_refused_by_the_limit_that_is_named(make: Callable[[int], Any], bystander: Bystander) -> None:
    result = make(10 * 1024 * 1024)
    names = r"has \d{8} bytes of JSON, limit 1048576; .* NITRO_MAX_PAYLOAD_BYTES"

    async def scenario() -> None:
        with Client(topics=["*"]) as client:
            for emitting in (lambda: emit("t.x", result=result), lambda: client.send(result)):
                with pytest.raises(PayloadTooLarge, match=names) as caught:
                    emitting()
                assert isinstance(caught.value, ValueError)
            with pytest.raises(PayloadTooLarge, match=names):
                await emit_async("t.x", result=result)
            assert await heard_by(client) == []

    run(scenario)
    bystander.lives_on()


@pytest.mark.bad_input(24)
def test_the_limit_is_exact(bystander: Bystander) -> None:
    longest = "x" * (1024 * 1024 - 2)
    emit("t.x", result=longest)
    with pytest.raises(PayloadTooLarge, match="has 1048577 bytes"):
        emit("t.x", result=longest + "x")
    bystander.lives_on(longest)
