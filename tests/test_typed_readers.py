"""Readers that ask for typed values. `test_listening.py` has those over HTTP."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field

import nitro
from nitro import Client, Gap, Heard, emit, event
from nitro.client.session import Session
from nitro.errors import ArgumentTypeError, ConfigurationError
from nitro.messages.message import Position
from nitro.messages.reading import Reading


class Order(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: UUID
    total: Decimal = Field(alias="sum")
    placed_at: datetime


class Removed(BaseModel):
    id: UUID


order_placed = event("typed.placed", schema=Order)
order_removed = event("typed.removed", schema=Removed)
NUMBER = UUID(int=7)
ORDER = Order(id=NUMBER, sum=Decimal("2.50"), placed_at=datetime(2026, 1, 2, 12, tzinfo=UTC))


async def read(client: Client, as_: Any, count: int) -> list[Any]:
    """So many messages of a client."""
    found = []
    async with aclosing(client.messages(as_=as_)) as messages:
        async for message in messages:
            found.append(message)
            if len(found) == count:
                break
    return found


@pytest.mark.usefixtures("hub")
def test_messages_are_what_the_schema_makes_of_them_and_of_no_other_event() -> None:
    async def scenario() -> None:
        with Client(topics=["typed.*"]) as client:
            emit("typed.other", "me", result={"n": 1})
            emit(order_placed, "me", result=ORDER)
            client.send({"for": "you"})
            emit(order_removed, "me", result=Removed(id=NUMBER))
            (placed,) = await read(client, order_placed, 1)
            assert placed == Heard("typed.placed", ORDER, placed.id)
            assert Position.parse(placed.id) is not None
            (removed,) = await read(client, [order_placed, order_removed], 1)
            assert (removed.topic, removed.data) == ("typed.removed", Removed(id=NUMBER))

    asyncio.run(scenario())


@pytest.mark.usefixtures("hub")
def test_one_that_is_not_what_the_schema_says_is_a_gap_and_the_stream_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    later = event("typed.later")

    async def scenario() -> list[Any]:
        with Client(topics=["typed.*"]) as client:
            emit(later, "me", result={"id": "secret-7"})
            emit(later, "me", result={"id": "secret-8"})
            event("typed.later", schema=Removed)  # as a deploy does: the log still has what was sent before it
            emit(later, "me", result={"id": NUMBER})
            before = nitro.statistics().gaps.get("schema", 0)
            found = await read(client, later, 3)
            assert nitro.statistics().gaps["schema"] == before + 2
            return found

    with caplog.at_level(logging.WARNING, "nitro.events"):
        first, second, third = asyncio.run(scenario())
    assert isinstance(first, Gap) and first.reason == second.reason == "schema"
    assert third.data == Removed(id=NUMBER)
    assert Position.parse(third.id) == (first.resumed_at.epoch, first.resumed_at.sequence + 2, first.resumed_at.stamp)
    (record,) = [each for each in caplog.records if "typed.later" in each.getMessage()]
    assert "is no Removed: id: Input should be a valid UUID" in record.getMessage()
    assert "secret" not in record.getMessage()


@pytest.mark.parametrize(
    ("as_", "error", "words"),
    [
        ("todo.created", ArgumentTypeError, "the object that event"),
        (["todo.created"], ArgumentTypeError, "'todo.created'"),
        (7, ArgumentTypeError, "not 7"),
        (event("typed.plain"), ConfigurationError, r"event\('typed.plain', schema=...\)"),
        ([], ConfigurationError, "names no event"),
    ],
)
@pytest.mark.usefixtures("hub")
def test_what_can_not_be_read_so_is_refused_in_the_call(as_: Any, error: type[Exception], words: str) -> None:
    with Client(topics=["typed.*"]) as client, pytest.raises(error, match=words):
        client.messages(as_=as_)
    with pytest.raises(error, match=words):
        nitro.listen("http://127.0.0.1:1/events", as_=as_)


def test_a_listener_reads_or_leaves_the_text_and_not_both() -> None:
    with pytest.raises(ConfigurationError, match="choose one"):
        nitro.listen("http://127.0.0.1:1/events", as_=order_placed, text=True)


def test_a_session_keeps_its_place_at_what_it_skips() -> None:
    session = Session(None, "a-1", reading=Reading(order_removed))
    session.begin({})
    session.hear("message", 'nitro.stream\n{"retry":1000,"heartbeat":6.0}', "a-1")
    assert session.hear("message", 'typed.other\n{"n":1}', "a-2") is None
    assert session.last_event_id == "a-2"
    assert session.hear("message", '{"for":"you"}', "a-2") is None
    assert session.hear("message", 'typed.removed\n{"id":"x"}', "a-3") == Gap("schema", Position("a", 3))
    heard = session.hear("message", f'typed.removed\n{{"id":"{NUMBER}"}}', "a-4")
    assert heard == Heard("typed.removed", Removed(id=NUMBER), "a-4")
