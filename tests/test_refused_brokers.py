"""Brokers that can't be used as they are configured: said at once, once, with the remedy; used when it is mended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from redis.exceptions import ResponseError

import nitro
from nitro.brokers import log_broker
from nitro.brokers.redis.source import why_refused
from nitro.brokers.sqlite.log import SQLiteLog
from nitro.delivery.hub import Hub
from nitro.errors import BrokerRefused, BrokerUnavailable
from nitro.testing.conformance import RETENTION, End, eventually
from tests.brokers import BROKERS
from tests.cast import ends_on, wait_until_open
from tests.servers import ROOT
from tests.services import NatsServer, PostgresServer, Proxy, RedisCluster, RedisServer
from tests.test_nats_servers import cluster, stream_of


@pytest.fixture(autouse=True)
def _is_tried_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a link waits with a broker that refused it changes nothing of what is said and sent."""
    monkeypatch.setattr(log_broker, "_LONGEST_BACKOFF", 0.5)


class Wrong(NamedTuple):
    """A broker that is refused, what is said about it, and what an administrator does."""

    url: str
    says: str
    mend: Callable[[], object]


Way = Callable[[Path], contextlib.AbstractContextManager[Wrong]]


@contextlib.contextmanager
def no_directory(directory: Path) -> Iterator[Wrong]:
    where = directory / "data"
    yield Wrong(f"sqlite:///{where}/events.db", f"no directory {where}; make it", where.mkdir)


@contextlib.contextmanager
def directory_as_file(directory: Path) -> Iterator[Wrong]:
    (directory / "events.db").mkdir()
    yield Wrong(f"sqlite:///{directory}/events.db", "it is a directory; name a file", (directory / "events.db").rmdir)


@contextlib.contextmanager
def no_database(directory: Path) -> Iterator[Wrong]:
    file = directory / "events.db"
    file.write_text("Dear diary, " * 1_000)
    yield Wrong(f"sqlite:///{file}", "another kind of file", file.unlink)


def redis_user(server: RedisServer, *rules: str) -> None:
    assert server.run("ACL", "SETUSER", "ann", "on", ">pw", "~*", "&*", *rules) == b"+OK\r\n"


@contextlib.contextmanager
def redis_without_user(directory: Path) -> Iterator[Wrong]:
    with RedisServer(directory) as server:
        url = f"redis://ann:pw@127.0.0.1:{server.port}"
        yield Wrong(url, "invalid username-password .* correct user and password", lambda: redis_user(server, "+@all"))


@contextlib.contextmanager
def redis_needs_a_password(directory: Path) -> Iterator[Wrong]:
    server = RedisServer(directory)
    with server:
        redis_user(server, "+@all")
        assert server.run("CONFIG", "SET", "requirepass", "secret") == b"+OK\r\n"

        def mend() -> None:
            subprocess.run(
                [*("redis-cli", "-p", str(server.port), "-a", "secret"), "CONFIG", "SET", "requirepass", ""],
                check=True,
                capture_output=True,
            )

        yield Wrong(server.url, "correct user and password", mend)


@contextlib.contextmanager
def redis_that_may_not_be_written(directory: Path) -> Iterator[Wrong]:
    with RedisServer(directory) as server:
        redis_user(server, "+@all", "-xadd")
        url = f"redis://ann:pw@127.0.0.1:{server.port}"
        yield Wrong(url, "let its user have EVAL", lambda: redis_user(server, "+xadd"))


@contextlib.contextmanager
def redis_whose_key_is_anothers(directory: Path) -> Iterator[Wrong]:
    with RedisServer(directory) as server:
        server.run("SET", "{nitro:app}", "theirs")
        yield Wrong(server.url, "another NITRO_NAMESPACE", lambda: server.run("DEL", "{nitro:app}"))


