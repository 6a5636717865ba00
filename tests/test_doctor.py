"""`nitro doctor` against set-ups that are wrong, each in its own way, and against one that is right."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.answering import answering
from tests.commands import Command, run
from tests.servers import Server, free_port
from tests.services import NatsServer, PostgresServer, RedisServer
from tests.test_faults import FAKETIME
from tests.test_proxies import ReverseProxy, Way, nginx_with, recipe

APP = "tests.apps.rooms:app"
EVENTS = "/events?user=ann&topic=note"
HEARTBEAT = {"NITRO_HEARTBEAT_SECONDS": "1"}
TLS_PROXY = recipe("nginx").replace(":8000", ":APP").replace("listen 443 ssl http2", "listen 127.0.0.1:HERE ssl http2")


def examined(*arguments: str, **environment: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The facts and what is wrong, as JSON in a pipe."""
    done = run("doctor", *arguments, **environment)
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if found["wrong"] else 0)
    for finding in found["wrong"]:
        assert finding["what"] and finding["remedy"], finding
    return found["facts"], found["wrong"]


def checks(wrong: list[dict[str, str]]) -> list[str]:
    return sorted(finding["check"] for finding in wrong)


def through(tmp_path: Path, text: str, server: Server) -> ReverseProxy:
    return ReverseProxy(tmp_path / "proxy", Way("nginx", "nginx", text), server.port)


def test_of_a_right_set_up_it_says_nothing(tmp_path: Path) -> None:
    certificate, key = tmp_path / "it.crt", tmp_path / "it.key"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request, *names], check=True, capture_output=True)
    files = f"server {{ ssl_certificate {certificate}; ssl_certificate_key {key};"
    url = f"sqlite:///{tmp_path / 'events.db'}"
    with (
        Server(APP, environment={**HEARTBEAT, "NITRO_BROKER_URL": url}) as server,
        through(tmp_path, re.sub(r"server \{$", files, TLS_PROXY, flags=re.MULTILINE), server) as proxy,
    ):
        server.post("/note?text=hello")
        address = proxy.url.replace("http:", "https:") + EVENTS
        facts, wrong = examined("--url", address, NITRO_BROKER_URL=url, SSL_CERT_FILE=str(certificate))
        _, without = examined("--url", address, NITRO_BROKER_URL=url)
    assert wrong == []
    assert checks(without) == ["unreachable"]
    assert "set SSL_CERT_FILE" in without[0]["remedy"]
    assert facts["protocol"] == "HTTP/2"
    assert facts["heartbeat"] == "each 1 s"
    assert facts["at once"] == "20 of 20 streams"
    assert facts["log"].startswith("1 message, the oldest 0:00:0")
    assert facts["restart"].startswith("keeps all of them")


def test_a_proxy_that_buffers_is_found(tmp_path: Path) -> None:
    buffering = nginx_with("proxy_ignore_headers X-Accel-Buffering; gzip on; gzip_types *; gzip_proxied any;")
    with Server(APP, environment=HEARTBEAT) as server, through(tmp_path, buffering, server) as proxy:
        _, wrong = examined("--url", proxy.url + EVENTS)
    assert checks(wrong) == ["buffered", "http1"]


def test_compression_is_found(tmp_path: Path) -> None:
    packing = nginx_with("gzip on; gzip_types *; gzip_proxied any;")
    with Server(APP, environment=HEARTBEAT) as server, through(tmp_path, packing, server) as proxy:
        _, wrong = examined("--url", proxy.url + EVENTS)
    assert checks(wrong) == ["compressed", "http1"]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--appendonly", "no", "--save", ""), ["not-durable"]),
        (("--appendonly", "no", "--save", "60 1"), ["not-durable"]),
        (("--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), ["not-durable"]),
        (("--appendonly", "yes", "--appendfsync", "everysec"), []),
        (("--appendonly", "yes", "--appendfsync", "always"), []),
    ],
    ids=["nothing is kept", "snapshots", "keys are evicted", "each second", "always"],
)
def test_a_redis_that_loses_the_log_is_found(options: tuple[str, ...], found: list[str], tmp_path: Path) -> None:
    redis = RedisServer(tmp_path / "redis")
    redis.options = options
    with redis:
        facts, wrong = examined("--broker", redis.url)
    assert checks(wrong) == found
    assert facts["restart"].startswith("keeps all of them" if "always" in options else "keeps ")


def test_a_nats_that_keeps_the_log_in_memory_is_found(tmp_path: Path) -> None:
    with NatsServer(tmp_path / "nats") as nats:
        facts, wrong = examined("--broker", f"{nats.url}?storage=memory", NITRO_NAMESPACE="short")
        assert (checks(wrong), facts["restart"]) == (["not-durable"], "keeps none of them")
        facts, wrong = examined("--broker", nats.url)
        assert (checks(wrong), facts["restart"][:20]) == ([], "keeps all of them; b")


