"""Every broker against the conformance suite, on real servers that the tests start and may kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nitro.infrastructure.brokers.base import Log, Retention
from nitro.testing.conformance import RETENTION, LogConformance
from tests.brokers import BROKERS, Broker


class OnBroker(LogConformance):
    """The suite over one kind of broker, whose server all its tests share."""

    kind: str
    broker: Broker

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _started(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with BROKERS[cls.kind](tmp_path_factory.mktemp(cls.kind)) as cls.broker:
            yield

    def log(self, namespace: str, retention: Retention = RETENTION) -> Log:
        return self.broker.log(namespace, retention)

    def wipe(self, namespace: str) -> None:
        self.broker.wipe(namespace)

    def trim(self, namespace: str, up_to: int) -> None:
        self.broker.trim(namespace, up_to)

    def cut(self) -> None:
        self.broker.cut()


class TestSQLite(OnBroker):
    kind = "sqlite"


class TestRedis(OnBroker):
    kind = "redis"


class TestNats(OnBroker):
    kind = "nats"


class TestPostgres(OnBroker):
    kind = "postgresql"
