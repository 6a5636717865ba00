"""One process's end of a log, and a receiver that records what it hears."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from nitro.brokers.base import Log, Retention
from nitro.brokers.log_broker import LogBroker
from nitro.messages.message import Message, Position

__all__ = ["MAX_PAYLOAD_BYTES", "RETENTION", "SECONDS", "End", "Heard", "eventually"]

RETENTION: Final = Retention(max_messages=1_000, max_bytes=16 * 1024 * 1024, max_age_seconds=300)
MAX_PAYLOAD_BYTES: Final = 1024 * 1024
SECONDS: Final = 20.0
"""Timeout of every wait in the suite."""


class Heard:
    """A receiver that records what it hears.

    Attributes:
        messages: in the order of their delivery.
        gaps: reason and position of each. The first one is from the opening of the log.
        log: both, as `("message", message)` and `("gap", (reason, position))`.
        is_behind: while it is set, the broker has to pause.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.gaps: list[tuple[str, Position]] = []
        self.log: list[tuple[str, Any]] = []
        self.is_behind = False

    def deliver(self, message: Message) -> None:
        self.messages.append(message)
        self.log.append(("message", message))

    def lose(self, reason: str, resumed_at: Position) -> None:
        self.gaps.append((reason, resumed_at))
        self.log.append(("gap", self.gaps[-1]))

    def run_deferred(self) -> None:
        """Nothing is deferred."""

    @property
    def payloads(self) -> list[bytes]:
        """The payloads of the messages, in order."""
        return [message.payload for message in self.messages]


class End:
    """One process's end of a log: a broker over it, and what it delivered."""

    def __init__(self, log: Log, retention: Retention = RETENTION, max_publish_queue_bytes: int = 1 << 26) -> None:
        self.heard: Heard = Heard()
        self.broker: LogBroker = LogBroker(
            log,
            retention,
            max_payload_bytes=MAX_PAYLOAD_BYTES,
            max_publish_queue_bytes=max_publish_queue_bytes,
        )
        self.broker.start(self.heard)

    def publish(self, payload: bytes, topic: str = "a.b") -> None:
        self.broker.publish(topic, None, payload)

    def flush(self) -> None:
        acknowledgement = self.broker.acknowledgement()
        if acknowledgement is not None:
            acknowledgement.result(SECONDS)


def eventually(is_so: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    """Wait until `is_so` returns true.

    Raises:
        AssertionError: it does not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.005)
