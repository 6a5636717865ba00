"""Characters that some readers of streams take for line ends: in JSON they never reach the wire as they are."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from nitro import Client, EventSourceResponse, emit
from nitro.errors import PayloadTooLarge
from nitro.events.payload import decode, encode
from tests.wire import Wire

ENDS_A_LINE = [char for char in map(chr, range(sys.maxunicode + 1)) if len(f"a{char}b".splitlines()) > 1]
"""For Python's `str.splitlines`, which clients use."""
ALL = "é".join(ENDS_A_LINE)


class Model(BaseModel):
    text: str


@dataclass
class Data:
    text: str


def test_they_are_more_than_the_standard_knows() -> None:
    assert {"\r", "\n", "\x85", "\u2028", "\u2029"} < set(ENDS_A_LINE)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (ALL, ALL),
        ([ALL], [ALL]),
        ({ALL: ALL}, {ALL: ALL}),
        (Model(text=ALL), {"text": ALL}),
        (Data(ALL), {"text": ALL}),
        ((ALL, {ALL}), [ALL, [ALL]]),
    ],
    ids=["text", "list", "dict", "model", "dataclass", "tuple and set"],
)
def test_json_is_one_line_for_every_reader_and_the_same_value(value: Any, read: Any) -> None:
    written = encode(value, 10_000)
    assert len(written.decode().splitlines()) == 1
    assert json.loads(written) == read


@given(st.recursive(st.text() | st.integers(-9, 9), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_what_is_escaped_is_read_as_it_was(value: Any) -> None:
    written = encode(value, 1 << 20)
    assert len(written.decode().splitlines()) == 1
    assert json.loads(written) == decode(written) == value


@given(st.text(st.sampled_from([*ENDS_A_LINE, "\\", "u", "2", "0", "8", '"', "â", "Â"])))
def test_what_looks_like_an_escape_stays_what_it_is(text: str) -> None:
    assert json.loads(encode(text, 1 << 20)) == text
    assert json.loads(encode({text: text}, 1 << 20)) == {text: text}


def test_the_limit_counts_what_is_sent() -> None:
    assert len(encode("\u2028", 8)) == 8
    with pytest.raises(PayloadTooLarge):
        encode("\u2028", 7)


@pytest.mark.usefixtures("hub")
def test_events_and_what_is_sent_to_one_client_are_one_line_each_in_every_way_to_read_them() -> None:
    async def scenario() -> None:
        wire = Wire()
        client = Client(topics=["a"])
        task = wire.answer(EventSourceResponse(client))
        await wire.until(b"id: ")
        with Client(topics=["a"]) as by_hand:
            emit("a", result={"text": ALL})
            client.send([ALL])
            emit("a", result="the end")
            await wire.until(b"the end")
            lines = [line for line in wire.body.decode().splitlines() if line.startswith("data: ")]
            assert [json.loads(line[6:]) for line in lines] == [{"text": ALL}, [ALL], "the end"]
            formatted = f"data: {await anext(by_hand.stream())}"
            assert (len(formatted.splitlines()), json.loads(formatted[6:])) == (1, {"text": ALL})
        wire.gone.set()
        await task

    asyncio.run(asyncio.wait_for(scenario(), 20))
