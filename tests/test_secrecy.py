"""Passwords in the URLs of brokers and databases: nobody reads them in a log, an error, a traceback or a `repr`."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from redis.exceptions import ResponseError
from sqlalchemy import make_url

import nitro
from nitro.brokers.base import DiagnosingLog
from nitro.brokers.nats import client as nats_client
from nitro.brokers.nats.log import NatsLog
from nitro.brokers.postgresql import dsn
from nitro.brokers.postgresql.dsn import target_of
from nitro.brokers.redis import source as redis_client
from nitro.brokers.redis.source import RedisSource
from nitro.brokers.sqlite import file as sqlite_file
from nitro.brokers.urls import make_log
from nitro.delivery.hub import Hub
from nitro.errors import BrokerRefused, ConfigurationError
from nitro.redaction import SecretUrl, without_secrets
from nitro.repository.repository import SQLModelRepository
from nitro.settings import Settings, get_settings
from nitro.streams.access import Access
from nitro.streams.urls import make_store
from nitro.testing.conformance import RETENTION
from nitro.testing.nemesis.run import Plan
from tests.cast import check_events_get_across
from tests.servers import ROOT
from tests.services import NatsServer, RedisServer

SECRET = "S3cret"
HARD = "p/a#s?s@w[o]r%d%zz&=+:;, é℀'\"\\"
"""A password with everything that is special in a URL."""


def make(url: str) -> object:
    return make_log(url, "app", RETENTION, max_payload_bytes=1 << 20)


def told_by(act: Callable[[], object]) -> str:
    """What is said of it, or the whole traceback of its error."""
    try:
        return repr(act())
    except Exception as error:  # noqa: BLE001 - drivers' own, too
        return f"{error!r}\n{''.join(traceback.format_exception(error))}"


# --- any password


SERVERS = ("redis", "rediss", "redis+sentinel", "redis+cluster", "nats", "tls", "postgresql", "postgresql+psycopg")
FORMS = (
    *("{scheme}://user:{password}@127.0.0.1:1/{db}", "{scheme}://:{password}@127.0.0.1", "{scheme}:user:{password}@h"),
    *("{scheme}://u:{password}@[::1]:1,h:2/m/0?x=y", "{scheme}://a:{password}@h,b:{password}@i", "{password}@h:1"),
    *("{scheme}://a:{password}@h:1,{scheme}://b:{password}@h:2", "{scheme}://h/d?user=u&password={password}"),
    *("{scheme}:///d?host=h&sslpassword={password}", "redis+unix://user:{password}@/run/redis.sock?db=1"),
    *("redis+unix:///run/redis.sock?password={password}", "nats://{password}@h:4222", ":{password}@h"),
    *("mysql+pymysql://user:{password}@h/d", "sqlite+pysqlcipher://:{password}@/file.db?cipher=aes-256-cfb"),
)
passwords = st.builds(
    "{}{}{}".format,
    st.text("/?#@[]%:,;&=+. \t\n\r\\'\"a1é℀\udcff", max_size=6),
    st.just(SECRET),
    st.text("/?#@[]%:,;&=+. \t\n\r\\'\"a1é℀\udcff", max_size=6),
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FORMS), st.sampled_from(SERVERS), passwords)
@example("{scheme}://h/d?user=u&password={password}", "postgresql", f"p@{SECRET}")
@example("{scheme}://h/d?user=u&password={password}", "postgresql", f"p&{SECRET}")
@example("{scheme}://h/d?user=u&password={password}", "postgresql", f"p&{SECRET}.x")
@example("{scheme}://user:{password}@127.0.0.1:1/{db}", "postgresql", f"p@{SECRET}/x")
@example("{scheme}://user:{password}@127.0.0.1:1/{db}", "postgresql", f"p@{SECRET}?application_name=x")
@example("{scheme}://user:{password}@127.0.0.1:1/{db}", "postgresql+psycopg", f"p@w:{SECRET}")
@example("{scheme}://user:{password}@127.0.0.1:1/{db}", "redis", f"{SECRET}℀")
@example("{scheme}://user:{password}@127.0.0.1:1/{db}", "redis", f"[{SECRET}]")
@example("nats://{password}@h:4222", "nats", f"?{SECRET}&")
@example("nats://{password}@h:4222", "nats", f"?{SECRET}=")
@example("nats://{password}@h:4222", "nats", f"?a=b&{SECRET}=c&d")
def test_no_password_of_any_characters_is_shown(form: str, scheme: str, password: str) -> None:
    assume(not (form.startswith("{password}") and f"{SECRET}://" in password))  # that is a scheme
    url = form.format(scheme=scheme, password=password, db="0" if scheme.startswith("redis") else "")
    assert SECRET not in without_secrets(url)
    assert SECRET not in told_by(lambda: make(url))
    assert SECRET not in told_by(lambda: SQLModelRepository(url))
    assert SECRET not in told_by(lambda: SQLModelRepository(url).engine.dialect)
    read = Settings(broker_url=url, db_url=url)
    assert SECRET not in f"{read} {read!r} {read.model_dump()} {vars(read)} {Plan(url, Path(), 1, 1)}"


@settings(deadline=None)
@given(st.sampled_from(["redis", "redis+sentinel", "nats", "postgresql"]), st.text(st.characters(codec="utf-8")))
@example("redis", HARD)
@example("redis+sentinel", HARD)
@example("nats", HARD)
@example("postgresql", HARD)
def test_a_password_that_is_percent_encoded_comes_to_the_driver_as_it_is(scheme: str, password: str) -> None:
    url = f"{scheme}://user:{quote(password, safe='')}@h/{'mine/0' if 'sentinel' in scheme else ''}"
    assert _password(url) == (password or None if scheme.startswith("redis") else password)


@settings(deadline=None)
@given(st.sampled_from(["redis", "redis+sentinel", "nats", "postgresql"]), passwords)
def test_a_password_that_is_not_is_refused_or_is_what_it_seems(scheme: str, password: str) -> None:
    url = f"{scheme}://user:{password}@h/{'mine/0' if 'sentinel' in scheme else ''}"
    try:
        found = _password(url)
    except ConfigurationError as error:
        assert "%2F" in str(error)  # noqa: PT017 - it may be refused, or not
    else:
        seems = "".join(each for each in password if each not in "\t\r\n")
        assert found == unquote(seems)
        assert not set("/?#") & set(seems)


def _password(url: str) -> str | None:
    if url.startswith("redis"):
        found = RedisSource(url).client().connection_pool.connection_kwargs.get("password")
        return None if found is None else str(found)
    if url.startswith("nats"):
        log = make(url)
        assert isinstance(log, NatsLog)
        return str(log._place.access["password"])
    return unquote(urlsplit(target_of(url).url).password or "")


# --- what is shown, and what is refused


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("redis://ann:pw@h:6379/0?client_name=x", "redis://h:6379/0"),
        ("redis://h", "redis://h"),
        ("nats://ann:pw@h:4222,[::1]:4222?replicas=3", "nats://h:4222,[::1]:4222"),
        ("postgresql://ann:p@w/d@h/d", "postgresql://h/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql:///d"),
        ("sqlite:///a@b/c#d:e.db?mode=rwc", "sqlite:///a@b/c#d:e.db"),
        ("redis+unix:///run/a@b/redis.sock?db=1", "redis+unix:///run/a@b/redis.sock"),
        ("redis+unix://ann:pw@/run/redis.sock", "redis+unix:///run/redis.sock"),
        ("postgresql://h/d?user=u&password=p@w", "postgresql:…"),
        ("redis://ann:pw", "redis:…"),
        ("redis:ann:pw", "redis:…"),
        ("redis:ann:pw@h", "a URL that can't be taken apart"),
        ("pw@h", "a URL that can't be taken apart"),
        ("", "a URL that can't be taken apart"),
    ],
)
def test_a_url_is_shown_without_user_password_and_options(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@pytest.mark.parametrize("scheme", ["redis", "rediss", "redis+sentinel", "redis+cluster", "nats", "tls", "postgresql"])
@pytest.mark.parametrize(
    "where",
    ["ann:p/w@h/d", "ann:p#w@h/d", "ann:p?w@h/d", "ann:12/3@h/d", "ann:12?db=3@h/d", "ann:p@w/x@h", "a:p@h,b:p@i"],
)
def test_a_password_that_ends_too_early_is_refused_with_the_remedy(scheme: str, where: str) -> None:
    with pytest.raises(ConfigurationError, match=r"host can't be told: in user and password write %2F for /.*quote\("):
        make(f"{scheme}://{where}")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ann:p@w@h/d",
        "postgresql://ann:p@w/x@h/d",
        "postgresql://ann:p@w:x@h/d",
        "postgresql://a/nn:pw@h/d",
        "postgresql://ann:p@/w@h/d",
        "mysql://ann:pw@h/d?x=a@b",
    ],
)
def test_a_database_whose_host_can_not_be_told_is_refused_with_the_remedy(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"host can't be told: in user and password write %2F for /.*quote\("):
        SQLModelRepository(url).engine


def test_a_database_may_have_whatever_sqlalchemy_understands(tmp_path: Path) -> None:
    for password in (quote(HARD, safe=""), "p/w", "p#w", "p?w", "p[w"):
        for host in ("h:1/d", "/d?host=/run/postgresql"):
            engine = SQLModelRepository(f"postgresql+psycopg://ann@home:{password}@{host}").engine
            assert engine.url.password == unquote(password)
            assert engine.url.username == "ann@home"
    SQLModelRepository("postgresql+psycopg:///d?user=ann&password=p@w").engine
    url = f"postgresql+psycopg://ann:{quote(HARD, safe='')}@h/d"
    for given_as in (make_url(url), SecretStr(url), SecretUrl(url)):
        assert SQLModelRepository(given_as).engine.url.password == HARD
    (tmp_path / "a@b").mkdir()
    for name in ("c@d.db", "e#f.db", "g:h.db"):
        repository = SQLModelRepository(f"sqlite:///{tmp_path}/a@b/{name}")
        repository.init_db()
        repository.close()
        assert (tmp_path / "a@b" / name).exists()


def test_a_log_in_a_file_may_have_any_path(tmp_path: Path, hub_with: Callable[..., Hub]) -> None:
    (tmp_path / "a@b").mkdir()
    for name in ("c@d.db", "e#f.db", "g:h.db"):
        hub = hub_with(broker_url=f"sqlite:///{tmp_path}/a@b/{name}")
        nitro.emit("a.b", result=1)
        nitro.flush()
        assert f"{tmp_path}/a@b/{name}:" in repr(hub.broker)
        assert (tmp_path / "a@b" / name).exists()
        hub.broker.close(1)
    make("redis+unix:///run/a@b/redis.sock?db=1")


def test_a_key_in_the_place_of_its_file_is_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="sslkey must be the path of a file") as refusal:
        make(f"postgresql://h/d?sslkey=-----BEGIN PRIVATE KEY-----%0A{SECRET}")
    assert SECRET not in str(refusal.value)


OPTIONS = {
    "postgresql": {*dsn._TAKEN, *dsn._SERVER, *dsn._RENAMED, *dsn._ASYNCPG, *dsn._NEEDLESS, *dsn._DROPPED}
    | {*dsn._REFUSED},
    "redis": redis_client._TAKEN | redis_client._TLS | redis_client._NEEDLESS | {"ssl", "tls"},
    "nats": {*nats_client._OPTIONS},
    "sqlite": {"uri", "mode", *sqlite_file._IGNORED, *sqlite_file._REFUSED},
}


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        pytest.param("postgresql://127.0.0.1:1/d?sslmode=require", "postgresql", marks=pytest.mark.slow),
        ("redis://127.0.0.1:1/0?db=0", "redis"),
        pytest.param("rediss://127.0.0.1:1/0?db=0", "redis", marks=pytest.mark.slow),
        ("redis+cluster://127.0.0.1:1/?db=0", "redis"),
        ("nats://127.0.0.1:1?replicas=1", "nats"),
        ("sqlite:////nowhere/events.db?cache=private", "sqlite"),
    ],
)
def test_no_value_of_an_option_is_repeated_at_the_start_or_when_it_is_opened(
    url: str, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    def open_it(name: str, value: str) -> object:
        log = make_log(f"{url}&{name}={value}", "app", RETENTION, max_payload_bytes=1 << 20)
        try:
            return asyncio.run(log.open())
        except Exception as error:
            assert isinstance(log, DiagnosingLog)
            raise RuntimeError(f"{log.name}: {log.why_refused(error)}") from error

    caplog.set_level(logging.INFO)
    for name in sorted(OPTIONS[scheme]):
        for value in (SECRET, f"/nowhere/{SECRET}.pem", f"-----BEGIN PRIVATE KEY-----%0A{SECRET}"):
            told = told_by(partial(open_it, name, value))
            assert "Traceback" in told, "it can be opened"
            assert SECRET not in told, f"{name}={value}"
    assert SECRET not in caplog.text


# --- settings


def test_settings_show_their_urls_without_secrets(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NITRO_BROKER_URL", f"redis://ann:{SECRET}@h:1/0?client_name=x")
    monkeypatch.setenv("NITRO_DB_URL", f"postgresql://ann:{SECRET}@h/d")
    get_settings.cache_clear()
    read = get_settings()
    assert "broker_url=SecretUrl('redis://h:1/0')" in repr(read)
    assert "db_url=SecretUrl('postgresql://h/d')" in str(read)
    assert read.db_url.get_secret_value() == f"postgresql://ann:{SECRET}@h/d"
    for all_of_them in (read.model_dump(), read.model_dump_json(), vars(read), read):
        assert SECRET not in f"{all_of_them} {all_of_them!r}"
    monkeypatch.setenv("NITRO_MAX_CLIENTS", f"redis://ann:{SECRET}@h")
    monkeypatch.setenv("NITRO_HEARTBEAT_SECONDS", "-1")
    get_settings.cache_clear()
    told = told_by(get_settings)
    assert "NITRO_MAX_CLIENTS is 'redis://h': " in told
    assert "NITRO_HEARTBEAT_SECONDS is '-1': " in told
    assert SECRET not in told
    assert SECRET not in told_by(lambda: Settings(broker_url=[f"redis://ann:{SECRET}@h"]))


# --- all that a process prints


BROKERS = [
    "redis://user:S3cret/tail@127.0.0.1:1/0",
    "redis://user:S3cret#tail@127.0.0.1:1/0",
    "redis://user:S3cret?tail@127.0.0.1:1/0",
    "redis://user:S3cret@127.0.0.1:port/0",
    "redis://user:S3cret[@127.0.0.1:1/0",
    "redis://user:S3cret℀@127.0.0.1:1/0",
    "redis://user:[S3cret]@127.0.0.1:1/0",
    "redis://:S3cret@127.0.0.1:1/0?foo=S3cret",
    "redis://:S3cret@127.0.0.1:1/0",
    "redis://127.0.0.1:1/0?password=S3cret",
    "redis:user:S3cret@127.0.0.1",
    "rediss://user:S3cret@127.0.0.1:1",
    "redis+unix://user:S3cret@/nowhere/redis.sock",
    "redis+sentinel://user:S3cret/t@127.0.0.1:1/m/0",
    "redis+sentinel://user:S3cret@127.0.0.1:port/m/0",
    "redis+sentinel://user:S3cret@127.0.0.1:1/m/0",
    "redis+cluster://user:S3cret#t@127.0.0.1:1",
    "redis+cluster://user:S3cret@127.0.0.1:1",
    "nats://user:S3cret/tail@127.0.0.1:1",
    "nats://user:S3cret#tail@127.0.0.1:1",
    "nats://user:S3cret@127.0.0.1:port",
    "nats://S3cret@127.0.0.1:1",
    "nats://a:S3cret@127.0.0.1:1,b:S3cret@127.0.0.1:1",
    "postgresql://user:S3cret/tail@127.0.0.1:1/db",
    "postgresql://user:S3cret#tail@127.0.0.1:1/db",
    "postgresql://user:p@S3cret/tail@127.0.0.1:1/db",
    "postgresql://user:S3cret@127.0.0.1:port/db",
    "postgresql://user:S3cret%zz@127.0.0.1:1/db",
    "postgresql:///db?host=127.0.0.1&port=1&user=u&password=p@S3cret",
    "redis://user:S3cret",
    "user:S3cret@127.0.0.1",
    "S3cret@127.0.0.1",
]
DATABASES = [
    "postgresql+psycopg://user:S3cret/tail@127.0.0.1:1/db",
    "postgresql+psycopg://user:S3cret?tail@127.0.0.1:1/db",
    "postgresql+psycopg://user:p@S3cret@127.0.0.1:1/db",
    "postgresql+psycopg://user:p@S3cret/tail@127.0.0.1:1/db",
    "postgresql+psycopg://user:p@w:S3cret@127.0.0.1:1/db",
    "postgresql+psycopg://user:S3cret@127.0.0.1:port/db",
    "postgresql+psycopg://127.0.0.1:1/db?user=u&password=S3cret",
    "postgresql+psycopg://user:S3cret@127.0.0.1:1/db?colour=S3cret",
    "postgresql+psycopg://us/er:S3cret@127.0.0.1:1/db",
    "postgresql://user:S3cret",
    "postgresql:user:S3cret@127.0.0.1",
    "sqlite://user:S3cret@h/x",
    "nosuch://user:S3cret@h/x",
]
USES = """
import json, logging, os, sys, time, traceback
logging.basicConfig(level=logging.DEBUG)
import nitro
from nitro.delivery import process
from nitro.repository.repository import default_repository
from nitro.settings import get_settings

