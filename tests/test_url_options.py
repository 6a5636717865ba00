"""URLs of brokers as people have them: SQLAlchemy's, hosting providers', other drivers'. Taken, or refused at once."""

from __future__ import annotations

import asyncio
import logging
import pkgutil
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy.dialects.postgresql
import sqlalchemy.dialects.sqlite
from sqlalchemy import create_engine, make_url
from sqlalchemy.orm import Session

import nitro
from nitro.brokers.postgresql.dsn import target_of
from nitro.brokers.urls import make_log
from nitro.delivery.hub import Hub
from nitro.errors import ConfigurationError
from nitro.testing.conformance import RETENTION
from tests.cast import check_events_get_across
from tests.services import PostgresServer, RedisServer


def drivers_of(package: object) -> list[str]:
    """The names of drivers that SQLAlchemy has for a database."""
    path, name = package.__path__, package.__name__  # type: ignore[attr-defined]
    modules = [import_module(f"{name}.{found.name}") for found in pkgutil.iter_modules(path)]
    dialects = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    return sorted({getattr(dialect, "driver", None) or "" for dialect in dialects} - {""})


POSTGRESQL = [f"postgresql+{driver}" for driver in drivers_of(sqlalchemy.dialects.postgresql)]
SQLITE = [f"sqlite+{driver}" for driver in drivers_of(sqlalchemy.dialects.sqlite)]


def make(url: str) -> object:
    return make_log(url, "app", RETENTION, max_payload_bytes=1 << 20)


