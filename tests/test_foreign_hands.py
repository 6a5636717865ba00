"""What administrators, backups and fail-overs do to a log while it is in use, beyond what every log is asked for."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import signal
import threading
from pathlib import Path

import pytest
from redis.exceptions import BusyLoadingError, ConnectionError, ReadOnlyError

from nitro.brokers.base import Log
from nitro.testing.conformance import eventually
from tests.brokers import Broker, Redis, SQLite, extent_of
from tests.cast import Cast, cast_on, ends_on, wait_until_open
from tests.servers import Server
from tests.services import Proxy, RedisServer
from tests.sse import Stream


def check_everybody_was_told(cast: Cast) -> None:
    verdict = cast.finish()
    assert verdict.is_clean, verdict
    assert cast.gaps() == [["epoch"], ["epoch"], ["epoch"]]
    assert len({end.broker.head.epoch for end in cast.ends}) == 1


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_file_that_goes_while_processes_emit_is_left_by_all_of_them(tmp_path: Path, how: str) -> None:
    """Emitting never pauses, so nobody finds out in a quiet second."""
    with SQLite(tmp_path) as broker:
        path = tmp_path / "events.db"
        with ends_on(f"sqlite:///{tmp_path / 'other.db'}") as ends:
            wait_until_open(*ends)
        with cast_on(broker) as cast:
            for suffix in ("-wal", "-shm", ""):
                path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
            if how == "replaced":
                shutil.move(tmp_path / "other.db", path)
            old = cast.ends[0].broker.head.epoch
            for end in cast.ends:
                eventually(lambda end=end: end.broker.head.epoch != old, "it is in the new file")  # type: ignore[misc]
            check_everybody_was_told(cast)


@pytest.mark.parametrize(
    "hand",
    [
        "UPDATE nitro_logs SET sequence = 45",
        "UPDATE nitro_logs SET sequence = 0",
        "UPDATE nitro_logs SET sequence = -5",
        "UPDATE nitro_logs SET sequence = 1000",
        "UPDATE nitro_logs SET epoch = ''",
        "DELETE FROM nitro_logs",
        "DELETE FROM nitro_messages WHERE sequence > 45",
        "UPDATE nitro_messages SET sequence = -sequence",
    ],
)
def test_what_was_done_to_a_file_while_nobody_used_it_is_no_outage(tmp_path: Path, hand: str) -> None:
    with SQLite(tmp_path) as broker:
        with ends_on(broker.url, 1, "n") as (end,):
            wait_until_open(end)
            for n in range(50):
                end.publish(b"%d" % n)
            end.flush()
            before = end.broker.head.epoch
        with broker.connect() as connection:
            connection.execute(hand)
        with ends_on(broker.url, 2, "n") as (one, other):
            wait_until_open(one, other)
            for n in range(3):
                one.publish(b"%d" % n)
            one.flush()
            for end in (one, other):
                eventually(lambda end=end: end.heard.payloads == [b"0", b"1", b"2"], "all are heard")  # type: ignore[misc]
                assert end.broker.head.epoch != before


def epoch_of(log: Log) -> str:
    (extent,) = asyncio.run(extent_of(log))
    return extent.epoch


def test_a_redis_that_is_loading_is_waited_for_and_has_lost_nothing(tmp_path: Path) -> None:
    with Redis(tmp_path) as broker:
        namespace = broker.namespace()
        epoch = epoch_of(broker.log(namespace))
        fill = "for n = 1, 50000 do redis.call('SET', ARGV[1] .. n, string.rep('x', 50)) end"
        broker.server.run("CONFIG", "SET", "appendfsync", "no")
        for n in range(10):
            assert broker.server.run("EVAL", fill, "0", f"{n}:") == b"$-1\r\n"
        broker.kill()
        starting = threading.Thread(target=broker.start)
        starting.start()
        refusals = []

        def opened() -> bool:
            try:
                return epoch_of(broker.log(namespace)) == epoch
            except (BusyLoadingError, ConnectionError) as error:
                refusals.append(error)
                return False

        eventually(opened, "the same log is there")
        starting.join()
        asked = [str(error) for error in refusals if isinstance(error, BusyLoadingError)]
        assert asked, "it was asked while it was loading"
        assert all("data from disk" in error for error in asked), "and not believed what it said about itself then"
        assert epoch_of(broker.log(namespace)) == epoch


def test_a_replica_that_takes_over_behind_one_address_is_another_log(tmp_path: Path) -> None:
    """Both write to their disks before they answer; the replica lacks what came last, and gets as much that is new."""
    first, second = RedisServer(tmp_path / "first"), RedisServer(tmp_path / "second")
    with first, Proxy(first.port) as wire, second, Proxy(first.port) as address:
        second.run("REPLICAOF", "127.0.0.1", str(wire.port))
        eventually(lambda: b"master_link_status:up" in second.run("INFO", "replication"), "the replica follows")
        log = Broker(tmp_path).log("n", url=f"redis://127.0.0.1:{address.port}")

        async def append(producer: str, count: int) -> str:
            extent = await log.open()
            await log.append(producer, 1, [producer.encode()] * count)
            await log.close()
            return extent.epoch

        before = asyncio.run(append("a", 5))
        eventually(lambda: offset(first) == offset(second), "the replica has them")
        wire.stall()
        assert asyncio.run(append("lost", 5)) == before
        first.end(signal.SIGKILL)
        address.switch(second.port)
        second.run("REPLICAOF", "NO", "ONE")
        after = asyncio.run(append("b", 5))
        assert after != before
        first.start()
        address.switch(first.port)
        assert asyncio.run(append("c", 5)) not in (before, after), "the first one has not what came since"


@pytest.mark.parametrize("late", [0, 3])
def test_what_an_old_master_took_after_everybody_was_told_of_the_gap_is_another_gap(tmp_path: Path, late: int) -> None:
    first, second = RedisServer(tmp_path / "first"), RedisServer(tmp_path / "second")
    with contextlib.ExitStack() as stack:
        stack.enter_context(first)
        wire, to_one, to_other = (stack.enter_context(Proxy(first.port)) for _ in range(3))
        stack.enter_context(second)
        second.run("REPLICAOF", "127.0.0.1", str(wire.port))
        eventually(lambda: b"master_link_status:up" in second.run("INFO", "replication"), "the replica follows")
        ends = [
            stack.enter_context(ends_on(f"redis://127.0.0.1:{proxy.port}", 1, namespace="n"))[0]
            for proxy in (to_one, to_other)
        ]
        one, other = ends
        wait_until_open(one, other)
        for n in range(10):
            one.publish(b"%d" % n)
        for end in ends:
            eventually(lambda end=end: len(end.heard.messages) == 10, "all are heard")  # type: ignore[misc]
        eventually(lambda: offset(first) == offset(second), "the replica has them")
        wire.stall()
        second.run("REPLICAOF", "NO", "ONE")
        to_other.switch(second.port)
        eventually(lambda: other.heard.gaps[1:], "who is there is told")
        for n in range(late):
            one.publish(b"%d" % n)
        one.flush()
        to_one.switch(second.port)
        eventually(lambda: one.heard.gaps[1:], "the last one comes, too")
        eventually(lambda: other.broker.head.epoch == one.broker.head.epoch, "to the same log")
        other.publish(b'"after"')
        for end in ends:
            eventually(lambda end=end: end.heard.payloads[-1:] == [b'"after"'], "it is heard")  # type: ignore[misc]
        assert [reason for reason, _ in one.heard.gaps[1:]] == ["epoch"]
        assert [reason for reason, _ in other.heard.gaps[1:]] == ["epoch"] * (2 if late else 1)


def offset(server: RedisServer) -> bytes:
    return server.run("INFO", "replication").split(b"master_repl_offset:")[1].split()[0]


def test_a_redis_that_is_a_replica_is_waited_for(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "first") as first, RedisServer(tmp_path / "second") as second:
        second.run("REPLICAOF", "127.0.0.1", str(first.port))
        with pytest.raises(ReadOnlyError):
            epoch_of(Broker(tmp_path).log("n", url=second.url))
        second.run("REPLICAOF", "NO", "ONE")
        assert epoch_of(Broker(tmp_path).log("n", url=second.url))


def test_a_browser_that_comes_back_to_a_log_that_was_put_back_while_nobody_used_it_is_told(tmp_path: Path) -> None:
    """Its id was given out again, to another event: ten acknowledged events would be missing, and nobody would say."""
    environment = {"NITRO_BROKER_URL": SQLite(tmp_path).url}

    def newest_after(numbers: range) -> str:
        server = Server("tests.apps.soak:app", environment=environment)
        with server, Stream(server.port, "/events").read_until(b"id: ") as page:
            for n in numbers:
                assert server.post(f"/emit?producer=p&n={n}").status_code == 200
            page.events(len(numbers))
            ids: list[str] = re.findall(r"^id: (\S+)$", page.body.decode(), re.MULTILINE)
            return ids[-1]

    newest_after(range(10))
    put_back = SQLite(tmp_path).archive("nitro")
    had = newest_after(range(10, 20))
    put_back()
    newest_after(range(100, 120))
    server = Server("tests.apps.soak:app", environment=environment)
    with server, Stream(server.port, "/events", f"Last-Event-ID: {had}\r\n").read_until(b"event: gap") as page:
        assert page.events(1)[0]["reason"] == "epoch"
        assert server.post("/emit?producer=p&n=200").status_code == 200
        assert page.events(2)[1]["n"] == 200
