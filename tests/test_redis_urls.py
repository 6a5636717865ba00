"""The ways to a Redis: a cluster, Sentinel, a socket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from nitro.testing.conformance import RETENTION, End, eventually
from tests.brokers import Broker
from tests.servers import free_port
from tests.services import RedisServer, Service


class Sentinel(Service):
    """A Sentinel that watches `master`."""

    def __init__(self, directory: Path, master: RedisServer) -> None:
        super().__init__(directory)
        self.master = master

    def command(self) -> list[str]:
        file = self.directory / "sentinel.conf"
        file.write_text(f"port {self.port}\nbind 127.0.0.1\nsentinel monitor mine 127.0.0.1 {self.master.port} 1\n")
        return [self.master.command()[0], str(file), "--sentinel"]


@contextlib.contextmanager
def cluster(directory: Path) -> Iterator[str]:
    server = RedisServer(directory / "cluster")
    while server.port > 55_535:  # the cluster's own port is 10,000 higher
        server.port = free_port()
    server.options = ("--cluster-enabled", "yes")
    with server:
        assert server.run("CLUSTER", "ADDSLOTSRANGE", "0", "16383") == b"+OK\r\n"
        yield f"redis+cluster://127.0.0.1:{server.port}"


@contextlib.contextmanager
def sentinel(directory: Path) -> Iterator[str]:
    with RedisServer(directory / "redis") as master, Sentinel(directory / "sentinel", master) as watching:
        yield f"redis+sentinel://127.0.0.1:{watching.port}/mine/0"


@contextlib.contextmanager
def socket(directory: Path) -> Iterator[str]:
    server = RedisServer(directory / "redis")
    server.options = ("--unixsocket", str(directory / "redis.sock"))
    with server:
        yield f"redis+unix://{directory / 'redis.sock'}"


@pytest.mark.parametrize("way", [cluster, sentinel, socket])
def test_events_get_across(way: contextlib.AbstractContextManager[str], tmp_path: Path) -> None:
    with way(tmp_path) as url:  # type: ignore[operator]
        broker, namespace = Broker(tmp_path), Broker.namespace()
        ends = [End(broker.log(namespace, RETENTION, url=url)) for _ in range(2)]
        try:
            for end in ends:
                eventually(lambda end=end: end.link.is_open, "the log is reached")  # type: ignore[misc]
            for n in range(200):
                ends[0].publish(b"%d" % n)
            ends[0].flush()
            eventually(lambda: len(ends[1].heard.messages) == 200, "all are heard")
            assert ends[1].heard.payloads == [b"%d" % n for n in range(200)]
        finally:
            for end in ends:
                end.link.close(0.1)
