"""Readers that are too slow: what is kept for them, what they are told, and how little that hurts the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nitro
from nitro import Client, Gap, Message, emit, event
from nitro.delivery.frame import Frame
from nitro.delivery.hub import Hub
from nitro.delivery.limits import Limits
from nitro.errors import ConfigurationError, InvalidPayload
from nitro.messages.message import Position
from nitro.settings import Overflow
from tests.servers import Server
from tests.sse import Stream

BOTH_WAYS = True


async def fall_behind(client: Client, results: list[Any], topic: str = "a") -> list[Message | Gap]:
    """Read one event, emit the results while the reader is at work with it, and then read what is left."""
    client.send("first")
    messages = client.messages()
    found: list[Message | Gap] = [await anext(messages)]
    for result in results:
        emit(topic, result=result)
        await asyncio.sleep(0)
    emit("done", result="done")
    async for message in messages:
        if isinstance(message, Message) and message.topic == "done":
            break
        found.append(message)
    return found[1:]


def sequences(found: list[Message | Gap]) -> list[int]:
    return [m.position.sequence for m in found if isinstance(m, Message) and m.position is not None]


@pytest.mark.usefixtures("hub")
def test_drop_oldest_keeps_the_newest_half_behind_a_gap_that_says_where_it_goes_on() -> None:
    async def scenario() -> None:
        with Client(topics=["a", "done"], max_messages=100, overflow="drop_oldest") as client:
            found = await fall_behind(client, list(range(1_000)))
            gap, kept = found[0], found[1:]
            assert isinstance(gap, Gap)
            assert gap.reason == "overflow"
            assert sequences(kept) == list(range(gap.resumed_at.sequence + 1, 1_001))
            assert 50 <= len(kept) <= 107
            seen = nitro.statistics()
            assert seen.dropped == {"drop_oldest": 1_000 - len(kept)}
            assert seen.gaps["overflow"] >= 1
            assert seen.ended == {}

    asyncio.run(scenario())


@pytest.mark.usefixtures("hub")
def test_latest_keeps_the_newest_of_each_key() -> None:
    price = event("slow.price", latest_by="symbol")

    async def scenario() -> None:
        with Client(topics=["slow.price", "done"], max_messages=100, overflow="latest") as client:
            results = [{"symbol": f"s{n % 7}", "price": n} for n in range(700)]
            found = await fall_behind(client, results, price.name)
            assert isinstance(found[0], Gap)
            newest = {}
            for message in found:
                if isinstance(message, Message) and isinstance(message.data, dict):
                    newest[message.data["symbol"]] = message.data["price"]
            assert newest == {f"s{n % 7}": n for n in range(693, 700)}
            assert sequences(found) == sorted(sequences(found))
            assert len(found) < 120
            assert nitro.statistics().ended == {}

    asyncio.run(scenario())


@pytest.mark.usefixtures("hub")
def test_latest_without_a_key_keeps_one_message_a_topic_and_many_keys_end_the_client() -> None:
    event("slow.many", latest_by="id")

    async def scenario() -> None:
        with Client(topics=["a", "done"], max_messages=10, overflow="latest") as client:
            found = await fall_behind(client, list(range(100)))
            assert isinstance(found[0], Gap)
            assert [message.data for message in found[1:] if isinstance(message, Message)][-1] == 99
            assert len(found) < 14
        with Client(topics=["slow.many"], max_messages=10, overflow="latest") as client:
            emit("slow.many", result={"id": 0})
            messages = client.messages()
            await anext(messages)
            for n in range(50):
                emit("slow.many", result={"id": n})
                await asyncio.sleep(0)
            assert not client.is_connected

    asyncio.run(scenario())


@pytest.mark.usefixtures("hub")
def test_a_result_without_the_field_of_latest_by_is_an_error_in_emit() -> None:
    quote = event("slow.quote", latest_by="symbol")
    with pytest.raises(InvalidPayload, match="no field 'symbol'"):
        emit(quote, result={"price": 1})
    with pytest.raises(ConfigurationError, match="latest_by='symbol' already"):
        event("slow.quote", latest_by="other")
    assert event("slow.quote") is quote


@pytest.mark.parametrize(
    "limits",
    [
        {"max_messages": 0},
        {"max_messages": True},
        {"max_bytes": 1.5},
        {"overflow": "drop"},
        {"send_timeout_seconds": 0},
        {"send_timeout_seconds": "1"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("hub")
def test_limits_that_make_no_sense_are_errors(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(limits))):
        Client(topics=["a"], **limits)


def test_the_settings_give_the_defaults(hub_with: Callable[..., Hub]) -> None:
    hub = hub_with(client_max_messages=7, client_overflow="latest", send_timeout_seconds=3)
    assert Limits(7, 1024 * 1024, "latest", 3) == hub.limits
    assert Client(topics=["a"])._membership._limits is hub.limits
    assert Client(topics=["a"], max_bytes=9)._membership._limits == Limits(7, 9, "latest", 3)


@given(
    sizes=st.lists(st.integers(0, 60), max_size=80),
    max_messages=st.integers(1, 40),
    max_bytes=st.integers(1, 400),
    topics=st.integers(1, 5),
)
def test_whatever_is_shortened_is_a_tail_or_the_newest_and_within_the_limit(
    sizes: list[int], max_messages: int, max_bytes: int, topics: int
) -> None:
    frames = [Frame(Message(f"t{n % topics}", None, b"1" * size, Position("e", n + 1))) for n, size in enumerate(sizes)]
    kept = Limits(max_messages, max_bytes, "drop_oldest", 1).shorten(frames)
    assert kept is not None
    assert kept == frames[len(frames) - len(kept) :]
    if len(kept) > 1:
        assert 2 * len(kept) <= max_messages
        assert 2 * sum(frame.size for frame in kept) <= max_bytes
    latest = Limits(max_messages, max_bytes, "latest", 1).shorten(frames)
    newest = frames[-topics:]
    fits = len(newest) <= max_messages and sum(frame.size for frame in newest) <= max_bytes
    assert latest == (newest if fits else None)
    assert Limits(max_messages, max_bytes, "disconnect", 1).shorten(frames) is None


@pytest.mark.usefixtures("hub")
def test_a_slow_reader_that_drops_never_hears_anything_twice_or_out_of_order() -> None:
    async def scenario() -> None:
        async def read(client: Client, pause: float) -> list[int]:
            heard: list[int] = []
            async for message in client.messages():
                if isinstance(message, Gap):
                    assert not heard or message.resumed_at.sequence >= heard[-1]
                    continue
                assert message.position is not None
                heard.append(message.position.sequence)
                if message.topic == "done":
                    break
                await asyncio.sleep(pause)
            return heard

        clients = [
            Client(topics=["a", "done"], max_messages=30 + n, overflow="drop_oldest").connect() for n in range(20)
        ]
        readers = [asyncio.create_task(read(client, 0.0002 * n)) for n, client in enumerate(clients)]
        for n in range(3_000):
            emit("a", result=n)
            if n % 3 == 0:
                await asyncio.sleep(0)
        emit("done", result=0)
        for heard in await asyncio.gather(*readers):
            assert heard == sorted(set(heard))
            assert heard[-1] == 3_001
        for client in clients:
            client.disconnect()

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.alone
def test_a_socket_that_takes_nothing_is_given_up_after_the_send_timeout() -> None:
    environment = {"NITRO_SEND_TIMEOUT_SECONDS": "1", "NITRO_CLIENT_MAX_BYTES": str(64 << 20)}
    with (
        Server("tests.apps.streams:app", environment=environment) as server,
        Stream(server.port, "/events", receive_buffer=4096) as stuck,
        Stream(server.port, "/events") as other,
    ):
        stuck.read_until(b"id: ")
        other.read_until(b"id: ")
        for n in range(8):
            server.post(f"/emit?count=1&start={n}&pad=1000000")
        assert [event["n"] for event in other.events(8)] == list(range(8))
        began = time.monotonic()
        while server.get("/left").json()["clients"] != 1:
            assert time.monotonic() - began < 5
            time.sleep(0.05)
        assert server.get("/statistics").json()["ended"] == {"stuck": 1}
        server.post("/emit?count=1&start=8")
        assert other.events(9)[-1]["n"] == 8
        stuck.reset()


@pytest.mark.alone
def test_a_socket_that_stops_and_goes_on_within_the_send_timeout_misses_nothing() -> None:
    environment = {"NITRO_SEND_TIMEOUT_SECONDS": "3", "NITRO_CLIENT_MAX_BYTES": str(64 << 20)}
    with (
        Server("tests.apps.streams:app", environment=environment) as server,
        Stream(server.port, "/events", receive_buffer=4096) as slow,
    ):
        slow.read_until(b"id: ")
        for n in range(8):
            server.post(f"/emit?count=1&start={n}&pad=1000000")
        time.sleep(1.2)  # shorter than the timeout, and longer than the time between two looks
        assert [event["n"] for event in slow.events(8)] == list(range(8))
        assert server.get("/statistics").json()["ended"] == {}


@pytest.mark.usefixtures("hub")
def test_one_message_above_the_limit_is_no_gap_and_much_sent_at_once_ends_nobody_that_keeps_up() -> None:
    async def scenario() -> None:
        with Client(topics=["a", "done"], max_bytes=1_000, overflow="drop_oldest") as client:
            found = await fall_behind(client, ["x" * 5_000])
            assert [type(message) for message in found] == [Message]
            assert nitro.statistics().gaps == {}
        with Client(topics=["a"], max_bytes=1_000) as client:
            messages = client.messages()
            reading = asyncio.ensure_future(anext(messages))
            await asyncio.sleep(0)
            for n in range(4):
                client.send(f"{n}" * 600)
            assert client.is_connected
            assert isinstance(await reading, Message)
            for _ in range(3):
                await anext(messages)

    asyncio.run(scenario())


@pytest.mark.parametrize("overflow", ["disconnect", "drop_oldest", "latest"])
def test_a_replay_that_pauses_goes_on_with_what_comes_meanwhile(
    overflow: Overflow, hub_with: Callable[..., Hub]
) -> None:
    hub_with(max_replay_messages_per_second=500)
    missed, later = 5_400, 500  # a burst is ten times the pace

    async def scenario() -> None:
        position = nitro.position()
        for number in range(missed):
            emit("a", result=number)
        topics = ["a", "presence.hall"]
        with Client(
            topics=topics, user_id="ann", last_event_id=position, max_messages=100, overflow=overflow
        ) as client:
            found: list[Message | Gap] = []

            async def read() -> None:
                async for message in client.messages():
                    found.append(message)
                    if isinstance(message, Message) and message.data == missed + later - 1:
                        return

            reading = asyncio.create_task(read())
            async with asyncio.timeout(10):
                while len(found) < 4_900:
                    await asyncio.sleep(0)
            emit("a", result="before it")
            client.send("to it alone")
            for number in range(missed, missed + later):
                emit("a", result=number)
                await asyncio.sleep(0)
                if number == missed + 300:
                    client.send("and another")
            await asyncio.wait_for(reading, 20)
            heard = [m.data for m in found if isinstance(m, Message) and not m.topic.startswith("presence.")]
            meanwhile = list(range(missed, missed + later))
            first = [*range(missed), "before it", "to it alone"]
            assert heard == [*first, *meanwhile[:301], "and another", *meanwhile[301:]]
            seen = nitro.statistics()
            assert (seen.dropped, seen.ended) == ({}, {})

    asyncio.run(scenario())
