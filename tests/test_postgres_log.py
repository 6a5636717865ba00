"""What befalls a log in PostgreSQL: another server takes over, rights and tables go and come back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psycopg
import pytest

from nitro.brokers import codec, tasks
from nitro.brokers.base import Extent, Log
from nitro.brokers.postgresql.connection import connection_to
from nitro.brokers.postgresql.dsn import Target, target_of
from nitro.testing.conformance import RETENTION, End, eventually
from tests.brokers import Broker, extent_of
from tests.cast import ends_on, wait_until_open
from tests.services import PgBouncer, PostgresServer, Proxy, standby_of

WHERE_IT_IS = "pg_current_wal_lsn()"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres") / "server") as server:
        yield server


def log_on(url: str, namespace: str) -> Log:
    return Broker(Path()).log(namespace, RETENTION, url=url)


def rows_of(server: PostgresServer, statement: str) -> list[tuple[object, ...]]:
    with contextlib.closing(psycopg.connect(server.url)) as connection:
        return connection.execute(statement).fetchall()


def publish(end: End, *payloads: bytes) -> None:
    for payload in payloads:
        end.publish(payload)
    end.flush()


def test_after_a_fail_over_what_was_heard_is_not_heard_again(tmp_path: Path) -> None:
    with (
        PostgresServer(tmp_path / "primary") as primary,
        standby_of(primary, tmp_path / "standby") as standby,
        Proxy(primary.port) as proxy,
        ends_on(primary.url.replace(f":{primary.port}", f":{proxy.port}")) as (one, other),
    ):
        wait_until_open(one, other)
        publish(one, *(b"%d" % n for n in range(30)))
        eventually(lambda: len(one.heard.payloads) == 30 == len(other.heard.payloads), "all are heard")
        before = one.broker.head
        ((place,),) = rows_of(primary, f"SELECT {WHERE_IT_IS}")
        caught_up = f"SELECT pg_last_wal_replay_lsn() >= '{place}'"
        eventually(lambda: rows_of(standby, caught_up) == [(True,)], "the standby has them, too")
        primary.end()
        standby.run("SELECT pg_promote(true, 20)")
        proxy.switch(standby.port)
        publish(one, b"30")
        eventually(lambda: other.heard.payloads[-1] == b"30" == one.heard.payloads[-1], "what is new is heard")
        for end in (one, other):
            assert end.heard.payloads == [b"%d" % n for n in range(31)]
            assert [reason for reason, _ in end.heard.gaps[1:]] == ["epoch"]
        assert one.broker.head.epoch != before.epoch
        assert one.broker.head.sequence == 1


def take_over(server: PostgresServer, namespace: str) -> None:
    """What a log finds after another server has taken over: one with another timeline than the row says."""
    server.run(f"UPDATE nitro_logs SET timeline = '000000AA' WHERE namespace = '{namespace}'")


def test_a_new_epoch_begins_once_and_empty_however_many_open_it(server: PostgresServer) -> None:
    name = Broker.namespace()

    async def open_and_append(number: int) -> Extent:
        log = log_on(server.url, name)
        extent = await log.open()
        await log.append(f"p{number}", 1, [b"%d" % number])
        await log.close()
        return extent

    async def scenario() -> list[bytes | None]:
        log = log_on(server.url, name)
        before = await log.open()
        await log.append("p0", 7, [b"old"] * 50)
        take_over(server, name)
        epochs = {extent.epoch for extent in await asyncio.gather(*map(open_and_append, range(8)))}
        assert len(epochs) == 1
        assert before.epoch not in epochs
        await log.close()
        assert (await log.open()).oldest == 1
        entries = await log.read(0, 100, 0)
        await log.close()
        return [entry.body for entry in entries]

    assert sorted(asyncio.run(scenario())) == [b"%d" % n for n in range(8)]  # type: ignore[type-var]


def test_what_waits_in_the_outbox_comes_into_the_new_epoch(server: PostgresServer) -> None:
    name = Broker.namespace()

    async def scenario() -> None:
        log = log_on(server.url, name)
        before = await log.open()
        await log.append("p", 1, [b"old"] * 3)
        await log.close()
        server.run(f"INSERT INTO nitro_outbox (namespace, body) VALUES ('{name}', 'committed')")
        take_over(server, name)
        extent = await log.open()
        assert (extent.oldest, extent.newest) == (1, 0)
        assert extent.epoch != before.epoch
        assert [entry.body for entry in await log.read(0, 10, 5)] == [b"committed"]
        await log.close()

    asyncio.run(scenario())


def test_a_standby_that_has_everything_goes_on_in_the_epoch(server: PostgresServer) -> None:
    name = Broker.namespace()

    async def scenario() -> None:
        log = log_on(server.url, name)
        (before,) = await extent_of(log)
        take_over(server, name)
        server.run("ALTER ROLE postgres SET synchronous_commit = 'local'")
        server.run("ALTER SYSTEM SET synchronous_standby_names = 'other'", "SELECT pg_reload_conf()")
        try:
            eventually(lambda: rows_of(server, "SHOW synchronous_standby_names") == [("other",)], "it is set")
            assert await extent_of(log, log_on(server.url, name)) == [before] * 2
        finally:
            server.run("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
            server.run("ALTER ROLE postgres RESET synchronous_commit")
        eventually(lambda: rows_of(server, "SHOW synchronous_standby_names") == [("",)], "it is set back")
        assert await extent_of(log) == [before]

    asyncio.run(scenario())


@pytest.mark.parametrize("is_known_first", [True, False])
def test_a_timeline_that_is_no_longer_told_and_then_told_again_is_no_fail_over(
    server: PostgresServer, is_known_first: bool
) -> None:
    name, role = Broker.namespace(), f"ann{is_known_first:d}"
    server.run(f"CREATE ROLE {role} LOGIN", f"GRANT ALL ON SCHEMA public TO {role}")
    asyncio.run(extent_of(log_on(server.url, Broker.namespace())))  # makes the tables
    tables = "nitro_logs, nitro_messages, nitro_producers, nitro_outbox"
    server.run(f"GRANT ALL ON {tables} TO {role}", f"GRANT EXECUTE ON FUNCTION {WHERE_IT_IS} TO PUBLIC")
    take, give = (
        f"REVOKE EXECUTE ON FUNCTION {WHERE_IT_IS} FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {WHERE_IT_IS} TO PUBLIC",
    )
    log = log_on(server.url.replace("postgres@", f"{role}@"), name)
    timelines = []
    extents = []
    for change in (give, take, give) if is_known_first else (take, give, take):
        server.run(change)
        extents += asyncio.run(extent_of(log))
        timelines += rows_of(server, f"SELECT timeline FROM nitro_logs WHERE namespace = '{name}'")
    server.run(give)
    first = "00000001" if is_known_first else "unknown"
    assert timelines == [(first,), ("00000001",), ("00000001",)]
    assert len(set(extents)) == 1
    take_over(server, name)
    assert asyncio.run(extent_of(log)) != extents[:1]


@pytest.mark.parametrize(
    ("condition", "passes"),
    [
        *(
            (name, True)
            for name in ("deadlock_detected", "query_canceled", "lock_not_available", "too_many_connections")
        ),
        *((name, False) for name in ("undefined_function", "insufficient_privilege", "feature_not_supported")),
    ],
)
def test_an_error_that_passes_is_no_fail_over(server: PostgresServer, condition: str, passes: bool) -> None:
    name, url = Broker.namespace(), f"{server.url}?search_path=public"
    log = log_on(url, name)
    (before,) = asyncio.run(extent_of(log))
    schema = f"fault_{condition}"
    fault = (
        f"CREATE FUNCTION {schema}.{WHERE_IT_IS} RETURNS pg_lsn LANGUAGE plpgsql AS $$BEGIN RAISE {condition}; END$$"
    )
    server.run(f"CREATE SCHEMA {schema}", fault)
    stumbling = log_on(f"{server.url}?search_path={schema},pg_catalog,public", name)
    if passes:
        with pytest.raises(asyncpg.PostgresError, match=condition):
            asyncio.run(extent_of(stumbling))
    else:
        assert asyncio.run(extent_of(stumbling)) == [before]
    assert asyncio.run(extent_of(log)) == [before]


def test_a_standby_is_waited_for_until_it_is_promoted_and_then_is_another_server(tmp_path: Path) -> None:
    name = Broker.namespace()
    with PostgresServer(tmp_path / "primary") as primary:
        (before,) = asyncio.run(extent_of(log_on(primary.url, name)))
        with standby_of(primary, tmp_path / "standby") as standby:
            primary.end()
            log = log_on(standby.url, name)
            with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError) as refused:
                asyncio.run(extent_of(log))
            assert log.why_refused(refused.value) is None  # type: ignore[attr-defined]
            standby.run("SELECT pg_promote(true, 20)")
            (after,) = asyncio.run(extent_of(log))
            assert after.epoch != before.epoch
            assert rows_of(standby, "SELECT timeline FROM nitro_logs") == [("00000002",)]


SHORT = RETENTION._replace(max_messages=10)


@pytest.mark.parametrize(
    "hand",
    [
        "TRUNCATE nitro_logs",
        "DELETE FROM nitro_logs",
        "TRUNCATE nitro_logs, nitro_messages, nitro_producers",
        "UPDATE nitro_logs SET sequence = 45",
        "UPDATE nitro_logs SET sequence = 0",
        "UPDATE nitro_logs SET sequence = -5",
        "UPDATE nitro_logs SET sequence = 1000",
        "UPDATE nitro_logs SET epoch = ''",
        "UPDATE nitro_logs SET epoch = 'Not-Ours'",
        "DELETE FROM nitro_messages WHERE sequence > 45",
        "UPDATE nitro_messages SET sequence = -sequence",
        "DROP TABLE nitro_logs",
        "DROP TABLE nitro_messages",
        "DROP TABLE nitro_producers",
        "DROP TABLE nitro_outbox",
        "DROP TABLE nitro_logs, nitro_messages, nitro_producers, nitro_outbox; DROP FUNCTION nitro_append",
    ],
)
def test_what_a_foreign_hand_does_to_the_tables_is_one_gap_and_no_outage(server: PostgresServer, hand: str) -> None:
    with ends_on(server.url, 2, retention=SHORT) as (one, other):
        wait_until_open(one, other)
        for n in range(50):  # no faster than it is heard: what is trimmed before that is a gap, too
            publish(one, b"%d" % n)
            for end in (one, other):
                eventually(lambda: len(end.heard.payloads) == n + 1, "it is heard")  # noqa: B023 - it waits here
        before = one.broker.head
        server.run(hand, END_CONNECTIONS)
        publish(one, b"50")
        eventually(lambda: other.heard.payloads[-1:] == one.heard.payloads[-1:] == [b"50"], "it goes on")
        publish(other, b"51")
        eventually(lambda: other.heard.payloads[-1:] == one.heard.payloads[-1:] == [b"51"], "and on")
        for end in (one, other):
            assert end.heard.payloads == [b"%d" % n for n in range(52)]
            assert [reason for reason, _ in end.heard.gaps[1:]] == ["epoch"]
        assert one.broker.head.epoch != before.epoch
        assert one.broker.head.sequence == 2


END_CONNECTIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'nitro'"


def test_a_table_or_a_row_that_is_gone_while_a_process_runs_is_made_again_without_a_restart(
    server: PostgresServer,
) -> None:
    with ends_on(server.url, 2) as (one, other):
        wait_until_open(one, other)
        for round_, hand in enumerate(
            ("DROP TABLE nitro_messages", "TRUNCATE nitro_logs", "DROP TABLE nitro_outbox"), 1
        ):
            server.run(hand)
            publish(one, b"%d" % round_)
            for end in (one, other):
                eventually(lambda: end.heard.payloads[-1:] == [b"%d" % round_], "it is heard")  # noqa: B023 - it waits here
                assert end.heard.payloads == [b"%d" % n for n in range(1, round_ + 1)]
            for end in (one, other):
                assert [reason for reason, _ in end.heard.gaps[1:]] == ["epoch"] * round_


def test_a_function_that_is_gone_is_made_again_and_nothing_is_lost(server: PostgresServer) -> None:
    with ends_on(server.url, 1) as (end,):
        wait_until_open(end)
        publish(end, b"1")
        server.run("DROP FUNCTION nitro_append")
        publish(end, b"2")
        eventually(lambda: end.heard.payloads == [b"1", b"2"], "it goes on")
        assert end.heard.gaps[1:] == []


def test_tables_that_many_make_at_the_same_moment_are_made_once(server: PostgresServer) -> None:
    for number in range(20):
        server.run(f"CREATE DATABASE new{number}")
        url = server.url.removesuffix("/postgres") + f"/new{number}"
        extents = asyncio.run(extent_of(*(log_on(url, "app") for _ in range(4))))
        assert len(set(extents)) == 1, extents


@pytest.fixture
def pool(server: PostgresServer, tmp_path: Path) -> Iterator[PgBouncer]:
    """One that lends its two sessions for a transaction at a time, to whoever comes."""
    with PgBouncer(server.directory.parent / tmp_path.name, server, mode="transaction", sessions=2) as pool:
        yield pool


@pytest.mark.timed
def test_behind_a_pool_of_transactions_events_and_the_outbox_are_looked_for(
    server: PostgresServer, pool: PgBouncer, caplog: pytest.LogCaptureFixture
) -> None:
    name = Broker.namespace()
    with ends_on(server.url, 1, name) as (direct,), ends_on(pool.url, 2, name) as (one, other):
        wait_until_open(direct, one, other)
        ends = (direct, one, other)
        for number, end in enumerate(ends):
            publish(end, b"%d" % number)
            for hearing in ends:
                eventually(lambda: len(hearing.heard.payloads) == number + 1, "it is heard", 2)  # noqa: B023 - at once
    with ends_on(pool.url, 1, name) as (alone,):
        wait_until_open(alone)
        body = codec.encode("a.b", None, b"3", None)
        server.run(f"INSERT INTO nitro_outbox (namespace, body) VALUES ('{name}', '\\x{body.hex()}')")
        eventually(lambda: alone.heard.payloads == [b"3"], "what was committed is heard", 2)
    told = [record.getMessage() for record in caplog.records if record.name.startswith("nitro")]
    assert len(told) == 3, told  # by each that is behind the pool
    assert all("brings no notifications" in line and "session mode" in line for line in told)


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_what_is_given_up_behind_a_pool_ends_with_its_connection_and_is_not_cancelled_by_another(
    server: PostgresServer, tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PgBouncer 1.18 may end for everybody when a client goes that has asked it to cancel a statement."""
    name = Broker.namespace()
    with (
        PgBouncer(server.directory.parent / tmp_path.name, server, mode=mode) as pool,
        ends_on(pool.url, 1, name) as (end,),
        contextlib.closing(psycopg.connect(server.url)) as other,
    ):
        wait_until_open(end)
        monkeypatch.setattr(tasks, "ANSWER_SECONDS", 1.0)
        other.execute("LOCK nitro_messages")
        end.publish(b"1")
        eventually(lambda: end.broker.state.gone_seconds > 2, "it is tried again")
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%nitro%'"
        assert rows_of(server, waiting), "the server has been told nothing"
        other.rollback()
        eventually(lambda: end.heard.payloads == [b"1"], "it goes on")
        assert "cancel request" not in (pool.directory / "output.txt").read_text()


