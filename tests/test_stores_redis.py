"""The Redis store of streams against the conformance suite, on a real server."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from nitro.streams.base import Store
from nitro.streams.stores.redis import RedisStore
from nitro.testing.conformance.stores import StoreConformance
from tests.brokers import Redis


class TestRedisStore(StoreConformance):
    broker: Redis

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _started(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with Redis(tmp_path_factory.mktemp("redis")) as cls.broker:
            yield

    def store(self, namespace: str) -> Store:
        return RedisStore(self.broker.url, namespace)

    def cut(self) -> None:
        for kind in ("normal", "pubsub"):
            self.broker.server.run("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")

    def leftovers(self, namespace: str) -> int:
        return len(keys_of(self.broker.port, namespace))


def keys_of(port: int, namespace: str) -> list[str]:
    """The Redis keys of that namespace."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection, connection.makefile("rb") as answer:
        connection.sendall(b"KEYS nitro:{%b*\r\n" % f"{namespace}/".encode())
        count = int(answer.readline()[1:])
        return [answer.read(int(answer.readline()[1:]) + 2)[:-2].decode() for _ in range(count)]