@contextlib.contextmanager
def postgres_without_role(directory: Path) -> Iterator[Wrong]:
    with PostgresServer(directory / "postgres") as server:
        url = f"postgresql://ann@127.0.0.1:{server.port}/postgres"
        says = 'role "ann" does not exist.*correct user, password or host'
        yield Wrong(url, says, lambda: server.run("CREATE ROLE ann LOGIN SUPERUSER"))


@contextlib.contextmanager
def postgres_with_another_password(directory: Path) -> Iterator[Wrong]:
    with PostgresServer(directory / "postgres") as server:
        server.run("CREATE ROLE ann LOGIN SUPERUSER PASSWORD 'another'")
        access = directory / "postgres/data/pg_hba.conf"
        access.write_text("host all ann 127.0.0.1/32 scram-sha-256\n" + access.read_text())
        server.run("SELECT pg_reload_conf()")
        url = f"postgresql://ann:pw@127.0.0.1:{server.port}/postgres"

        def is_asked_for_a_password() -> bool:
            try:
                psycopg.connect(url).close()
            except psycopg.OperationalError as error:
                return "password authentication failed" in str(error)
            return False

        eventually(is_asked_for_a_password, "the rule holds")
        says = "password authentication failed.*correct user, password"
        yield Wrong(url, says, lambda: server.run("ALTER ROLE ann PASSWORD 'pw'"))


@contextlib.contextmanager
def postgres_without_database(directory: Path) -> Iterator[Wrong]:
    with PostgresServer(directory / "postgres") as server:
        url = f"postgresql://postgres@127.0.0.1:{server.port}/app"
        says = 'database "app" does not exist.*make the database'
        yield Wrong(url, says, lambda: server.run("CREATE DATABASE app"))


@contextlib.contextmanager
def postgres_where_no_table_may_be_made(directory: Path) -> Iterator[Wrong]:
    with PostgresServer(directory / "postgres") as server:
        server.run("CREATE ROLE ann LOGIN", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        url = f"postgresql://ann@127.0.0.1:{server.port}/postgres"
        says = "permission denied for schema public.*/how-to/scaling/"
        yield Wrong(url, says, lambda: server.run("GRANT CREATE ON SCHEMA public TO ann"))


def reload_nats(server: NatsServer, more: str) -> None:
    server.more = more
    server.command()  # writes its file
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)


@contextlib.contextmanager
def nats_with_another_password(directory: Path) -> Iterator[Wrong]:
    server = NatsServer(directory / "nats")
    server.more = 'authorization { user: ann, password: "another" }\n'
    with server:
        url = f"nats://ann:pw@127.0.0.1:{server.port}"
        right = 'authorization { user: ann, password: "pw" }\n'
        yield Wrong(url, "Authorization Violation.*Correct user", lambda: reload_nats(server, right))


@contextlib.contextmanager
def nats_where_nothing_may_be_published(directory: Path) -> Iterator[Wrong]:
    rights = 'permissions: {{publish: [{}], subscribe: "_INBOX.>"}}'
    access = "authorization {{ users: [{{user: ann, password: pw, " + rights + "}}] }}\n"
    server = NatsServer(directory / "nats")
    server.more = access.format('"$JS.API.>"')
    with server:
        url = f"nats://ann:pw@127.0.0.1:{server.port}"
        right = access.format('"$JS.API.>", "nitro.app.*"')
        says = r"permissions violation for publish.*Let its user publish to nitro.app.\*"
        yield Wrong(url, says, lambda: reload_nats(server, right))


@contextlib.contextmanager
def nats_without_jetstream(directory: Path) -> Iterator[Wrong]:
    server = NatsServer(directory / "nats")
    server.has_jetstream = False

    def mend() -> None:
        server.end()
        server.has_jetstream = True
        server.start()

    with server:
        yield Wrong(server.url, "JetStream is not on.*nats-server -js", mend)


