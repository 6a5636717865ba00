"""Where a stream begins: who says so, under which names, and that it begins once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

import pytest

import nitro
from nitro import Client, EventSourceResponse, client_event, emit
from nitro.delivery.hub import Hub
from tests.wire import Wire

ADDED_BY_LIBRARIES = ["lastEventId", "lastEventID", "Last-Event-ID", "Last-Event-Id", "evs_last_event_id"]


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


def emitted(count: int) -> list[str]:
    """The positions before each of so many events, whose data are their numbers."""
    positions = []
    for n in range(count):
        positions.append(nitro.position())
        emit("a", result=n)
    return positions


async def first_heard(tape: Wire, newest: int, **options: Any) -> str:
    """The data of the first event of a stream that is read up to the newest one."""
    client = Client(topics=["a"], last_event_id=options.pop("client_has", None))
    await tape.play(EventSourceResponse(client, **options), b"data: %d\n\n" % newest)
    return tape.body.split(b"data: ", 1)[1].split(b"\n", 1)[0].decode()


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ADDED_BY_LIBRARIES)
def test_a_library_that_adds_the_newest_id_to_the_query_misses_nothing(name: str) -> None:
    async def scenario() -> None:
        position = emitted(3)[1]
        assert await first_heard(Wire(f"topic=a&{name}={quote(position)}".encode()), 2) == "1"
        assert await first_heard(Wire(f"{quote(name, safe='').replace('-', '%2D')}={position}".encode()), 2) == "1"

    run(scenario)


@pytest.mark.usefixtures("hub")
def test_the_header_comes_before_the_librarys_name_and_that_before_the_pages_since_and_the_clients() -> None:
    async def scenario() -> None:
        in_header, added, started, since, client_has = emitted(6)[1:]
        header = ((b"last-event-id", in_header.encode()),)
        names = f"last_event_id={started}", f"lastEventId={added}"
        for query in ("&".join(names), "&".join(reversed(names))):
            for tape, first in (
                (Wire(query.encode(), header), "1"),
                (Wire(query.encode()), "2"),
                (Wire(f"last_event_id={started}".encode()), "3"),
                (Wire(f"last_event_id={started}&lastEventId=".encode()), "3"),
                (Wire(b"last_event_id=&lastEventId="), "4"),
            ):
                assert await first_heard(tape, 5, since=since, client_has=client_has) == first
        assert await first_heard(Wire(), 5, client_has=client_has) == "5"

    run(scenario)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["last_event_id", "lastEventId"])
def test_of_a_name_that_is_there_twice_the_one_that_was_added_last_counts(name: str) -> None:
    async def scenario() -> None:
        positions = emitted(3)
        query = f"{name}={positions[0]}&{name}={positions[2]}".encode()
        assert await first_heard(Wire(query), 2) == "2"

    run(scenario)


@pytest.mark.usefixtures("hub")
def test_a_wrong_id_under_any_name_is_a_gap() -> None:
    async def scenario() -> None:
        emitted(1)
        for name in ("last_event_id", *ADDED_BY_LIBRARIES):
            tape = Wire(f"{name}=nobodys".encode())
            await tape.play(EventSourceResponse(Client(topics=["a"])), b"event: gap")

    run(scenario)


@pytest.mark.usefixtures("hub")
def test_one_that_was_told_to_stay_away_is_answered_with_204_under_any_name() -> None:
    async def scenario() -> None:
        for name in ("last_event_id", *ADDED_BY_LIBRARIES):
            tape = Wire(f"{name}=stop".encode())
            await tape.answer(Client(topics=["a"]))
            assert (tape.is_complete, tape.body) == (True, b"")

    run(scenario)


@pytest.mark.parametrize("client_has", ["nobodys", "{position}"], ids=["a wrong one", "an old one"])
def test_a_client_with_an_id_behind_a_browser_that_brings_one_resumes_once(client_has: str, hub: Hub) -> None:
    async def scenario() -> None:
        oldest, newest = emitted(2)
        tape = Wire(headers=((b"last-event-id", newest.encode()),))
        assert await first_heard(tape, 1, client_has=client_has.replace("{position}", oldest)) == "1"
        seen = hub.statistics()
        assert (seen.replays, Counter(seen.gaps)) == (1, Counter())
        assert b"event: gap" not in tape.body

    run(scenario)


def test_an_id_that_the_browser_brings_is_used_up_by_its_own_stream(hub: Hub) -> None:
    async def scenario() -> None:
        position = emitted(1)[0]
        client = Client(topics=["a"])
        await Wire(headers=((b"last-event-id", position.encode()),)).play(EventSourceResponse(client), b"data: 0\n\n")
        with client:
            emit("a", result="next")
            assert [message.data async for message in _first(client)] == ["next"]
        assert hub.statistics().replays == 1

    run(scenario)


@pytest.mark.usefixtures("hub")
def test_one_that_is_refused_by_a_handler_or_by_the_end_of_the_process_comes_back_to_where_it_was(hub: Hub) -> None:
    async def scenario() -> None:
        position = emitted(1)[0]
        header = ((b"last-event-id", position.encode()),)

        def refuse(sender: Any, action: str, client: Client, **kwargs: Any) -> None:
            client.disconnect()

        client_event.connect(refuse)
        try:
            refused = Wire(headers=header)
            await refused.answer(Client(topics=["a"]))
        finally:
            client_event.disconnect(refuse)
        held = Wire()
        task = held.answer(Client(topics=["a"]))
        await held.until(b"id: ")
        hub.drain_soon()
        await task
        late = Wire(headers=header)
        await late.answer(Client(topics=["a"]))
        for tape in (refused, late):
            assert f"id: {position}\n\n".encode() in tape.body
            assert b"data: " not in tape.body

    run(scenario)


async def _first(client: Client) -> Any:
    async for message in client.messages():
        yield message
        return
