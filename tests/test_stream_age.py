"""`NITRO_MAX_STREAM_SECONDS`: streams end at an age, their browsers come back, and their rights are read again."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import nitro
from nitro import Client, emit
from nitro.delivery.hub import Hub
from nitro.errors import ConfigurationError
from nitro.settings import get_settings
from tests.servers import Server
from tests.specification.hearing import run
from tests.sse import Stream
from tests.wire import Wire

BOTH_WAYS = True

AGE_SECONDS = 0.6


def ids_and_data(stream: Stream) -> list[tuple[str, str]]:
    events = [dict(line.split(": ", 1) for line in event.split("\n")) for event in whole_events(stream)]
    assert not [event for event in events if "event" in event], "a gap"
    return [(event["id"], event["data"]) for event in events]


def whole_events(stream: Stream) -> list[str]:
    return [event for event in stream.body.decode().split("\n\n")[:-1] if "data: " in event]


@pytest.mark.timed
def test_the_ends_of_old_streams_lose_nothing_and_each_asks_for_its_rights_anew() -> None:
    settings = {"NITRO_MAX_STREAM_SECONDS": str(AGE_SECONDS), "NITRO_RETRY_MILLISECONDS": "50"}
    with Server("tests.apps.users:app", environment=settings) as server:
        is_over = threading.Event()
        emitted: list[int] = []

        def emit_on() -> None:
            with httpx.Client(trust_env=False, verify=False) as client:
                while not is_over.is_set():
                    client.post(f"{server.url}/emit", json=[["todo.a", len(emitted)]]).raise_for_status()
                    emitted.append(len(emitted))

        heard: list[str] = []
        last, ends = server.post("/emit", json=[]).json()["position"], 5
        emitter = threading.Thread(target=emit_on)
        emitter.start()
        try:
            for _ in range(ends):
                began = time.monotonic()
                with Stream(server.port, "/mine", f"Cookie: user=ada\r\nLast-Event-ID: {last}\r\n") as stream:
                    stream.read_to_end()
                assert 0.85 * AGE_SECONDS < time.monotonic() - began < AGE_SECONDS + 2
                assert b"retry: " in stream.body.rpartition(b"\n\n")[2], "it says when to come back"
                assert b"id: stop" not in stream.body
                last = ids_and_data(stream)[-1][0]
                heard += [data for _, data in ids_and_data(stream)]
        finally:
            is_over.set()
            emitter.join()
        with Stream(server.port, "/mine", f"Cookie: user=ada\r\nLast-Event-ID: {last}\r\n") as stream:
            missing = len(emitted) - len(heard)
            stream.events(missing)
            heard += [data for _, data in ids_and_data(stream)]
        assert heard == [str(n) for n in emitted]
        state = server.get("/state").json()
        assert [asked["user"] for asked in state["asked"]] == ["ada"] * (ends + 1)
        assert state["ended"] == {"age": ends}
        with Stream(server.port, "/mine", "Cookie: user=ada\r\n") as stream:
            stream.read_until(b"id: ")
            server.post("/set", json={"stale": ["ada"]})
            stream.read_to_end()
        answer = httpx.get(f"{server.url}/mine", cookies={"user": "ada"}, trust_env=False, verify=False)
        assert answer.status_code == 401, "what was withdrawn meanwhile, with nobody telling Nitro"
    assert "Traceback" not in server.output, server.output


def ages_of(streams: list[Client]) -> list[float]:
    """How old each response was when it ended by itself."""
    ages: list[float] = []

    async def scenario() -> None:
        async def one(client: Client) -> None:
            began = time.monotonic()
            await Wire().answer(client)
            ages.append(time.monotonic() - began)

        async with asyncio.timeout(20):
            await asyncio.gather(*map(one, streams))

    run(scenario)
    return ages


@pytest.mark.timed
def test_streams_that_began_at_once_end_one_after_the_other(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_stream_seconds=2)
    ages = ages_of([Client(topics=["t"]) for _ in range(30)])
    assert nitro.statistics().ended == {"age": 30}
    assert min(ages) > 1.75
    assert max(ages) < 3
    assert max(ages) - min(ages) > 0.1, "of the 0.2 s over which they are spread"


@pytest.mark.timed
def test_rights_that_end_sooner_end_the_stream_as_ever(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_stream_seconds=1.5)
    now = time.time()
    sooner, later, never = (Client(topics=["t"], expires_at=at) for at in (now + 0.5, now + 60, None))
    ages = ages_of([sooner, later, never])
    assert nitro.statistics().ended == {"expired": 1, "age": 2}
    assert 0.4 < min(ages) < 1.3
    assert sorted(ages)[1] > 1.3


def test_one_that_leaves_before_takes_its_timer_along(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_stream_seconds=0.2)

    async def scenario() -> None:
        wire = Wire()
        task = wire.answer(Client(topics=["t"]))
        await wire.until(b"id: ")
        wire.gone.set()
        await task
        await asyncio.sleep(0.3)
        assert nitro.statistics().ended == {}

    run(scenario)


def test_a_stream_of_the_applications_own_goes_on(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_stream_seconds=0.05)

    async def scenario() -> None:
        with Client(topics=["t"]) as client:
            stream = client.stream()
            for n in range(3):
                emit("t", result=n)
                assert await anext(stream) == n
                await asyncio.sleep(0.1)
            assert client.is_connected

    run(scenario)


@pytest.mark.parametrize("unset", ["none", ""])
def test_an_age_that_is_none_is_no_age(unset: str, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NITRO_MAX_STREAM_SECONDS", unset)
    get_settings.cache_clear()
    assert get_settings().max_stream_seconds is None
    monkeypatch.delenv("NITRO_MAX_STREAM_SECONDS")
    get_settings.cache_clear()


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "soon"])
def test_an_age_is_a_number_of_seconds_above_zero(wrong: Any, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NITRO_MAX_STREAM_SECONDS", wrong)
    get_settings.cache_clear()
    with pytest.raises(ConfigurationError, match="NITRO_MAX_STREAM_SECONDS"):
        get_settings()
    monkeypatch.delenv("NITRO_MAX_STREAM_SECONDS")
    get_settings.cache_clear()