def test_a_table_of_postgresql_that_a_crash_empties_is_found(tmp_path: Path) -> None:
    with PostgresServer(tmp_path / "postgresql") as postgresql:
        facts, wrong = examined("--broker", postgresql.url)
        assert (wrong, facts["restart"][:17]) == ([], "keeps all of them")
        asyncio.run(spoil(postgresql.url))
        facts, wrong = examined("--broker", postgresql.url)
    assert (checks(wrong), facts["restart"]) == (["not-durable", "not-durable"], "keeps not all")
    assert "fsync" in wrong[0]["what"]
    assert "UNLOGGED" in wrong[1]["what"]


async def spoil(url: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in (
        "ALTER TABLE nitro_messages SET UNLOGGED",
        "ALTER SYSTEM SET fsync = off",
        "SELECT pg_reload_conf()",
    ):
        await connection.execute(statement)
    while await connection.fetchval("SHOW fsync") == "on":
        await asyncio.sleep(0.02)
    await connection.close()


def test_a_short_log_and_a_misspelt_setting_are_found() -> None:
    _, wrong = examined(NITRO_HISTORY_MESSAGES="10", NITRO_HISTROY_SECONDS="300", NITRO_HISTORY_SECONDS="5")
    assert checks(wrong) == ["setting", "short-log", "short-log"]
    assert wrong[0]["remedy"] == "is NITRO_HISTORY_SECONDS meant?"
    assert "10 messages" in wrong[1]["what"]


def test_a_log_that_is_full_within_seconds_is_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    with Server(APP, environment={"NITRO_BROKER_URL": url, "NITRO_HISTORY_MESSAGES": "200"}) as server:
        start = time.monotonic()
        server.post("/note?text=hello&count=300")
        _, wrong = examined("--broker", url, NITRO_HISTORY_MESSAGES="200")
        seconds = time.monotonic() - start
    assert checks(wrong) == ["short-log"]
    found = re.search(r"the log is full, and reaches back (\d+) s only", wrong[0]["what"])
    assert found and int(found[1]) <= round(seconds)


def test_an_application_in_another_namespace_is_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    environment = {**HEARTBEAT, "NITRO_BROKER_URL": url, "NITRO_NAMESPACE": "shop"}
    with Server(APP, environment=environment) as server:
        server.post("/note?text=hello")
        _, wrong = examined("--url", server.url + EVENTS, "--broker", url)
        assert checks(wrong) == ["http1", "other-log"]
        _, wrong = examined("--url", server.url + EVENTS, "--broker", url, NITRO_NAMESPACE="shop")
        assert checks(wrong) == ["http1"]


def test_a_file_that_can_not_be_written_is_found(tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    run("emit", "a.b", "1", "--broker", f"sqlite:///{file}")
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with open(file, "r+b") as opened:
        opened.seek(18)
        opened.write(b"\x03")  # the format's write version: SQLite only reads a file whose version it doesn't know
    _, wrong = examined("--broker", f"sqlite:///{file}")
    assert checks(wrong) == ["refused"]
    assert "can't be written" in wrong[0]["what"]


def test_http_1_is_found_and_a_broker_that_is_away() -> None:
    with Server(APP, environment=HEARTBEAT) as server:
        _, wrong = examined("--url", server.url + EVENTS)
        assert checks(wrong) == ["http1"]
        broker = f"redis://ann:secret@127.0.0.1:{free_port()}"
        _, wrong = examined("--url", server.url + EVENTS, "--broker", broker, "--timeout", "1")
    assert checks(wrong) == ["http1", "unreachable"]
    assert "secret" not in str(wrong)
    assert "NITRO_BROKER_URL" not in str(wrong)


@pytest.mark.skipif(not FAKETIME.exists(), reason="LOUD: no libfaketime, so no clock is wrong; apt install faketime")
@pytest.mark.parametrize("offset", ["+3600s", "-60s"])
def test_a_clock_that_is_wrong_is_found(offset: str) -> None:
    preload = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": offset, "DONT_FAKE_MONOTONIC": "1"}
    with Server(APP, environment={**HEARTBEAT, **preload}) as server:
        _, wrong = examined("--url", server.url + EVENTS)
    assert checks(wrong) == ["clock", "http1"]
    assert ("ahead" if offset[0] == "+" else "behind") in wrong[-1]["what"] + wrong[0]["what"]


def test_a_proxy_that_cuts_before_the_heartbeat_is_found(tmp_path: Path) -> None:
    impatient = nginx_with("proxy_read_timeout 2s;")
    with (
        Server(APP, environment={"NITRO_HEARTBEAT_SECONDS": "5"}) as server,
        through(tmp_path, impatient, server) as proxy,
    ):
        _, wrong = examined("--url", proxy.url + EVENTS)
    assert checks(wrong) == ["cut", "http1"]
    [cut] = [finding for finding in wrong if finding["check"] == "cut"]
    assert "NITRO_HEARTBEAT_SECONDS to 1," in cut["remedy"]


def test_a_server_that_takes_few_connections_is_found() -> None:
    with Server(APP, environment=HEARTBEAT, options=("--limit-concurrency", "10")) as server:
        _, wrong = examined("--url", server.url + EVENTS)
    assert checks(wrong) == ["http1", "limited"]
    [limited] = [finding for finding in wrong if finding["check"] == "limited"]
    assert "503" in limited["what"] and "--limit-concurrency" in limited["remedy"]


@pytest.mark.parametrize(
    ("path", "found", "text"),
    [
        ("/events?user=ann&topic=secret", "refused", "403"),
        ("/members/a", "no-stream", "application/json"),
        ("/nowhere", "refused", "404"),
    ],
)
def test_what_is_no_stream_is_told(path: str, found: str, text: str) -> None:
    with Server(APP, environment=HEARTBEAT) as server:
        _, wrong = examined("--url", server.url + path)
        assert checks(wrong) == [found]
        assert text in str(wrong)
        _, wrong = examined("--url", server.url.replace("http:", "https:") + path)
    assert checks(wrong) == ["unreachable"]
    assert "write http://" in wrong[0]["remedy"]


STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
GREETING = b'data: nitro.stream\ndata: {"heartbeat":1,"retry":2000}\n\n'


@pytest.mark.parametrize("beginning", [b"data: hello\r\n\r\n", b""], ids=["of others", "silent"])
def test_a_stream_that_never_greets_is_no_stream_of_nitros(beginning: bytes) -> None:
    with answering(lambda _: STREAM + b"\r\n" + beginning) as url:
        _, wrong = examined("--url", f"{url}/events", "--timeout", "1")
    assert checks(wrong) == ["no-stream"]
    assert "text/event-stream" in wrong[0]["what"]


def test_behind_what_holds_whole_answers_back_nothing_is_limited() -> None:
    whole = STREAM + b"content-length: %d\r\n\r\n%b" % (len(GREETING), GREETING)
    with answering(lambda line: whole if "probe=1" in line else b"") as url:
        facts, wrong = examined("--url", f"{url}/events", "--timeout", "1")
    assert checks(wrong) == ["buffered", "http1"]
    assert facts["at once"] == "0 of 20 streams"


def test_redirects_are_followed_and_told() -> None:
    with Server(APP, environment=HEARTBEAT) as server:

        def moved(line: str) -> bytes:
            place = f"{server.url}{line.split()[1].removeprefix('/old')}"
            return f"HTTP/1.1 307 Temporary Redirect\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n".encode()

        with answering(moved) as url:
            facts, wrong = examined("--url", f"{url}/old{EVENTS}")
    assert checks(wrong) == ["http1"]
    assert (facts["stream"], facts["redirected"]) == (f"{url}/old/events", f"to {server.url}/events")
    assert facts["at once"] == "20 of 20 streams"


@pytest.mark.parametrize("url", ["nonsense", "http://[::1", "http://host:port/", "https://x/\n"])
def test_what_is_no_url_is_told_in_one_line(url: str) -> None:
    done = run("doctor", "--url", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("nitro: ") and done.stderr.count("\n") == 1


def test_a_stream_that_the_application_ends_before_its_heartbeat_is_right() -> None:
    with Server(APP, environment={"NITRO_HEARTBEAT_SECONDS": "5", "NITRO_MAX_STREAM_SECONDS": "1"}) as server:
        facts, wrong = examined("--url", server.url + EVENTS)
    assert checks(wrong) == ["http1"]
    assert facts["ended"].startswith("by the application after 1 s")


def test_nobody_there_and_a_wrong_command_are_told() -> None:
    _, wrong = examined("--url", f"http://127.0.0.1:{free_port()}/events")
    assert checks(wrong) == ["unreachable"]
    done = run("doctor", "--header", "a: b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "nitro: --header belongs to --url\n"


def test_on_a_terminal_each_finding_is_followed_by_its_remedy() -> None:
    with (
        Server(APP, environment=HEARTBEAT) as server,
        Command("doctor", "--url", server.url + EVENTS, on_terminal=True) as command,
    ):
        command.until("six connections")
        command.until("→ let a proxy with TLS")
        assert command.wait() == 1
