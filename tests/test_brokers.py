"""Every broker against the conformance suite, on real servers that the tests start and may kill."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nitro.brokers import base
from nitro.brokers.base import Log, Retention
from nitro.brokers.memory import MemoryBroker
from nitro.brokers.postgresql import log as postgres
from nitro.messages.message import Message
from nitro.testing.conformance import RETENTION, Heard, LogConformance
from nitro.testing.conformance.delivery import DeliveryTests
from tests.brokers import BROKERS, Broker, PooledPostgres


class OnBroker(LogConformance):
    """The suite over one kind of broker, whose server all its tests share."""

    kind: str
    broker: Broker

    @pytest.mark.alone
    def test_who_waits_is_woken_by_a_message_and_does_not_wait_for_its_time(self) -> None:
        super().test_who_waits_is_woken_by_a_message_and_does_not_wait_for_its_time()

    @pytest.mark.alone
    def test_reading_goes_on_behind_a_sequence_a_page_at_a_time(self) -> None:
        super().test_reading_goes_on_behind_a_sequence_a_page_at_a_time()

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _started(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with cls.make(tmp_path_factory.mktemp(cls.kind)) as cls.broker:
            yield

    @classmethod
    def make(cls, directory: Path) -> Broker:
        return BROKERS[cls.kind](directory)

    def log(self, namespace: str, retention: Retention = RETENTION) -> Log:
        return self.broker.log(namespace, retention)

    def wipe(self, namespace: str) -> None:
        self.broker.wipe(namespace)

    def trim(self, namespace: str, up_to: int) -> None:
        self.broker.trim(namespace, up_to)

    def save(self, namespace: str) -> Callable[[], object]:
        return self.broker.save(namespace)

    def archive(self, namespace: str) -> Callable[[], object]:
        return self.broker.archive(namespace)

    def damage(self, namespace: str) -> None:
        self.broker.damage(namespace)

    def cut(self) -> None:
        self.broker.cut()


class SharedEnd(Heard):
    """What an end of a log is for the suite, where all ends are in the process whose memory the log is in."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__()
        self.heard = self
        self.broker: base.Broker = broker

    def publish(self, payload: bytes, topic: str = "a.b") -> None:
        self.broker.publish(topic, None, payload)

    def flush(self) -> None:
        assert self.broker.acknowledgement() is None


class Shared(Heard):
    """Hands on what the broker delivers to every end."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[SharedEnd] = []

    def deliver(self, message: Message) -> None:
        for end in self.ends:
            end.deliver(message)


class TestMemory(DeliveryTests):
    """What the suite asks of an end, asked of the log in memory; it is no `Log`, and has neither link nor server."""

    @pytest.fixture(autouse=True)
    def _no_logs_yet(self) -> None:
        self.logs: dict[str, tuple[Shared, MemoryBroker]] = {}

    def longest_body(self, namespace: str) -> int:
        return 1 << 30

    @pytest.mark.alone
    def test_who_waits_is_woken_by_a_message_and_does_not_wait_for_its_time(self) -> None:
        super().test_who_waits_is_woken_by_a_message_and_does_not_wait_for_its_time()

    def test_what_is_no_message_is_skipped_and_counted_and_the_next_is_delivered(self) -> None:
        pytest.skip("nobody else can write into this process's memory")

    def test_what_may_be_an_event_and_cannot_be_handed_on_is_a_gap(self) -> None:
        pytest.skip("nobody else can write into this process's memory")

    def test_it_waits_while_the_receiver_is_behind(self) -> None:
        pytest.skip("nothing is read from anywhere; what is emitted is refused when a loop is too far behind")

    @contextlib.contextmanager
    def end(  # type: ignore[override]  # it has of an `End` what the suite's tests of delivery use
        self, namespace: str, retention: Retention = RETENTION, **options: object
    ) -> Iterator[SharedEnd]:
        if namespace not in self.logs:
            shared = Shared()
            self.logs[namespace] = shared, MemoryBroker(retention)
            self.logs[namespace][1].start(shared)
        shared, broker = self.logs[namespace]
        end = SharedEnd(broker)
        shared.ends.append(end)
        yield end
        shared.ends.remove(end)


class TestSQLite(OnBroker):
    kind = "sqlite"


class TestRedis(OnBroker):
    kind = "redis"


class TestNats(OnBroker):
    kind = "nats"


class TestPostgres(OnBroker):
    kind = "postgresql"


class TestPostgresBehindAPool(OnBroker):
    kind = "postgresql"

    @pytest.fixture(autouse=True)
    def _finds_out_soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No notification comes through this pool, however long each new log waits for one."""
        monkeypatch.setattr(postgres, "_NOTIFIED_WITHIN_SECONDS", (0.02, 0.05))

    @classmethod
    def make(cls, directory: Path) -> Broker:
        return PooledPostgres(directory)


@pytest.mark.parametrize("kind", ["sqlite", "redis", "postgresql"])
def test_a_retention_that_was_lowered_is_reached_step_by_step(kind: str, tmp_path: Path) -> None:
    """An append that trimmed millions of entries at once took seconds, and others waited for it."""
    with BROKERS[kind](tmp_path) as broker:
        asyncio.run(_lower(broker))


async def _lower(broker: Broker) -> None:
    namespace, count = broker.namespace(), 45_000
    log = broker.log(namespace, RETENTION._replace(max_messages=count))
    await log.open()
    for first in range(1, count, 500):
        await log.append("p", first, [b"x"] * 500)
    await log.close()
    log = broker.log(namespace, RETENTION._replace(max_messages=10))
    left = []
    for number in range(count + 1, count + 5):
        await log.open()
        await log.append("p", number, [b"x"])
        await log.close()
        extent = await log.open()
        left.append(extent.newest + 1 - extent.oldest)
        await log.close()
    assert count / 2 < left[0] < count, "an append trims so many"
    assert left[-1] == 11, "and another one goes on"
