"""Faults 1 to 10 and 27: brokers that are killed, frozen, unreachable, slow or full, judged by the oracle.

Three ends of one log, as three processes have them; two of them emit all the time. Whatever happens to the broker in
between, everything that was emitted arrives at every end once and in order, or a gap is announced.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path

import pytest

from nitro.brokers import codec, tasks
from nitro.brokers.base import NOWHERE, BrokerState, Entry, Extent, Log
from nitro.brokers.follower import Follower
from nitro.brokers.history import History
from nitro.errors import BrokerRefused, BrokerUnavailable
from nitro.testing.conformance import RETENTION, End, Heard, eventually
from tests.brokers import BROKERS, SERVERS, Broker
from tests.cast import Cast, cast_on, ends_on, wait_until_open
from tests.services import NarrowLine, NatsServer, Proxy, RedisServer


async def lags(seconds: float) -> list[float]:
    """How late a loop beside all this wakes, in seconds, the latest last."""
    until = time.monotonic() + seconds
    lags = []
    while (began := time.monotonic()) < until:
        await asyncio.sleep(0.01)
        lags.append(time.monotonic() - began - 0.01)
    return sorted(lags)


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    with BROKERS[request.param](tmp_path) as broker:
        yield broker


def test_1_a_durable_broker_is_killed_and_started_again(server: Broker) -> None:
    with cast_on(server) as cast:
        for _ in range(3):
            server.kill()
            cast.wait_until_gone(0.3)
            server.start()
            cast.wait_until_heard()
        verdict = cast.finish()
        assert verdict.is_clean, verdict
        assert cast.gaps() == [[], [], []]


@pytest.mark.parametrize("kind", ["redis", "nats"])
def test_2_a_broker_that_forgets_is_killed_and_everybody_is_told(tmp_path: Path, kind: str) -> None:
    with BROKERS[kind](tmp_path, is_durable=False) as broker, cast_on(broker) as cast:
        before = {end.broker.head.epoch for end in cast.ends}
        broker.kill()
        cast.wait_until_gone(0.3)
        broker.start()
        cast.wait_until_heard()
        verdict = cast.finish()
        assert verdict.is_clean, verdict
        assert cast.gaps() == [["epoch"], ["epoch"], ["epoch"]]
        after = {end.broker.head.epoch for end in cast.ends}
        assert len(after) == 1
        assert after != before


@pytest.mark.timed
def test_3_a_frozen_broker_holds_nobody_up(server: Broker) -> None:
    with cast_on(server) as cast:
        server.freeze()
        emitted = len(cast.sent)
        late = asyncio.run(lags(8))
        server.thaw()
        assert len(cast.sent) > emitted + 1_000, "emitting went on"
        assert late[len(late) * 98 // 100] < 0.05
        assert late[-1] < 1, "who waits for a broker waits for its timeout, two seconds and more"
        verdict = cast.finish()
        assert verdict.is_clean, verdict
        assert cast.gaps() == [[], [], []]


def test_4_a_line_that_is_dead_without_a_reset_is_noticed(server: Broker) -> None:
    with Proxy(server.port) as proxy, cast_on(server, server.url_through(proxy.port)) as cast:
        proxy.stall()
        cast.wait_until_gone()
        proxy.go_on()
        verdict = cast.finish()
        assert verdict.is_clean, verdict
        assert cast.gaps() == [[], [], []]


def test_5_a_slow_line_that_chops_everything_corrupts_nothing(server: Broker) -> None:
    with Proxy(server.port) as proxy, cast_on(server, server.url_through(proxy.port)) as cast:
        proxy.delay, proxy.is_chopping = 0.02, True
        counts = [len(end.heard.messages) for end in cast.ends]
        for end, count in zip(cast.ends, counts, strict=True):
            eventually(lambda end=end, n=count + 50: len(end.heard.messages) > n, "it hears pieces")  # type: ignore[misc]
        proxy.delay, proxy.is_chopping = 0.0, False
        verdict = cast.finish()
        assert verdict.is_clean, verdict


def test_a_line_that_never_carries_a_whole_page_in_time_carries_the_log(
    server: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15 MB in 30 entries, at 6 MB a second where a second is all that an answer may take."""
    namespace = server.namespace()
    bodies = [b'"%d %s"' % (n, b"x" * 500_000) for n in range(30)]
    with NarrowLine(server.port) as line, ends_on(server.url, 1, namespace) as (writer,):
        with ends_on(server.url_through(line.port), 1, namespace) as (reader,):
            wait_until_open(writer, reader)
            monkeypatch.setattr(tasks, "ANSWER_SECONDS", 1.0)
            line.bytes_per_second = 6_000_000
            for body in bodies:
                writer.publish(body)
            eventually(lambda: reader.heard.payloads == bodies, "all of them are heard", 60)
            assert len(reader.heard.gaps) == 1, "the one it began with"
        with ends_on(server.url_through(line.port), 1, namespace) as (late,):
            eventually(lambda: late.broker.is_open, "the whole log is read", 60)
            assert late.broker.retained.messages == len(bodies)