def refused(url: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        make(url)
    return str(caught.value)


@pytest.mark.parametrize("scheme", [*POSTGRESQL, "postgresql", "postgres"])
def test_every_driver_that_sqlalchemy_has_for_postgresql_may_be_named(scheme: str) -> None:
    assert target_of(f"{scheme}://ann:pw@db/app").url == "postgresql://ann:pw@db/app"
    make(f"{scheme}://ann:pw@db/app")


@pytest.mark.parametrize("scheme", [*SQLITE, "sqlite"])
def test_every_driver_that_sqlalchemy_has_for_sqlite_may_be_named(scheme: str, tmp_path: Path) -> None:
    if "cipher" in scheme:
        assert "can't be in a file of" in refused(f"{scheme}:///{tmp_path}/events.db")
    else:
        make(f"{scheme}:///{tmp_path}/events.db")


def test_there_are_drivers_to_be_asked_about() -> None:
    assert {"postgresql+psycopg2", "postgresql+pg8000", "postgresql+asyncpg"} <= set(POSTGRESQL)
    assert {"sqlite+pysqlite", "sqlite+aiosqlite"} <= set(SQLITE)


FROM_PROVIDERS = [
    "sslmode=prefer&channel_binding=prefer",
    "sslmode=disable&connect_timeout=10",
    "connect_timeout=0",
    "ssl=disable",
    "ssl=false",
    "ssl=prefer",
    "keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=5&tcp_user_timeout=10000",
    "target_session_attrs=read-write",
    "application_name=shop",
    "fallback_application_name=shop",
    "options=-c%20search_path%3Dpublic%20-c%20statement_timeout%3D5000",
    "options=-csearch_path%3Dpublic",
    "search_path=public",
    "schema=public",
    "currentSchema=public",
    "prepared_statement_cache_size=0",
    "statement_cache_size=0",
    "gssencmode=disable",
    "gssencmode=prefer",
    "pgbouncer=true&connection_limit=1&pool_timeout=0",
    "command_timeout=60",
    "async_fallback=true",
    "client_encoding=utf8",
    "prepare_threshold=0",
    "timeout=5&tcp_keepalive=true",
    "load_balance_hosts=random",
    "sslcompression=0&sslsni=1",
    "require_auth=scram-sha-256",
    "supa=base-pooler.x&workaround=supabase-pooler.vercel",
    "jit=off&timezone=UTC&app.tenant=7",
]


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres") / "server") as server:
        yield server


async def _connect(url: str) -> None:
    target = target_of(url)
    connection = await asyncpg.connect(target.url, **target.arguments)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


@pytest.mark.parametrize("options", FROM_PROVIDERS)
def test_options_that_people_copy_from_a_providers_page_connect(postgres: PostgresServer, options: str) -> None:
    asyncio.run(_connect(f"{postgres.url}?{options}"))


def test_such_a_url_carries_events(postgres: PostgresServer) -> None:
    url = postgres.url.replace("postgresql://", "postgresql+psycopg2://")
    check_events_get_across(f"{url}?sslmode=prefer&connect_timeout=10&keepalives_idle=30&application_name=shop")
    host = f"postgresql+asyncpg://postgres@/postgres?host=127.0.0.1:{postgres.port}&host=127.0.0.1:{postgres.port}"
    check_events_get_across(host)


def test_what_an_option_means_is_kept() -> None:
    target = target_of(
        "postgresql+psycopg://u:p%40w@h/d?connect_timeout=2&prepared_statement_cache_size=0&command_timeout=30"
        "&application_name=shop&ssl=require&schema=My-Schema&jit=off&options=-c%20work_mem%3D8MB"
    )
    assert target.url == "postgresql://u:p%40w@h/d?sslmode=require"
    assert target.arguments == {
        "timeout": 2.0,
        "statement_cache_size": 0,
        "command_timeout": 30.0,
        "server_settings": {
            "application_name": "shop",
            "search_path": '"My-Schema"',
            "jit": "off",
            "options": "-c work_mem=8MB",
        },
    }
    assert target_of("postgresql://h/d?connect_timeout=60").arguments["timeout"] == 4.0
    assert target_of("postgresql://h/d?ssl=true&sslmode=verify-full").url == "postgresql://h/d?sslmode=verify-full"
    assert target_of("postgresql://h/d?sslmode=no-verify").url == "postgresql://h/d?sslmode=require"
    assert target_of("postgresql://u:p@w@h/d").url == "postgresql://u:p%40w@h/d"
    assert target_of("postgresql://h/d?sslmode=verify-full&sslrootcert=system").arguments["ssl"].check_hostname
    assert target_of("postgresql:///d?host=/run/postgresql").url == "postgresql:///d?host=%2Frun%2Fpostgresql"


def test_what_is_left_out_and_makes_a_difference_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nitro")
    make("postgresql://h/d?channel_binding=require&pgbouncer=true&keepalives=1&gssencmode=prefer")
    said = {record.getMessage().split()[1]: record.levelname for record in caplog.records}
    assert said == {"channel_binding": "WARNING", "pgbouncer": "WARNING", "keepalives": "INFO"}
    assert "session mode" in caplog.text
    caplog.clear()
    make("postgresql://h/d?channel_binding=prefer&pgbouncer=false")
    assert caplog.records == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://h/d?sslmod=require", "'sslmod'.*did you mean 'sslmode'"),
        ("postgresql://h/d?connect_timout=3", "did you mean 'connect_timeout'"),
        ("postgresql://h/d?connect_timeout=soon", "connect_timeout is a number"),
        ("postgresql://h/d?sslmode=yes", "sslmode is one of disable, allow, prefer"),
        ("postgresql://h/d?target_session_attrs=writable", "target_session_attrs is one of any, primary"),
        ("postgresql://h/d?gssencmode=require", "no GSSAPI encryption"),
        ("postgresql://h/d?sslrootcert=/nowhere/ca.pem", "sslrootcert must be the path"),
        ("postgresql+asyncpg://h/d?colour=blue", "'colour'"),
        ("postgresql+oracle://h/d", "'oracle'.*psycopg"),
        ("postgresql://u:p/w@h/d", "%2F"),
        ("postgresql://u:p#w@h/d", "%23"),
        ("postgresql://u:p?w@h/d", "port|%3F"),
        ("postgresql://u:pw@h:port/d", "port"),
        ("sqlite:///events.db?mode=ro", "written to"),
        ("sqlite://events.db", "two slashes behind sqlite:, and a path begins behind three"),
        ("sqlite:///file:events.db?mode=memory&uri=true", "names no file"),
        ("sqlite:///events.db?timeot=3", "did you mean 'timeout'"),
        ("sqlite:///events.db?nolock=1", "several processes share"),
        ("redis://h/0?colour=blue", "'colour'"),
        ("redis://h/0?protocl=3", "did you mean 'protocol'"),
        ("redis://h/0?ssl=true", "rediss://"),
        ("redis://h/0?ssl_ca_certs=/etc/passwd", "rediss://"),
        ("rediss://h/0?ssl_ca_certs=/nowhere/ca.pem", "ssl_ca_certs must be the path"),
        ("redis://h/0?protocol=three", "protocol"),
        ("redis://h/first", "number of a database"),
        ("redis+cluster://h:7000/app", "number of a database"),
        ("redis+sentinel://h:26379", "names its master"),
        ("redis+sentinel://h:26379/mine?colour=blue", "'colour'"),
        ("redis+unix:///run/redis.sock?dbb=1", "did you mean 'db'"),
        ("redis://u:p/w@h/0", "%2F"),
        ("redis://u:pw@x:h:6379/0", "two colons in a host.*%40"),
        ("redis://::1:6379/0", r"as \[::1\]:port"),
        ("nats://u:pw@x:h:4222", "two colons in a host"),
        ("postgresql://u:pw@x:h:5432/d", "two colons in a host"),
        ("redis+cluster://a:7000,b:7001", "has several hosts, and redis\\+cluster:// takes one"),
        ("redis://a,b", "has several hosts, and redis:// takes one"),
        ("nats://h?replica=3", "did you mean 'replicas'"),
        ("nats://h?replicas=three", "replicas is a number"),
        ("nats://h?storage=tape", "storage is file or memory"),
        ("nats://h?credentials=/nowhere/user.creds", "credentials must be the path"),
        ("nats://h/app", "NITRO_NAMESPACE"),
        ("nats://u:p#w@h", "%23"),
    ],
)
def test_what_can_not_be_understood_is_refused_at_once_and_shows_no_password(url: str, says: str) -> None:
    text = refused(url)
    assert re.search(says, text), text
    assert "p/w" not in text
    assert "p#w" not in text
    assert "w@h" not in text
    assert "pw" not in text