def try_it(act):
    try:
        print(repr(act()))
    except Exception:
        traceback.print_exc()

def look_at(hub):
    process._hub = hub
    deadline = time.monotonic() + 20
    while hub.broker.state.why_gone == "it was not reached yet" and time.monotonic() < deadline:
        time.sleep(0.01)
    try_it(lambda: nitro.connect_broker(0))
    try_it(lambda: nitro.flush(0))
    try_it(lambda: (hub.broker, hub.broker._remote, hub.broker.state, nitro.statistics()))
    hub.broker.close(0)

def use_database():
    try_it(lambda: default_repository())
    try_it(lambda: default_repository().init_db())
    return default_repository()

hubs = []
for name, url in json.load(sys.stdin):
    sys.stdout.write("URL\\n")  # at once, since threads write, too
    sys.stdout.flush()
    os.environ[name] = url
    get_settings.cache_clear()
    try_it(lambda: (get_settings(), get_settings().model_dump(), get_settings().model_dump_json()))
    process._hub = None
    try_it(use_database if name == "NITRO_DB_URL" else lambda: nitro.emit("a.b", result=1))
    hubs += [process._hub] if process._hub else []
    os.environ.pop(name)
for hub in hubs:
    look_at(hub)
"""


def test_a_process_prints_no_password_whatever_its_url_is() -> None:
    urls = [("NITRO_BROKER_URL", url) for url in BROKERS] + [("NITRO_DB_URL", url) for url in DATABASES]
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", USES],
        input=json.dumps(urls),
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.count("URL\n") == len(urls)
    assert done.stdout.count("can't be used: ") > 10
    assert done.stdout.count("ConfigurationError: ") > 20
    assert [line for line in done.stdout.splitlines() if SECRET in line] == []


# --- what servers say


@pytest.mark.parametrize(("command", "protocol"), [("HELLO", 3), ("AUTH", 2)])
@pytest.mark.parametrize("password", [SECRET, SECRET * 40])
def test_a_redis_that_repeats_a_login_in_its_error_is_not_repeated(
    command: str,
    protocol: int,
    password: str,
    tmp_path: Path,
    hub_with: Callable[..., Hub],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    server = RedisServer(tmp_path)
    server.options = ("--rename-command", command, "")
    with server:
        assert SECRET.encode() in server.run(command, "ann", SECRET)
        hub = hub_with(broker_url=f"redis://ann:{password}@127.0.0.1:{server.port}?protocol={protocol}")
        with pytest.raises(BrokerRefused, match=f"unknown command '{command}'. So take Redis 6.2") as refusal:
            nitro.connect_broker()
        told = f"{refusal.value} {hub.broker!r} {hub.broker.state} {nitro.statistics()} {caplog.text}"
        hub.broker.close(0)
        store = make_store(hub.settings.broker_url.get_secret_value(), "app")
        told += told_by(lambda: asyncio.run(Access(store).open()))
    assert f"unknown command '{command}'" in caplog.text
    assert f"streams can't be kept in {store.name}: the server says: unknown command '{command}'" in told
    assert SECRET not in told


def test_why_a_store_is_not_reached_is_told_whatever_its_driver_shows_and_without_a_login() -> None:
    class Shy(ResponseError):
        def __repr__(self) -> str:
            return "server:ResponseError"

    async def answer(error: Exception) -> None:
        raise error

    def told_of(error: Exception) -> str:
        return told_by(lambda: asyncio.run(Access(make_store("memory://", "app")).reached(answer(error))))

    assert "memory://, can't be reached: Shy: OOM" in told_of(Shy("OOM"))
    assert "can't be reached: it did not answer in time" in told_of(TimeoutError())
    assert "can't be reached: TimeoutError: no server answers" in told_of(TimeoutError("no server answers"))
    assert "in answer" in told_of(TypeError("a mistake")), "where it was made"
    echo = ResponseError(f"unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'ann' '{SECRET}' ")
    told = told_of(echo)
    assert "can't be reached: ResponseError: unknown command 'HELLO'" in told
    assert SECRET not in told
    lost = ConnectionError("lost")
    lost.__cause__ = echo
    assert SECRET not in told_of(lost)


def test_a_password_with_everything_in_it_logs_in(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis:
        for password, written in ((HARD, quote(HARD, safe="")), ("p[w%zz", "p[w%zz"), ("p@w", "p@w")):
            assert redis.run("ACL", "SETUSER", "ann", "on", "resetpass", f">{password}", "~*", "+@all") == b"+OK\r\n"
            check_events_get_across(f"redis://ann:{written}@127.0.0.1:{redis.port}")
    nats = NatsServer(tmp_path / "nats")
    nats.more = f"authorization {{ user: ann, password: {json.dumps(HARD, ensure_ascii=False)} }}\n"
    with nats:
        check_events_get_across(f"nats://ann:{quote(HARD, safe='')}@127.0.0.1:{nats.port}")
