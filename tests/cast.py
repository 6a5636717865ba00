"""Three ends of one log that emit and listen while something happens to the broker, judged by the oracle."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from nitro.brokers.base import Retention
from nitro.errors import BrokerUnavailable
from nitro.streams.base import ABSENT, Commit
from nitro.streams.urls import make_store
from nitro.testing.conformance import RETENTION, End, eventually
from nitro.testing.conformance.stores import Heard, commit
from nitro.testing.oracle import Listener, Sent, Verdict, check
from tests.brokers import Broker

PLENTY = RETENTION._replace(max_messages=100_000)


def wait_until_open(*ends: End) -> None:
    for end in ends:
        eventually(lambda end=end: end.broker.is_open, f"the log is reached by {end.broker}")  # type: ignore[misc]


@contextlib.contextmanager
def ends_on(url: str, count: int = 2, namespace: str = "", retention: Retention = RETENTION) -> Iterator[list[End]]:
    """Ends of the log that is at this URL."""
    broker, namespace = Broker(Path()), namespace or Broker.namespace()
    ends = [End(broker.log(namespace, retention, url=url)) for _ in range(count)]
    try:
        yield ends
    finally:
        for end in ends:
            end.broker.close(0.1)


def check_events_get_across(url: str, namespace: str = "") -> None:
    with ends_on(url, namespace=namespace) as (one, other):
        wait_until_open(one, other)
        for n in range(200):
            one.publish(b"%d" % n)
        one.flush()
        eventually(lambda: len(other.heard.messages) == 200, "all are heard")
        assert other.heard.payloads == [b"%d" % n for n in range(200)]


class Cast:
    """Three ends; the first two emit, all of them listen."""

    def __init__(self, broker: Broker, url: str | None = None) -> None:
        self.namespace = broker.namespace()
        self.ends = [End(broker.log(self.namespace, PLENTY, url=url), PLENTY) for _ in range(3)]
        self.sent: list[Sent] = []
        self.refused = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._emit, args=(n,)) for n in range(2)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def _emit(self, producer: int) -> None:
        n = 0
        while not self._stop.is_set():
            sent = Sent(f"p{producer}", n)
            try:
                self.ends[producer].publish(b'["p%d",%d]' % (producer, n))
            except BrokerUnavailable:
                self.refused += 1
            else:
                self.sent.append(sent)
                n += 1
            time.sleep(0.003)

    def wait_until_gone(self, seconds: float = 0.0) -> None:
        """Every end has noticed that the log is away, and been without it for so long."""
        eventually(lambda: all(end.broker.state.gone_seconds > seconds for end in self.ends), "it is noticed", 15)

    def wait_until_heard(self) -> None:
        """Every end hears something that is emitted from now on."""
        first = len(self.sent) + len(self._threads)  # what was begun before is in front of it
        eventually(lambda: len(self.sent) > first, "emitting goes on")
        payload = b'["%s",%d]' % (self.sent[first].producer.encode(), self.sent[first].n)
        eventually(lambda: all(payload in end.heard.payloads for end in self.ends), "it is heard", 30)

    def finish(self, seconds: float = 30) -> Verdict:
        """Stop emitting, wait until all is acknowledged and heard, and judge."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for end in self.ends[:2]:
            acknowledgement = end.broker.acknowledgement()
            if acknowledgement is not None:
                acknowledgement.result(seconds)
        self.ends[0].publish(b'["last",0]')
        self.sent.append(Sent("last", 0))
        for end in self.ends:
            is_last = lambda end=end: end.heard.payloads[-1:] == [b'["last",0]']  # noqa: E731
            eventually(is_last, f"the last message is heard by {end.broker}", seconds)
        return check(self.sent, [self._log_of(f"end {n}", end) for n, end in enumerate(self.ends)])

    def _log_of(self, name: str, end: End) -> Listener:
        listener = Listener(name, since=self.sent[0].at - 1)
        for kind, item in end.heard.log:
            if kind == "gap":
                listener.told_of_gap(str(item[1]))
            else:
                listener.heard(str(item.position), *item.data)
        return listener

    def gaps(self) -> list[list[str]]:
        return [[reason for reason, _ in end.heard.gaps[1:]] for end in self.ends]

    def close(self) -> None:
        self._stop.set()
        for end in self.ends:
            end.broker.close(0.1)


@contextlib.contextmanager
def cast_on(broker: Broker, url: str | None = None) -> Iterator[Cast]:
    cast = Cast(broker, url)
    try:
        wait_until_open(*cast.ends)
        cast.start()
        cast.wait_until_heard()
        yield cast
    finally:
        cast.close()


def check_streams_get_across(url: str, namespace: str) -> None:
    """One store writes, reads, postpones and deletes, and another one hears of it."""

    async def scenario() -> None:
        one, other = make_store(url, namespace), make_store(url, namespace)
        try:
            await one.open()
            await other.open()
            async with Heard(other) as heard:
                await heard.watch("a")
                version = await commit(one, Commit("a", ABSENT, b"state", b"1", alarm_at=5.0))
                version = await commit(one, Commit("a", version, b"state", b"2", alarm_at=5.0))
                await heard.until("a", version)
                assert [record.body for record in await other.read("a", 0, version, 1000)] == [b"1", b"2"]
                assert list(await other.keys("a", 10)) == list(await other.due(6.0, 10)) == ["a"]
                assert await other.postpone("a", 5.0, 7.0)
                stored = await one.load("a")
                assert stored is not None
                version = await commit(one, Commit("a", stored.version, None))
                await heard.until("a", 0)
        finally:
            await one.close()
            await other.close()

    asyncio.run(scenario())
