"""The hooks that a test class for a log overrides, and checks that the suite's tests share."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, TypeVar
from unittest import SkipTest

from nitro.brokers.base import Log, PositionLost, Retention
from nitro.messages.message import Message, Position
from nitro.testing.conformance.ends import RETENTION, SECONDS, End, eventually

__all__ = ["Hooks"]

T = TypeVar("T")


class Hooks:
    """How a log is made, and what an administrator or a fault does to it; and checks that all tests share."""

    def log(self, namespace: str, retention: Retention = RETENTION) -> Log:
        """A new log object for that namespace, not open."""
        raise NotImplementedError

    def wipe(self, namespace: str) -> None:
        """Delete the log, as an administrator could without using Nitro."""
        raise SkipTest(f"{type(self).__name__} has no wipe() for {namespace}")

    def trim(self, namespace: str, up_to: int) -> None:
        """Delete its entries up to and including that sequence, in the same way."""
        raise SkipTest(f"{type(self).__name__} has no trim() of {namespace} up to {up_to}")

    def damage(self, namespace: str) -> None:
        """Delete the record of the log's epoch and newest sequence, and nothing else."""
        raise SkipTest(f"{type(self).__name__} has no damage() for {namespace}")

    def save(self, namespace: str) -> Callable[[], object]:
        """Back up the log; the returned function restores it while processes are connected."""
        raise SkipTest(f"{type(self).__name__} has no save() of {namespace}")

    def archive(self, namespace: str) -> Callable[[], object]:
        """Back up the log; the returned function restores it while no process is connected."""
        return self.save(namespace)

    def cut(self) -> None:
        """Make the server close all its connections."""
        raise SkipTest(f"{type(self).__name__} has no cut()")

    def longest_body(self, namespace: str) -> int:
        """The longest entry that the log accepts."""

        async def ask() -> int | None:
            log = self.log(namespace)
            try:
                await log.open()
                return log.max_body_bytes
            finally:
                await log.close()

        return self.run(ask()) or 1 << 30

    @contextmanager
    def end(self, namespace: str, retention: Retention = RETENTION, **options: Any) -> Iterator[End]:
        """An open end of the log."""
        end = End(self.log(namespace, retention), retention, **options)
        try:
            eventually(lambda: end.broker.is_open, "the log is reached")
            yield end
        finally:
            end.broker.close(1.0)

    @staticmethod
    def namespace() -> str:
        """A unique name."""
        return f"t-{secrets.token_hex(6)}"

    @staticmethod
    def check_positions(messages: Sequence[Message], gaps: Sequence[tuple[str, Position]] = ()) -> None:
        """Assert that sequences increase by one, except at gaps."""
        places = [message.position for message in messages]
        resumed = {position.sequence for _, position in gaps}
        for before, after in pairwise(places):
            assert before is not None
            assert after is not None
            assert after.epoch == before.epoch
            assert after.sequence == before.sequence + 1 or after.sequence - 1 in resumed, f"{before}, then {after}"

    @staticmethod
    def check_heard(end: End, numbers: range) -> None:
        """Publish these numbers, and assert that the same end hears them."""
        for n in numbers:
            end.publish(b"%d" % n)
        end.flush()
        wanted = [b"%d" % n for n in numbers]
        eventually(lambda: end.heard.payloads[-len(wanted) :] == wanted, "all are heard")

    @staticmethod
    def check_lost(end: End, position: Position, reason: str) -> None:
        """Assert that reading behind `position` raises `PositionLost` with that reason."""
        try:
            end.broker.read(position, 10)
        except PositionLost as lost:
            found: str = lost.reason
        else:
            found = "nothing"
        assert found == reason

    @staticmethod
    def run(coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, in a new loop."""
        return asyncio.run(asyncio.wait_for(coroutine, SECONDS))

    async def append(self, namespace: str, producer: str, first: int, bodies: Sequence[bytes]) -> None:
        """Append entries to the log, without a broker."""
        log = self.log(namespace)
        await log.open()
        await log.append(producer, first, bodies)
        await log.close()