def test_a_function_of_an_older_build_is_replaced(server: PostgresServer) -> None:
    """With that one the number of a producer falls when fewer messages are tried again, and events are doubled."""
    asyncio.run(extent_of(log_on(server.url, Broker.namespace())))
    server.run(
        "CREATE OR REPLACE FUNCTION nitro_append(log text, its_epoch text, its_producer text, first bigint, "
        "bodies bytea[], max_messages bigint) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'"
    )
    asyncio.run(extent_of(log_on(server.url, Broker.namespace())))
    assert rows_of(server, "SELECT prosrc LIKE '%greatest(%' FROM pg_proc WHERE proname = 'nitro_append'") == [(True,)]


async def _lock_timeouts(target: Target) -> list[str]:
    """In a transaction, and in a session that is kept."""
    line = await connection_to(target)
    async with line.transaction():
        found = [await line.connection.fetchval("SHOW lock_timeout")]
    await line.keep()
    found.append(await line.connection.fetchval("SHOW lock_timeout"))
    await line.connection.close()
    return found


def test_the_server_gives_up_to_wait_for_a_lock_unless_its_administrator_has_said_when(server: PostgresServer) -> None:
    assert asyncio.run(_lock_timeouts(target_of(server.url))) == ["6s", "6s"]
    server.run("ALTER ROLE postgres SET lock_timeout = '3s'")
    try:
        assert asyncio.run(_lock_timeouts(target_of(server.url))) == ["3s", "3s"]
    finally:
        server.run("ALTER ROLE postgres RESET lock_timeout")


