"""The ways to a Redis: a cluster, Sentinel, a socket, both protocols, TLS; and to a PostgreSQL: behind PgBouncer."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from nitro.testing.conformance import eventually
from tests.cast import check_events_get_across, ends_on
from tests.services import PgBouncer, PostgresServer, RedisCluster, RedisServer, Sentinel, Service


@contextlib.contextmanager
def cluster(directory: Path) -> Iterator[str]:
    with RedisCluster(directory / "cluster") as server:
        assert server.run("CLUSTER", "ADDSLOTSRANGE", "0", "16383") == b"+OK\r\n"
        yield f"redis+cluster://127.0.0.1:{server.port}"


@contextlib.contextmanager
def sentinel(directory: Path) -> Iterator[str]:
    with RedisServer(directory / "redis") as master, Sentinel(directory / "sentinel", master) as watching:
        yield f"{watching.url}/0"


@contextlib.contextmanager
def socket(directory: Path) -> Iterator[str]:
    server = RedisServer(directory / "redis")
    server.options = ("--unixsocket", str(directory / "redis.sock"))
    with server:
        yield f"redis+unix://{directory / 'redis.sock'}"


@contextlib.contextmanager
def resp2(directory: Path) -> Iterator[str]:
    with RedisServer(directory / "redis") as server:
        yield f"{server.url}?protocol=2"


@contextlib.contextmanager
def resp3(directory: Path) -> Iterator[str]:
    with RedisServer(directory / "redis") as server:
        yield f"{server.url}?protocol=3"


@contextlib.contextmanager
def cluster_in_resp3(directory: Path) -> Iterator[str]:
    with cluster(directory) as url:
        yield f"{url}?protocol=3"


class TLSRedis(RedisServer):
    """One with a certificate of its own, which its clients have to know."""

    def command(self) -> list[str]:
        certificate, key = str(self.directory / "it.crt"), str(self.directory / "it.key")
        request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
        subprocess.run([*request, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        tls = ["--tls-port", str(self.port), "--tls-cert-file", certificate, "--tls-key-file", key]
        return [*super().command(), "--port", "0", *tls, "--tls-ca-cert-file", certificate, "--tls-auth-clients", "no"]

    def is_up(self) -> bool:
        return Service.is_up(self)  # it takes no PING in clear


@contextlib.contextmanager
def tls(directory: Path) -> Iterator[str]:
    with TLSRedis(directory / "redis") as server:
        yield f"rediss://127.0.0.1:{server.port}?ssl_ca_certs={server.directory / 'it.crt'}"


@contextlib.contextmanager
def pgbouncer(directory: Path) -> Iterator[str]:
    with PostgresServer(directory / "postgres") as server, PgBouncer(directory / "pgbouncer", server) as bouncer:
        yield bouncer.url


@contextlib.contextmanager
def pgbouncer_of_transactions(directory: Path) -> Iterator[str]:
    pool = PgBouncer(directory / "pgbouncer", PostgresServer(directory / "postgres"), mode="transaction")
    with pool.postgres, pool:
        yield pool.url


@pytest.mark.parametrize(
    "way",
    [cluster, cluster_in_resp3, sentinel, socket, resp2, resp3, tls, pgbouncer, pgbouncer_of_transactions],
)
def test_events_get_across(way: contextlib.AbstractContextManager[str], tmp_path: Path) -> None:
    with way(tmp_path) as url:  # type: ignore[operator]
        check_events_get_across(url)


def test_a_master_that_sentinel_has_replaced_is_not_believed_where_the_log_stands(tmp_path: Path) -> None:
    """It acknowledges and answers, until Sentinel has told it; clients that come from others know more than it."""
    with (
        RedisServer(tmp_path / "first") as first,
        RedisServer(tmp_path / "second") as second,
        Sentinel(tmp_path / "sentinel", first) as watching,
        ends_on(watching.url, 1) as (end,),
    ):
        end.broker.publish("a.b", None, b"1")
        eventually(lambda: end.heard.payloads == [b"1"], "it is heard")
        before = end.broker.ask_head().result(10)
        assert before is not None
        watching.run("SENTINEL", "REMOVE", "mine")
        assert end.broker.ask_head().result(10) == before, "without an answer of Sentinel's it is"
        watching.run("SENTINEL", "MONITOR", "mine", "127.0.0.1", str(second.port), "1")
        heads = [end.broker.ask_head().result(10)]

        def is_there() -> bool:
            heads.append(end.broker.ask_head().result(10))
            return heads[-1] is not None

        eventually(is_there, "the log is there again")
        assert before.epoch not in {head.epoch for head in heads if head}
        end.broker.publish("a.b", None, b"2")
        eventually(lambda: end.heard.payloads == [b"1", b"2"], "it goes on at the other one")