def test_redis_urls_of_other_clients_are_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer(tmp_path) as server:
        options = (
            "decode_responses=True&socket_timeout=0.5&socket_connect_timeout=1&health_check_interval=30"
            "&retry_on_timeout=true&max_connections=10&protocol=2&client_name=shop&socket_keepalive=true&encoding=utf-8"
        )
        check_events_get_across(f"{server.url}/3?{options}")
        check_events_get_across(f"{server.url}?db=4&protocol=3")
        assert b"name=shop" not in server.run("CLIENT", "LIST")
    assert "can't be used" not in caplog.text
    make("rediss://h/0?ssl_cert_reqs=CERT_NONE&ssl_check_hostname=false")
    make("redis+sentinel://u:p%2Fw@h:26379,i:26379/mine/2?client_name=shop")


def test_sqlite_urls_of_sqlalchemy_are_one_file(tmp_path: Path, hub_with: Callable[..., Hub]) -> None:
    for url in (
        f"sqlite+aiosqlite:///{tmp_path}/events.db?timeout=10&check_same_thread=false",
        f"sqlite+pysqlite:///file:{tmp_path}/events.db?uri=true&mode=rwc&cache=private",
    ):
        hub = hub_with(broker_url=url)
        nitro.connect_broker()
        for session_url in (f"sqlite:///{tmp_path}/events.db", f"sqlite:///file:{tmp_path}/events.db?uri=true"):
            engine = create_engine(make_url(session_url))
            with Session(engine) as session:
                nitro.emit("a.b", result=1, session=session)
                session.commit()
            engine.dispose()
        hub.broker.close(1)
    assert [path.name for path in tmp_path.glob("*.db")] == ["events.db"]
