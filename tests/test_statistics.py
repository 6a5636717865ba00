"""statistics(): every count against what was done, over several loops and after they are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import nitro
from nitro import Client, emit
from nitro.delivery.hub import Hub


def test_a_process_that_did_nothing_yet(hub: Hub) -> None:
    seen = nitro.statistics()
    assert (seen.clients, seen.feeds, seen.loops, seen.messages_in, seen.messages_out, seen.replays) == (0,) * 6
    assert (seen.gaps, seen.ended, seen.retained_messages, seen.retained_seconds) == ({}, {}, 0, 0.0)
    assert seen.head == nitro.position()


@pytest.mark.usefixtures("hub")
def test_what_goes_in_and_out_is_counted_and_stays_when_a_loop_is_gone() -> None:
    async def scenario(rounds: int) -> None:
        position = nitro.position()
        first, second = Client(topics=["a"]).connect(), Client(topics=["a", "b"]).connect()
        emit("a", result="12")
        emit("b", result="1234")
        emit("nobody", result="")
        with pytest.warns(nitro.errors.NitroWarning):
            emit("a")
        seen = nitro.statistics()
        assert (seen.clients, seen.feeds, seen.loops) == (2, 2, 1)
        assert await anext(first.stream()) == "12"
        stream = second.stream()
        assert [await anext(stream), await anext(stream)] == ["12", "1234"]
        with Client(topics=["b"], last_event_id=position) as third:
            assert await anext(third.stream()) == "1234"
        with Client(topics=["b"], last_event_id="abc") as fourth:
            assert isinstance(await anext(fourth.messages()), nitro.Gap)
        first.disconnect()
        second.disconnect()
        seen = nitro.statistics()
        assert (seen.messages_in, seen.bytes_in) == (3 * rounds, 12 * rounds)
        assert (seen.retained_messages, seen.retained_bytes) == (3 * rounds, 12 * rounds)
        assert seen.retained_seconds >= 0
        assert (seen.replays, seen.gaps) == (2 * rounds, {"invalid": rounds})

    for n in (1, 2):
        asyncio.run(scenario(n))
        seen = nitro.statistics()
        assert (seen.clients, seen.feeds, seen.loops) == (0, 0, 0)
        assert (seen.messages_out, seen.bytes_out) == (4 * n + n, 20 * n)  # the news of a gap is one, too


def test_a_client_that_is_behind_shows_and_is_counted_when_it_is_ended(hub_with: Callable[..., Hub]) -> None:
    hub_with(client_max_messages=50)

    async def scenario() -> None:
        with Client(topics=["a"]) as quick, Client(topics=["a"]) as slow:
            reading = asyncio.create_task(_read(quick))
            assert await anext(_after(slow, lambda: emit("a", result="x"))) == "x"
            for n in range(40):
                emit("a", result=n)
                await asyncio.sleep(0)
            seen = nitro.statistics()
            assert 38 <= seen.slowest_messages <= 41
            assert seen.slowest_bytes > 0
            for n in range(20):
                emit("a", result=n)
                await asyncio.sleep(0)
            assert not slow.is_connected
            assert quick.is_connected
            assert nitro.statistics().ended == {"slow": 1}
            quick.disconnect()
            await reading

    asyncio.run(scenario())


async def _read(client: Client) -> None:
    async for _ in client.stream():
        pass


async def _after(client: Client, action: Callable[[], object]):  # type: ignore[no-untyped-def]
    action()
    async for data in client.stream():
        yield data
