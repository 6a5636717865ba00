"""What happens to a broker behind our back, at no cost: connections and consumers that go, a journal that grows."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext
from sqlalchemy import text

from nitro.brokers.sqlite.wal import use_wal
from nitro.repository import SQLModelRepository
from nitro.testing.conformance import eventually
from tests.brokers import Nats
from tests.cast import ends_on, wait_until_open
from tests.services import Proxy, RedisServer, administer

KEPT = 8 * 1024 * 1024


def connections_of(server: RedisServer) -> int:
    """How many clients a server has, but for the one that asks."""
    return server.run("CLIENT", "LIST").count(b" cmd=") - 1


@pytest.mark.timed
def test_a_redis_that_closes_idle_connections_costs_no_event_a_wait_nor_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path)
    server.options += ("--timeout", "1")
    with server, ends_on(server.url, 2) as (one, other):
        wait_until_open(one, other)
        for n in range(4):
            one.publish(b"%d" % n)
            one.flush()
            eventually(lambda n=n: len(other.heard.messages) == n + 1, "it is heard")  # type: ignore[misc]
            eventually(lambda: connections_of(server) == 2, "what was idle is closed; readers are left")
        began = time.monotonic()
        one.publish(b'"last"')
        one.flush()
        assert time.monotonic() - began < 0.5
        assert caplog.records == []
        assert [end.heard.gaps[1:] for end in (one, other)] == [[], []]


def test_a_proxy_that_cuts_connections_to_a_redis_costs_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path)
    with server, Proxy(server.port) as proxy, ends_on(f"redis://127.0.0.1:{proxy.port}", 2) as (one, other):
        wait_until_open(one, other)
        for n in range(5):
            proxy.cut()
            one.publish(b"%d" % n)
            one.flush()
            for end in (
                one,
                other,
            ):  # who is cut off twice in a row says so
                eventually(lambda end=end, n=n: len(end.heard.messages) == n + 1, "it is heard")  # type: ignore[misc]
        assert other.heard.payloads == [b"%d" % n for n in range(5)]
        assert caplog.records == []


def test_a_redis_that_was_restarted_between_two_events_is_opened_anew(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.options = ("--appendonly", "yes", "--appendfsync", "everysec")
    with server, ends_on(server.url, 1) as (end,):
        wait_until_open(end)
        end.publish(b"1")
        end.flush()
        before = end.broker.head.epoch
        server.end()
        server.start()
        end.publish(b"2")
        end.flush()
        eventually(lambda: end.heard.payloads[-1:] == [b"2"], "it is heard")
        assert end.broker.head.epoch != before, "nobody can say that nothing was lost"
        assert [reason for reason, _ in end.heard.gaps[1:]] == ["epoch"]


def test_a_nats_without_our_consumer_is_read_on_without_a_gap_and_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Nats(tmp_path) as broker, ends_on(broker.url, 2, "app") as (one, other):
        wait_until_open(one, other)
        for n in range(3):
            assert administer(broker.server.url, delete_consumers) == 2
            one.publish(b"%d" % n)
            one.flush()
            for end in (one, other):
                eventually(lambda end=end, n=n: len(end.heard.messages) == n + 1, "it is heard", 5)  # type: ignore[misc]
        assert other.heard.payloads == [b"0", b"1", b"2"]
        assert [end.heard.gaps[1:] for end in (one, other)] == [[], []]
        assert caplog.records == []


async def delete_consumers(connection: Client) -> int:
    jetstream: JetStreamContext = connection.jetstream()
    deadline = time.monotonic() + 10
    while len(found := await jetstream.consumers_info("nitro_app_1")) < 2 and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    for consumer in found:
        await jetstream.delete_consumer("nitro_app_1", consumer.name)
    return len(found)


def make_journal_long(file: Path) -> int:
    """Write much while somebody reads, so that the journal can't be begun again; its length."""
    with closing(sqlite3.connect(file, timeout=10)) as reader, closing(sqlite3.connect(file, timeout=10)) as writer:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        writer.execute("CREATE TABLE IF NOT EXISTS filler (body BLOB)")
        for _ in range(20):
            writer.execute("INSERT INTO filler VALUES (zeroblob(1048576))")
            writer.commit()
        reader.rollback()
    return journal_of(file).stat().st_size


def journal_of(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


def test_the_journal_of_the_brokers_file_is_short_again_after_a_burst(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    with ends_on(f"sqlite:///{file}", 2) as (one, other):
        wait_until_open(one, other)
        assert make_journal_long(file) > 2 * KEPT

        def is_short() -> bool:
            one.publish(b"1")
            one.flush()
            return journal_of(file).stat().st_size <= KEPT

        eventually(is_short, "it is cut when it is begun again")


def test_the_journal_of_the_repositorys_file_is_short_again_after_a_burst(tmp_path: Path) -> None:
    file = tmp_path / "data.db"
    repository = SQLModelRepository(f"sqlite:///{file}")
    with repository.engine.begin() as connection:
        connection.execute(text("CREATE TABLE things (n INTEGER)"))
    assert make_journal_long(file) > 2 * KEPT

    def is_short() -> bool:
        with repository.engine.begin() as connection:
            connection.execute(text("INSERT INTO things VALUES (1)"))
        return journal_of(file).stat().st_size <= KEPT

    eventually(is_short, "it is cut when it is begun again")
    repository.close()


def test_every_connection_to_sqlite_names_its_options(tmp_path: Path) -> None:
    """Python 3.13 warns of, and 3.15 refuses, more than the first argument by place."""
    import ast

    from tests.servers import ROOT

    calls = [
        node
        for path in (ROOT / "src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "sqlite3.connect"
    ]
    assert calls
    assert [len(call.args) for call in calls] == [1] * len(calls)


def test_a_database_in_memory_has_no_journal_and_needs_none() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        use_wal(connection, 1)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("memory",)
