"""The NATS store against the conformance suite, on a nats-server that the tests start."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from nitro.streams.base import Store
from nitro.streams.stores.nats import NatsStore
from nitro.testing.conformance.stores import StoreConformance
from tests.brokers import Nats
from tests.services import administer


class TestNatsStore(StoreConformance):
    broker: ClassVar[Nats]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _started(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with Nats(tmp_path_factory.mktemp("nats")) as cls.broker:
            yield

    def store(self, namespace: str) -> Store:
        return NatsStore(self.broker.url, namespace)

    def cut(self) -> None:
        self.broker.cut()

    def leftovers(self, namespace: str) -> int:
        async def count(connection: Client) -> int:
            try:
                info = await connection.jetstream().stream_info(f"nitro_{namespace}_streams")
            except NotFoundError:
                return 0
            return int(info.state.messages)

        with ThreadPoolExecutor(1) as elsewhere:  # it is called in a running loop, too
            return elsewhere.submit(administer, self.broker.server.url, count).result()
