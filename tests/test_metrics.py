"""Metrics: what a scrape of a real server says, against what was done to it."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import nitro
from nitro import Client, emit
from nitro.delivery import process
from nitro.delivery.hub import Hub
from nitro.metrics.families import FAMILIES
from tests.metrics import Scrape, scrape
from tests.servers import Server, wait_for
from tests.sse import Stream

BOTH_WAYS = True

NAMES = {
    "nitro_clients",
    "nitro_users",
    "nitro_connects",
    "nitro_disconnects",
    "nitro_connection_seconds",
    "nitro_establish_seconds",
    "nitro_messages_published",
    "nitro_messages_delivered",
    "nitro_bytes_sent",
    "nitro_resumes",
    "nitro_gaps",
    "nitro_dropped",
    "nitro_refused",
    "nitro_delivery_lag_seconds",
    "nitro_outgoing_bytes",
    "nitro_log_messages",
    "nitro_broker_up",
    "nitro_broker_lag_messages",
    "nitro_loop_lag_seconds",
}


def test_clients_that_come_hear_and_go_are_counted_each_once() -> None:
    with Server("tests.apps.metrics:app") as server:
        before = scrape(server)
        assert before.families.keys() == NAMES
        assert before("clients") == before("connects_total") == before("messages_delivered_total") == 0
        assert before("disconnects_total", "closed") == 0
        with Stream(server.port, "/events?user=ann") as first, Stream(server.port, "/events?user=ann") as second:
            with Stream(server.port, "/events?user=bob") as third, Stream(server.port, "/events") as fourth:
                streams = [first, second, third, fourth]
                for stream in streams:
                    stream.read_until(b"\n\n")
                for _ in range(3):
                    server.post("/emit?count=2&chars=8")
                for stream in streams:
                    stream.events(6)
                seen = scrape(server)
                assert (seen("clients"), seen("users"), seen("connects_total")) == (4, 2, 4)
                assert seen("disconnects_total", "closed") == seen("connection_seconds_count") == 0
                assert (seen("messages_published_total"), seen("messages_delivered_total")) == (6, 24)
                assert seen("bytes_sent_total") == 24 * len('"xxxxxxxx"')
                assert seen("establish_seconds_count") == 4
                assert 0 < seen("establish_seconds_sum") < 5
                assert 1 <= seen("delivery_lag_seconds_count") <= 3
                assert 0 < seen("delivery_lag_seconds_sum") < 5
                assert seen("delivery_lag_seconds_bucket", "+Inf") == seen("delivery_lag_seconds_count")
                assert seen("log_messages") == 6
                assert (seen("broker_up"), seen("broker_lag_messages"), seen("outgoing_bytes")) == (1, 0, 0)
            wait_for(lambda: scrape(server)("clients") == 2)
            seen = scrape(server)
            assert (seen("users"), seen("connects_total"), seen("disconnects_total", "closed")) == (1, 4, 2)
            assert seen("connection_seconds_count") == 2
            server.post("/shutdown")
            first.read_to_end()
            second.read_to_end()
            wait_for(lambda: scrape(server)("clients") == 0)
            seen = scrape(server)
            assert (seen("disconnects_total", "closed"), seen("disconnects_total", "shutdown")) == (2, 2)


def test_resumes_gaps_and_refusals_are_counted_by_what_became_of_them() -> None:
    with Server("tests.apps.metrics:app", environment={"NITRO_MAX_CLIENTS_PER_USER": "1"}) as server:
        with Stream(server.port, "/events") as stream:
            stream.read_until(b"id: ")
            stream.read_until(b"\n\n")
            (id,) = {line for line in stream.body.decode().splitlines() if line.startswith("id: ")}
        server.post("/emit?count=3&chars=1")
        with Stream(server.port, "/events", f"Last-Event-ID: {id[4:]}\r\n") as stream:
            stream.events(3)
        for unknown in ("abc", "xyz"):
            with Stream(server.port, "/events", f"Last-Event-ID: {unknown}\r\n") as stream:
                stream.read_until(b"event: gap")
        with Stream(server.port, "/events?user=ann") as stream:
            stream.read_until(b"\n\n")
            assert server.get("/events?user=ann").status_code == 429
        seen = scrape(server)
        assert (seen("resumes_total", "replayed"), seen("resumes_total", "gap")) == (1, 2)
        assert seen("gaps_total", "invalid") == 2
        assert seen("gaps_total", "expired") == seen("gaps_total", "overflow") == 0
        assert (seen("refused_total", "user"), seen("refused_total", "clients")) == (1, 0)
        assert seen("connects_total") == 5


def test_what_is_dropped_for_a_slow_reader_is_what_it_does_not_get() -> None:
    with Server("tests.apps.metrics:app") as server, Stream(server.port, "/newest", receive_buffer=4096) as slow:
        slow.read_until(b"\n\n")
        for _ in range(400):
            server.post("/emit?count=1&chars=50000")
        wait_for(lambda: scrape(server)("dropped_total", "drop_oldest") > 0)
        server.post("/emit?count=1&chars=3")
        slow.read_until(b'"xxx"', seconds=30)
        seen = scrape(server)
        got = sum(isinstance(data, str) for data in slow.data())
        assert seen("dropped_total", "drop_oldest") == 401 - got > 0
        assert seen("dropped_total", "latest") == 0
        assert seen("gaps_total", "overflow") == slow.body.count(b"event: gap") >= 1


def test_a_client_that_is_ended_for_being_slow_is_counted_with_its_reason() -> None:
    with Server("tests.apps.metrics:app", environment={"NITRO_CLIENT_MAX_MESSAGES": "20"}) as server:
        with Stream(server.port, "/events", receive_buffer=4096) as slow:
            slow.read_until(b"\n\n")
            for _ in range(400):
                server.post("/emit?count=1&chars=50000")
            wait_for(lambda: scrape(server)("disconnects_total", "slow") == 1)
        assert scrape(server)("disconnects_total", "closed") == 0


def test_a_loop_that_is_occupied_shows_by_how_much() -> None:
    with Server("tests.apps.metrics:app") as server, Stream(server.port, "/events") as stream:
        stream.read_until(b"\n\n")
        time.sleep(1.1)  # a timer has been called
        assert scrape(server)("loop_lag_seconds") < 1
        server.post("/block?seconds=2.5")
        wait_for(lambda: 1.4 < scrape(server)("loop_lag_seconds") < 3)


@pytest.mark.usefixtures("hub")
def test_the_collector_is_part_of_an_applications_own_registry() -> None:
    registry = CollectorRegistry(auto_describe=True)
    registry.register(nitro.metrics.NitroCollector())
    with pytest.raises(ValueError, match="Duplicated"):
        registry.register(nitro.metrics.NitroCollector())
    text = generate_latest(registry).decode()
    assert {family.name for family in text_string_to_metric_families(text)} == NAMES
    assert Scrape(text)("broker_up") == 1


def test_to_register_the_collector_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_hub", None)
    CollectorRegistry(auto_describe=True).register(nitro.metrics.NitroCollector())
    assert process._hub is None


def test_no_label_can_have_a_value_that_is_not_listed() -> None:
    assert {family.name for family in FAMILIES} == NAMES
    assert {family.label for family in FAMILIES} == {"", "reason", "result", "policy", "limit"}
    assert all(family.labels for family in FAMILIES if family.label)


@pytest.mark.usefixtures("hub")
def test_of_ticks_one_in_sixteen_has_one_sample_of_the_delivery_lag_however_much_is_emitted_in_it() -> None:
    async def scenario() -> None:
        with Client(topics=["a"]) as first, Client(topics=["a"]) as second:
            readings = [asyncio.create_task(anext(client.stream())) for client in (first, second)]
            await asyncio.sleep(0)
            for n in range(100):
                emit("a", result=n)
            assert await asyncio.gather(*readings) == [0, 0]
            assert nitro.statistics().delivery_lag_seconds.count == 1
            for n in range(1600):
                emit("a", result=n)
                await asyncio.sleep(0)
            assert 90 < nitro.statistics().delivery_lag_seconds.count < 110

    asyncio.run(scenario())


@pytest.mark.usefixtures("hub")
def test_a_tick_is_measured_each_second_where_they_are_few() -> None:
    async def scenario() -> None:
        with Client(topics=["a"]) as client:
            stream = client.stream()
            for n in range(3):
                emit("a", result=n)
                assert await anext(stream) == n
                assert nitro.statistics().delivery_lag_seconds.count == n + 1
                await asyncio.sleep(1.1)

    asyncio.run(scenario())


@pytest.mark.timed
@pytest.mark.usefixtures("hub")
def test_the_delivery_lag_is_how_long_the_loop_did_not_come_to_it() -> None:
    async def scenario() -> None:
        with Client(topics=["a"]) as client:
            reading = asyncio.create_task(anext(client.stream()))
            await asyncio.sleep(0)
            before = nitro.statistics().delivery_lag_seconds
            emit("a", result=1)
            until = time.perf_counter() + 0.3
            while time.perf_counter() < until:
                pass
            assert await reading == 1
            lag = nitro.statistics().delivery_lag_seconds
            assert 0.3 <= lag.sum_seconds - before.sum_seconds < 1

    asyncio.run(scenario())


def test_the_lag_behind_the_brokers_log_is_what_was_not_read_of_it(
    hub_with: Callable[..., Hub], tmp_path: Path
) -> None:
    hub = hub_with(broker_url=f"sqlite:///{tmp_path}/events.db", max_pending_bytes=100_000)
    nitro.connect_broker()
    is_stuck, may_go_on = threading.Event(), threading.Event()

    async def hold() -> None:
        with Client(topics=["a"]) as client:
            is_stuck.set()
            may_go_on.wait(30)
            async for data in client.stream():
                if data == "last":
                    return

    holder = threading.Thread(target=asyncio.run, args=[hold()])
    holder.start()
    try:
        assert is_stuck.wait(10)
        emit("a", result="x" * 60_000)  # more than half of what may wait for the loop, so reading pauses
        wait_for(lambda: hub.is_behind)
        for _ in range(7):
            emit("a", result="x")
        emit("a", result="last")
        wait_for(lambda: nitro.statistics().publish_queue_messages == 0)
        assert nitro.statistics().broker_lag_messages == 8
    finally:
        may_go_on.set()
        holder.join(20)
    wait_for(lambda: nitro.statistics().broker_lag_messages == 0)


def test_clients_of_a_loop_that_was_closed_are_gone_too(hub: Hub) -> None:
    async def connect() -> Client:
        return Client(topics=["a"]).connect()

    client = asyncio.run(connect())
    emit("a", result=1)
    seen = nitro.statistics()
    assert not client.is_connected
    assert (seen.clients, seen.connects, seen.disconnects) == (0, 1, {"shutdown": 1})
    assert seen.connection_seconds.count == 1


def test_without_prometheus_client_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("nitro.metrics")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ImportError, match=r"pip install 'nitro-realtime\[metrics\]'"):
        import nitro.metrics  # noqa: F401