def test_a_line_that_never_carries_a_whole_batch_in_time_carries_what_is_published(
    server: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """400 KB in 10 events, at 200 KB a second where a second is all that an answer may take."""
    namespace, bodies = server.namespace(), [b'"%d %s"' % (n, b"x" * 40_000) for n in range(10)]
    with (
        NarrowLine(server.port) as line,
        ends_on(server.url, 1, namespace) as (reader,),
        ends_on(server.url_through(line.port), 1, namespace) as (writer,),
    ):
        wait_until_open(reader, writer)
        monkeypatch.setattr(tasks, "ANSWER_SECONDS", 1.0)
        line.bytes_per_second = 200_000
        for body in bodies:
            writer.publish(body)
        eventually(lambda: not writer.broker.state.unacknowledged, "all of them are in the log", 60)
        for end in (reader, writer):
            eventually(lambda end=end: len(end.heard.payloads) >= len(bodies), "all of them are heard", 60)  # type: ignore[misc]
        writer.publish(b'"last"')
        for end in (reader, writer):
            eventually(lambda end=end: end.heard.payloads[-1] == b'"last"', "and what comes behind them", 60)  # type: ignore[misc]
            assert end.heard.payloads == [*bodies, b'"last"'], "each once"
            assert len(end.heard.gaps) == 1, "the one it began with"


@pytest.mark.timed
def test_an_entry_of_nats_that_takes_seconds_on_the_line_is_heard(tmp_path: Path) -> None:
    """It sends on by itself, and its answers come behind what it has sent."""
    namespace, bodies = Broker.namespace(), [b'"%d %s"' % (n, b"x" * 700_000) for n in range(4)]
    with (
        BROKERS["nats"](tmp_path) as server,
        NarrowLine(server.port) as line,
        ends_on(server.url, 1, namespace) as (writer,),
        ends_on(server.url_through(line.port), 1, namespace) as (reader,),
    ):
        wait_until_open(writer, reader)
        line.bytes_per_second = 400_000
        for body in bodies:
            writer.publish(body)
        eventually(lambda: reader.heard.payloads == bodies, "all of them are heard", 60)


def test_a_history_that_is_half_filled_goes_on_or_begins_anew_with_the_log() -> None:
    retention = RETENTION._replace(max_messages=10)
    follower = Follower(History(NOWHERE, retention), threading.RLock(), 1 << 20)
    follower.start(Heard())

    def entry(sequence: int) -> Entry:
        return Entry(sequence, codec.encode("a.b", None, b"%d" % sequence, None), 0.0)

    follower.go_on_in(Extent("e", 1, 30, None), 10)
    assert follower.sequence == 19
    follower.take([entry(20)])
    follower.go_on_in(Extent("e", 5, 30, None), 10)
    assert follower.sequence == 20, "what was read stays read"
    follower.go_on_in(Extent("e", 5, 900, None), 10)
    assert follower.sequence == 889, "nothing is read that the history has no room for"
    assert not follower.has_lost([entry(889)]), "it has read nothing there"
    follower.take([entry(890)])
    assert follower.has_lost([entry(890)._replace(body=entry(7).body)])


def test_a_redis_whose_newest_entry_was_deleted_goes_on_after_a_restart(tmp_path: Path) -> None:
    """No reader reaches its head: a gap, and no outage."""
    with BROKERS["redis"](tmp_path) as redis:
        assert isinstance(redis.server, RedisServer)
        namespace = redis.namespace()
        with ends_on(redis.url, 1, namespace) as (end,):
            wait_until_open(end)
            for n in range(5):
                end.publish(b"%d" % n)
            end.flush()
            eventually(lambda: len(end.heard.messages) == 5, "all are heard")
            before = end.broker.head.epoch
            stream = f"{{nitro:{namespace}}}:{before}"
            assert redis.server.run("XDEL", stream, "5-0").startswith(b":1")
            redis.kill()
            redis.start()
            end.publish(b'"more"')
            eventually(lambda: end.heard.payloads[-1] == b'"more"', "it goes on")
            assert [reason for reason, _ in end.heard.gaps[1:]] == ["epoch"]
            with ends_on(redis.url, 1, namespace) as (late,):
                wait_until_open(late)
                assert late.broker.head.epoch == end.broker.head.epoch != before


def test_6_connections_that_the_broker_ends_lose_nothing(server: Broker) -> None:
    with cast_on(server) as cast:
        for _ in range(5):
            server.cut()
            cast.wait_until_heard()
        verdict = cast.finish()
        assert verdict.is_clean, verdict
        assert cast.gaps() == [[], [], []]


def test_idle_connections_that_redis_has_closed_are_replaced_by_the_next_verb(tmp_path: Path) -> None:
    async def verbs(broker: Broker, log: Log) -> None:
        await log.open()
        try:
            assert await log.append("one", 1, [b"1"]) == 1
            await asyncio.to_thread(broker.cut)
            assert await log.append("one", 2, [b"2"]) == 2
            await asyncio.to_thread(broker.cut)
            assert [entry.body for entry in await log.read(0, 10, 0)] == [b"1", b"2"]
            await asyncio.to_thread(broker.cut)
            assert await log.newest() == 2
        finally:
            await log.close()

    with BROKERS["redis"](tmp_path) as broker:
        asyncio.run(verbs(broker, broker.log(broker.namespace())))


def test_7_a_log_that_is_deleted_under_everybody_is_announced(server: Broker) -> None:
    with cast_on(server) as cast:
        server.wipe(cast.namespace)
        eventually(lambda: all(cast.gaps()), "everybody is told")
        cast.wait_until_heard()
        verdict = cast.finish()
        assert verdict.is_clean, verdict
        assert all(gaps == ["epoch"] for gaps in cast.gaps()), cast.gaps()


def test_10_a_broker_that_is_absent_at_the_start_is_used_when_it_comes(
    server: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    server.kill()
    cast = Cast(server)
    try:
        cast.start()
        eventually(lambda: "can't be used" in caplog.text, "the log says so")
        cast.wait_until_gone(1)
        assert not any(end.broker.is_open for end in cast.ends)
        server.start()
        wait_until_open(*cast.ends)
        verdict = cast.finish()
        assert verdict.is_clean, verdict
        assert f":{server.port}" in caplog.text
        assert "is there again" in caplog.text
    finally:
        cast.close()


@contextlib.contextmanager
def small_disk(directory: Path, megabytes: int = 4) -> Iterator[Path]:
    """A file system of so many MiB."""
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode:
        pytest.skip("NO SMALL DISK: mounting a tmpfs needs root")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def test_27_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(small_disk(tmp_path / "disk"))
        ballast = directory / "ballast"
        ballast.write_bytes(bytes(2 << 20))
        broker = stack.enter_context(BROKERS["sqlite"](directory))
        namespace = broker.namespace()
        one, other = (End(broker.log(namespace), max_publish_queue_bytes=100_000) for _ in range(2))
        for end in (one, other):
            stack.callback(end.broker.close, 0.1)
            wait_until_open(end)
        taken = 0
        with pytest.raises(BrokerUnavailable, match=r"has been unavailable for .* full"):
            while True:
                one.publish(b'"%05d%s"' % (taken, b"x" * 8_000))
                taken += 1
                eventually(
                    lambda: one.broker.state.unacknowledged == 0 or one.broker.state.gone_seconds > 0, "it is written"
                )
        waiting = one.broker.state.unacknowledged
        assert 0 < waiting < 20
        assert taken > 30
        eventually(lambda: len(other.heard.messages) == taken - waiting, "what was acknowledged is heard")
        ballast.unlink()
        one.flush()
        for end in (one, other):
            eventually(lambda end=end: len(end.heard.messages) == taken, "all that was taken is heard")  # type: ignore[misc]
            assert [int(payload[1:6]) for payload in end.heard.payloads] == list(range(taken))
            assert end.heard.gaps[1:] == []


def test_a_full_queue_says_for_how_long_the_broker_has_been_gone(server: Broker) -> None:
    with contextlib.ExitStack() as stack:
        end = End(server.log(server.namespace()), max_publish_queue_bytes=20_000)
        stack.callback(end.broker.close, 0.1)
        wait_until_open(end)
        server.kill()
        eventually(lambda: end.broker.state.gone_seconds > 0.2, "it is noticed")
        with pytest.raises(BrokerUnavailable, match=r"been unavailable for \d+\.\d s .*NITRO_MAX_PUBLISH_QUEUE_BYTES"):
            for n in range(1_000):
                end.publish(b'"%d"' % n)
        waiting = end.broker.state.unacknowledged
        assert 0 < waiting < 100
        server.start()
        end.flush()
        eventually(lambda: len(end.heard.messages) == waiting, "what was taken is published, and nothing else")
        end.publish(b'"after"')
        end.flush()


def test_27_a_nats_server_whose_disk_was_full_is_told_of_and_used_when_it_takes_something_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(small_disk(tmp_path / "disk", 24))
        server = NatsServer(directory / "nats")
        server.limits = "max_file_store: 1GB"
        stack.enter_context(server)
        one, other = stack.enter_context(ends_on(server.url, 2, "app"))
        wait_until_open(one, other)
        one.publish(b'"before"')
        one.flush()
        with (directory / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(65_536))
        taken = 0
        while one.broker.state.unacknowledged == 0:  # what is left of the last page of its file still takes some
            one.publish(b'"%05d%s"' % (taken, b"x" * 2_000))
            taken += 1
            wait([waiting for waiting in [one.broker.acknowledgement()] if waiting is not None], 1)

        def state() -> BrokerState:
            return one.broker.state

        eventually(lambda: state().why_refused or "no space left" in state().why_gone, "it is noticed", 20)
        is_stuck = bool(state().why_refused)  # 2.12 is not, and goes on when there is room again
        one.publish(b'"meanwhile"')
        if is_stuck:
            with pytest.raises(BrokerRefused, match=r"acknowledges nothing: its disk is full.*restart nats-server"):
                one.flush()
            assert [record.levelname for record in caplog.records].count("ERROR") == 1
        caplog.clear()
        (directory / "ballast").unlink()
        if is_stuck:
            server.end()
            server.start()
        eventually(lambda: other.heard.payloads[-1:] == [b'"meanwhile"'], "what waited is sent", 20)
        numbers = [b'"%05d%s"' % (n, b"x" * 2_000) for n in range(taken)]
        assert other.heard.payloads == [b'"before"', *numbers, b'"meanwhile"']
        assert other.heard.gaps[1:] == []
        eventually(lambda: state().gone_seconds == 0, "it is used")
        assert state().why_refused == ""
        assert "is there again" in caplog.text