def test_nothing_is_left_behind_in_the_sessions_of_a_pool(server: PostgresServer, pool: PgBouncer) -> None:
    name = Broker.namespace()
    server.run(
        "ALTER ROLE postgres SET default_transaction_isolation = 'serializable'",
        "ALTER ROLE postgres SET synchronous_commit = 'off'",
    )
    try:
        with ends_on(pool.url, 3, name) as ends:
            wait_until_open(*ends)
            for number in range(100):  # all at once, where a serializable transaction would be turned away
                for end in ends:
                    end.publish(b"%d" % number)
            for end in ends:
                end.flush()
                eventually(lambda: len(end.heard.payloads) == 300, "all are heard")  # noqa: B023 - at once
                assert end.broker.state.why_gone == "it was not reached yet"
            look = """SELECT pg_backend_pid(), current_setting('transaction_isolation'),
                current_setting('synchronous_commit'), (SELECT count(*) FROM pg_prepared_statements)"""
            with contextlib.ExitStack() as stack:
                both = [stack.enter_context(contextlib.closing(psycopg.connect(pool.url))) for _ in range(2)]
                found = [connection.execute(look).fetchone() for connection in both]  # each still in its transaction
            assert len({row[0] for row in found if row}) == 2
            assert [row[1:] for row in found if row] == [("serializable", "off", 0)] * 2
    finally:
        server.run("ALTER ROLE postgres RESET ALL")


def test_a_connection_that_was_ended_while_it_was_idle_is_told_as_such(server: PostgresServer) -> None:
    """asyncpg alone says "cannot switch to state 12; another operation (2) is in progress"."""

    async def scenario(proxy: Proxy) -> None:
        log = log_on(server.url.replace(f":{server.port}", f":{proxy.port}"), Broker.namespace())
        await log.open()
        await log.append("p", 1, [b"1"])
        proxy.is_silent = True
        server.run(END_CONNECTIONS)
        await asyncio.to_thread(eventually, lambda: rows_of(server, OURS) == [(0,)], "they are ended")
        try:
            async with asyncio.timeout(2):  # what the server said has come by then, or comes during this
                await log.append("p", 2, [b"2"])
        finally:
            await log.close()

    for _ in range(10):
        with Proxy(server.port) as proxy, pytest.raises(Exception) as told:  # noqa: PT011 - looked at below
            asyncio.run(scenario(proxy))
        if told.type is ConnectionError:
            break
    assert "the idle connection was closed" in str(told.value)
    assert isinstance(told.value.__cause__, asyncpg.InternalClientError)


OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nitro'"