@contextlib.contextmanager
def nats_with_an_account_without_jetstream(directory: Path) -> Iterator[Wrong]:
    accounts = "accounts {{ A: {{ {} users: [{{user: ann, password: pw}}] }} }}\n"
    server = NatsServer(directory / "nats")
    server.more = accounts.format("")
    with server:
        url = f"nats://ann:pw@127.0.0.1:{server.port}"
        right = accounts.format("jetstream: enabled,")
        yield Wrong(url, "not enabled for account.*turn JetStream on", lambda: reload_nats(server, right))


@contextlib.contextmanager
def nats_limited(directory: Path, few: str, query: str, says: str) -> Iterator[Wrong]:
    """Its JetStream may take less than the stream reserves, until it is started with other limits."""
    server = NatsServer(directory / "nats")
    server.limits = few

    def mend() -> None:
        server.end()
        server.limits = ""
        server.start()

    with server:
        yield Wrong(server.url + query, f"{says}.*lower NITRO_HISTORY_BYTES", mend)


def nats_without_room_on_its_disk(directory: Path) -> contextlib.AbstractContextManager[Wrong]:
    return nats_limited(directory, "max_file_store: 8MB", "", "insufficient storage.*more disk")


def nats_without_room_in_its_memory(directory: Path) -> contextlib.AbstractContextManager[Wrong]:
    return nats_limited(directory, "max_mem: 8MB", "?storage=memory", "insufficient memory.*more memory")


@contextlib.contextmanager
def nats_account_limited(directory: Path, few: str, says: str) -> Iterator[Wrong]:
    """An account that may take less, until its server reads another configuration."""
    accounts = "accounts {{ A: {{ jetstream: {{ {} }}, users: [{{user: ann, password: pw}}] }} }}\n"
    server = NatsServer(directory / "nats")
    server.more = accounts.format(few)
    with server:
        url = f"nats://ann:pw@127.0.0.1:{server.port}"
        yield Wrong(url, says, lambda: reload_nats(server, accounts.format("max_file: 1GB")))


def nats_with_an_account_without_room(directory: Path) -> contextlib.AbstractContextManager[Wrong]:
    return nats_account_limited(directory, "max_file: 8MB", "insufficient storage.*max_file of its account")


def nats_with_an_account_of_small_streams(directory: Path) -> contextlib.AbstractContextManager[Wrong]:
    few = "max_file: 1GB, disk_max_stream_bytes: 8MB"
    return nats_account_limited(directory, few, "exceeds account limit.*disk_max_stream_bytes")


@contextlib.contextmanager
def nats_with_an_account_without_another_stream(directory: Path) -> Iterator[Wrong]:
    with nats_account_limited(directory, "max_file: 1GB, max_streams: 1", "maximum number of streams") as wrong:
        stream_of(wrong.url, lambda jetstream: jetstream.add_stream(name="theirs", subjects=["theirs.*"]))
        yield wrong


WAYS: list[Way] = [
    no_directory,
    directory_as_file,
    no_database,
    redis_without_user,
    redis_needs_a_password,
    redis_that_may_not_be_written,
    redis_whose_key_is_anothers,
    postgres_without_role,
    postgres_with_another_password,
    postgres_without_database,
    postgres_where_no_table_may_be_made,
    nats_with_another_password,
    nats_where_nothing_may_be_published,
    nats_without_jetstream,
    nats_with_an_account_without_jetstream,
    nats_without_room_on_its_disk,
    nats_without_room_in_its_memory,
    nats_with_an_account_without_room,
    nats_with_an_account_of_small_streams,
    nats_with_an_account_without_another_stream,
]


@pytest.mark.parametrize(
    "said",
    [
        "The user executing the script can't run this command or subcommand",  # Redis 7
        "ACL failure in script: User ann has no permissions to run the 'xadd' command",  # Redis 8
        "No permissions to access a key",
    ],
)
def test_each_redis_says_in_its_own_words_what_its_user_may_not(said: str) -> None:
    told = why_refused(ResponseError(said), is_plain=True)
    assert told and "let its user have EVAL" in told


def errors_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What Nitro has logged as errors; drivers leave some of their own behind."""
    said = [record for record in caplog.records if record.levelno >= logging.ERROR]
    return [record.getMessage() for record in said if record.name.startswith("nitro")]


@pytest.mark.parametrize("way", WAYS)
def test_it_is_said_at_once_with_the_remedy_and_all_is_sent_when_it_is_mended(
    way: Way, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with way(tmp_path) as wrong, ends_on(wrong.url, 1, "app") as (end,):
        end.publish(b'"before"')
        acknowledgement = end.broker.acknowledgement()
        assert acknowledgement is not None
        with pytest.raises(BrokerRefused, match=f"(?s)waiting won't help: .*{wrong.says}"):
            acknowledgement.result(20)
        end.publish(b'"meanwhile"')
        later = end.broker.acknowledgement()
        assert later is not None
        with pytest.raises(BrokerRefused, match=f"(?s){wrong.says}.*Events stay queued"):
            later.result(0)
        assert end.broker.refusal.done()
        assert end.broker.state.gone_seconds > 0
        assert end.broker.state.unacknowledged == 2
        wrong.mend()
        eventually(lambda: end.heard.payloads == [b'"before"', b'"meanwhile"'], "what waited is sent")
        eventually(lambda: not end.broker.state.why_refused, "it is there again")
        assert not end.broker.refusal.done()
        assert end.broker.state.gone_seconds == 0
        end.publish(b'"after"')
        end.flush()
        assert len(errors_in(caplog)) == 1, errors_in(caplog)
        assert "is there again" in caplog.text
        assert "pw" not in caplog.text


@contextlib.contextmanager
def redis_without_that_database(directory: Path) -> Iterator[tuple[str, str]]:
    with RedisServer(directory) as server:
        yield f"{server.url}/99", "DB index is out of range.*correct the number"


@contextlib.contextmanager
def redis_that_is_no_cluster(directory: Path) -> Iterator[tuple[str, str]]:
    with RedisServer(directory) as server:
        yield f"redis+cluster://127.0.0.1:{server.port}", "write redis://"


@contextlib.contextmanager
def redis_that_is_a_cluster(directory: Path) -> Iterator[tuple[str, str]]:
    with RedisCluster(directory) as server:
        other = "07c37dfeb235213a872192d90877d0cd55635b91"
        server.run("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        slot = server.run("CLUSTER", "KEYSLOT", "{nitro:app}").strip().removeprefix(b":").decode()
        server.run("CLUSTER", "FORGET", other)
        server.run("CLUSTER", "DELSLOTS", slot)
        yield f"{server.url}/1", "SELECT is not allowed.*leave the number"


@contextlib.contextmanager
def redis_without_streams(directory: Path) -> Iterator[tuple[str, str]]:
    server = RedisServer(directory)
    server.options = ("--rename-command", "XADD", "")
    with server:
        yield server.url, "Redis 6.2 or newer"


@contextlib.contextmanager
def postgres_without_tls(directory: Path) -> Iterator[tuple[str, str]]:
    with PostgresServer(directory / "postgres") as server:
        yield f"{server.url}?sslmode=require", "the server has no TLS.*sslmode"


@contextlib.contextmanager
def postgres_without_that_setting(directory: Path) -> Iterator[tuple[str, str]]:
    with PostgresServer(directory / "postgres") as server:
        yield f"{server.url}?options=-c%20nosuch%3D1", '"nosuch".*leave that option out'


@contextlib.contextmanager
def nats_without_tls(directory: Path) -> Iterator[tuple[str, str]]:
    with NatsServer(directory / "nats") as server:
        yield server.url.replace("nats://", "tls://ann:pw@"), "has no TLS, and NITRO_BROKER_URL says tls://"


@contextlib.contextmanager
def nats_without_a_cluster(directory: Path) -> Iterator[tuple[str, str]]:
    with NatsServer(directory / "nats") as server:
        yield f"{server.url}?replicas=3", "leave replicas out"


@contextlib.contextmanager
def nats_cluster_without_room(directory: Path) -> Iterator[tuple[str, str]]:
    with cluster(directory, limits="max_file_store: 8MB") as servers:
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        yield f"nats://{hosts}?replicas=3", "no suitable peers.*insufficient storage.*lower NITRO_HISTORY_BYTES"


@pytest.mark.parametrize(
    "way",
    [
        redis_without_that_database,
        redis_that_is_no_cluster,
        redis_that_is_a_cluster,
        redis_without_streams,
        postgres_without_tls,
        postgres_without_that_setting,
        nats_without_tls,
        nats_without_a_cluster,
        nats_cluster_without_room,
    ],
)
def test_a_url_that_does_not_fit_its_server_is_refused(
    way: Callable[[Path], contextlib.AbstractContextManager[tuple[str, str]]], tmp_path: Path
) -> None:
    with way(tmp_path) as (url, says), ends_on(url, 1, "app") as (end,):
        end.publish(b"1")
        acknowledgement = end.broker.acknowledgement()
        assert acknowledgement is not None
        with pytest.raises(BrokerRefused, match=f"(?s){says}"):
            acknowledgement.result(20)


class Older(Proxy):
    """A line on which Redis 7.0.15 looks as old as another one."""

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(re.sub(rb"redis_version:\d\.\d\.\d\d", b"redis_version:6.0.16", data))
                await writer.drain()
        writer.transport.abort()


def test_a_redis_that_is_too_old_is_refused(tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path) as server,
        Older(server.port) as proxy,
        ends_on(f"redis://127.0.0.1:{proxy.port}", 1) as (end,),
        pytest.raises(BrokerRefused, match=r"it is Redis 6\.0\.16; 6\.2 or newer is needed"),
    ):
        if not re.search(rb"redis_version:\d\.\d\.\d\d\r", server.run("INFO", "server")):
            pytest.skip("ANOTHER REDIS: its version has not as many digits as the one that is put in its place")
        end.broker.refusal.result(20)


def test_a_certificate_that_nobody_trusts_is_refused(tmp_path: Path) -> None:
    from tests.test_broker_urls import TLSRedis

    says = r"(?s)its TLS handshake fails.*CERTIFICATE_VERIFY_FAILED"
    with (
        TLSRedis(tmp_path) as server,
        ends_on(f"rediss://127.0.0.1:{server.port}", 1) as (end,),
        pytest.raises(BrokerRefused, match=says),
    ):
        end.broker.refusal.result(20)


def test_a_log_that_may_be_written_and_not_be_read_is_refused_until_it_may(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RedisServer(tmp_path) as server:
        redis_user(server, "+@all", "-xread")
        with ends_on(f"redis://ann:pw@127.0.0.1:{server.port}", 1) as (end,):
            with pytest.raises(BrokerRefused, match=r"'xread' command.* let its user have"):
                end.broker.refusal.result(20)
            end.publish(b"1")
            redis_user(server, "+xread")
            eventually(lambda: end.heard.payloads == [b"1"], "it is read")
            eventually(lambda: not end.broker.state.why_refused, "it is used")
    assert len(errors_in(caplog)) == 1


def test_a_right_that_is_lost_later_is_told_and_given_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with PostgresServer(tmp_path / "postgres") as server:
        server.run("CREATE ROLE ann LOGIN", "GRANT CREATE ON SCHEMA public TO ann")
        with ends_on(f"postgresql://ann@127.0.0.1:{server.port}/postgres", 1) as (end,):
            wait_until_open(end)
            end.publish(b"1")
            end.flush()
            server.run("REVOKE ALL ON nitro_messages FROM ann")
            end.publish(b"2")
            with pytest.raises(
                BrokerRefused, match=r"(?s)permission denied for table nitro_messages.*/how-to/scaling/"
            ):
                end.flush()
            server.run("GRANT ALL ON nitro_messages TO ann")
            eventually(lambda: end.heard.payloads == [b"1", b"2"], "what waited is sent")
            assert end.heard.gaps[1:] == []
            end.publish(b"3")
            eventually(lambda: end.heard.payloads == [b"1", b"2", b"3"], "it goes on")
    assert len(errors_in(caplog)) == 1


@pytest.mark.timed
def test_the_public_calls_raise_at_once_and_emit_goes_on(
    tmp_path: Path, hub_with: Callable[..., Hub], caplog: pytest.LogCaptureFixture
) -> None:
    hub_with(broker_url=f"sqlite:///{tmp_path}/data/events.db", namespace="app")
    began = time.monotonic()
    with pytest.raises(BrokerRefused, match="no directory"):
        nitro.connect_broker(20)
    nitro.emit("a.b", result=1)
    with pytest.raises(BrokerRefused, match="no directory"):
        nitro.flush(20)
    with pytest.raises(BrokerRefused, match="no directory"):
        asyncio.run(nitro.emit_async("a.b", result=2))
    assert time.monotonic() - began < 3
    assert nitro.statistics().publish_queue_messages == 2
    assert "no directory" in nitro.statistics().broker_refused
    (tmp_path / "data").mkdir()
    eventually(lambda: nitro.statistics().publish_queue_messages == 0, "what waited is sent")
    eventually(lambda: nitro.statistics().broker_refused == "", "and it is used")
    nitro.connect_broker()
    asyncio.run(nitro.emit_async("a.b", result=3))


def test_a_script_that_ends_says_what_it_loses_and_does_not_wait_for_it(tmp_path: Path) -> None:
    code = (
        "import atexit, time, nitro\n"
        "nitro.emit('a.b', result=1); began = time.monotonic()\n"
        "atexit.register(lambda: print(time.monotonic() - began))"
    )
    env = {**os.environ, "NITRO_BROKER_URL": f"sqlite:///{tmp_path}/data/events.db"}
    ended = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert "1 events are lost with this process" in ended.stderr
    assert "no directory" in ended.stderr
    assert float(ended.stdout) < 4, "a broker that may come back is waited for, for five seconds"


def test_a_file_that_may_not_be_written_is_told_of(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("NO OTHER USER: only root can become one who may not write the file")
    directory = tmp_path / "data"
    directory.mkdir()
    for parent in (directory, *directory.parents):
        if parent.stat().st_uid == 0 and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)
    code = (
        "import nitro, os, pwd, nitro.brokers.sqlite.log; connect = nitro.connect_broker\n"
        "os.setuid(pwd.getpwnam('nobody').pw_uid)\n"
        "try: connect(20)\nexcept nitro.NitroError as error: print(repr(error))"
    )
    env = {**os.environ, "NITRO_BROKER_URL": f"sqlite:///{directory}/events.db", "PYTHONPATH": str(ROOT / "src")}
    refused = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert refused.stdout.startswith("BrokerRefused"), refused
    assert "let this process's user write the file" in refused.stdout


class Faulty(SQLiteLog):
    """A log with a mistake in it, such as a driver has that another version of Python breaks."""

    mistaken = ""
    tries = 0
    error: Exception = TypeError("function takes at most 1 positional argument (2 given)")

    async def append(self, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        if self.mistaken == "append":
            self.tries += 1
            raise self.error
        return await super().append(producer, first, bodies)

    async def newest(self) -> int:
        if self.mistaken == "newest":
            self.tries += 1
            raise self.error
        return await super().newest()


def test_a_mistake_in_a_program_is_told_apart_with_its_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = Faulty(f"sqlite:///{tmp_path}/events.db", "app", RETENTION, 1 << 20)
    end = End(log)
    try:
        wait_until_open(end)
        log.mistaken = "append"
        end.publish(b"1")
        with pytest.raises(BrokerRefused, match=r"a bug in Nitro or its driver, TypeError: function takes.*report it"):
            end.flush()
        assert log.tries == 2, "a driver may stumble once over a connection that breaks"
        eventually(lambda: log.tries == 4, "it is tried again")
        assert len(errors_in(caplog)) == 1
        assert [record.exc_info for record in caplog.records if record.levelno == logging.ERROR] != [None]
        log.mistaken = ""
        eventually(lambda: end.heard.payloads == [b"1"], "what waited is sent")
        eventually(lambda: "is there again" in caplog.text, "that it works again is told, by another thread")
    finally:
        end.broker.close(1)


def test_a_log_that_can_be_read_and_not_appended_to_is_gone_until_it_is_appended_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = Faulty(f"sqlite:///{tmp_path}/events.db", "app", RETENTION, 1 << 20)
    log.error = sqlite3.OperationalError("database or disk is full")
    end = End(log)
    try:
        wait_until_open(end)
        log.mistaken = "append"
        end.publish(b"1")
        eventually(lambda: log.tries > 0 and end.broker.state.gone_seconds > 0, "it is noticed")
        noticed_at = time.monotonic()
        eventually(lambda: log.tries >= 5, "it is opened and tried again")
        least = time.monotonic() - noticed_at
        assert end.broker.state.gone_seconds > least
        assert caplog.text.count("can't be used") == 1
        assert "is there again" not in caplog.text
        log.mistaken = ""
        eventually(lambda: "is there again" in caplog.text, "that it works again is told, by another thread")
        eventually(lambda: end.broker.state.gone_seconds == 0, "it is there again")
    finally:
        end.broker.close(1)


def test_a_log_that_did_not_tell_its_head_is_there_again_though_nothing_is_published(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = Faulty(f"sqlite:///{tmp_path}/events.db", "app", RETENTION, 1 << 20)
    log.error = ConnectionError("lost")
    end = End(log)
    try:
        wait_until_open(end)
        log.mistaken = "newest"
        assert end.broker.ask_head() is not None
        eventually(lambda: "can't be used: ConnectionError: lost" in caplog.text, "it is noticed")
        log.mistaken = ""
        eventually(lambda: "is there again" in caplog.text, "that is told, by another thread")
    finally:
        end.broker.close(1)


@pytest.mark.parametrize(("error", "said"), [(ConnectionError("lost"), []), (ValueError("wrong"), ["asyncio"])])
def test_a_lost_connection_that_a_driver_leaves_behind_is_told_to_those_who_debug(
    error: Exception, said: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncpg does so if it is cancelled while it connects; anything else is a bug, and seen."""

    class Leaving(SQLiteLog):
        async def close(self) -> None:
            await super().close()
            asyncio.get_running_loop().create_future().set_exception(error)

    caplog.set_level(logging.DEBUG)
    end = End(Leaving(f"sqlite:///{tmp_path}/events.db", "app", RETENTION, 1 << 20))
    wait_until_open(end)
    end.broker.close(1)
    told = [record for record in caplog.records if "never retrieved" in record.message]
    assert [record.name for record in told] == (said or ["nitro.brokers"])
    assert [record.name for record in told if record.levelno > logging.DEBUG] == said


@pytest.mark.parametrize("kind", ["redis", "nats", "postgresql"])
def test_a_broker_that_is_away_or_hangs_is_never_called_refused(kind: str, tmp_path: Path) -> None:
    with BROKERS[kind](tmp_path) as broker, ends_on(broker.url, 1) as (end,):
        wait_until_open(end)
        broker.freeze()
        end.publish(b"1")
        eventually(lambda: "Timeout" in end.broker.state.why_gone, "it is noticed", 15)
        assert end.broker.state.why_refused == ""
        broker.thaw()
        end.flush()
        broker.kill()
        end.publish(b"2")
        eventually(lambda: end.broker.state.gone_seconds > 1, "it is noticed")
        assert end.broker.state.why_refused == ""
        acknowledgement = end.broker.acknowledgement()
        assert acknowledgement is not None
        assert not acknowledgement.done()
        broker.start()
        acknowledgement.result(20)


def test_a_refusal_is_an_unavailable_broker_for_those_who_ask_no_more() -> None:
    assert issubclass(BrokerRefused, BrokerUnavailable)
