"""The broker of one process, whose log is the history of recent messages in memory.

The log ends with the process, so each start has an epoch of its own.
"""

from __future__ import annotations

import secrets
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from nitro import tracing
from nitro.brokers import codec
from nitro.brokers.base import BrokerState, Draft, Receiver, Retained, Retention
from nitro.brokers.commits import after_commit
from nitro.brokers.history import History
from nitro.brokers.idempotency import IdempotencyKey, IdempotencyKeys
from nitro.brokers.shared_future import SharedFuture
from nitro.messages.message import Message, Position

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

__all__ = ["MemoryBroker"]


class MemoryBroker:
    """A log in memory; see `base.Broker` for what its verbs promise.

    Args:
        retention: what is retained; whichever limit is reached first drops the oldest.
    """

    name: str = "memory://"
    is_open = True
    is_shared = False
    state: BrokerState = BrokerState()

    def __init__(self, retention: Retention) -> None:
        self.lock: threading.RLock = threading.RLock()
        self._epoch = secrets.token_hex(5)
        self._sequence = 0
        self._idempotency_keys = IdempotencyKeys(retention.max_messages, retention.max_age_seconds)
        self._history = History(Position(self._epoch, 0), retention)
        self.refusal: Future[None] = Future()  # never fails
        self._deliver: Callable[[Message], None]

    def start(self, receiver: Receiver) -> None:
        self._deliver = receiver.deliver

    @property
    def head(self) -> Position:
        with self.lock:  # not before its message is delivered
            return self._history.head

    @property
    def retained(self) -> Retained:
        with self.lock:
            return self._history.retained

    def publish(
        self,
        topic: str,
        sender: str | None,
        payload: bytes,
        key: str | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> None:
        codec.check(topic, sender, key)  # raises, as every other broker does
        trace = None if (tracer := tracing.tracer) is None else tracer.context()
        with self.lock:
            if idempotency_key is not None and not self._idempotency_keys.is_new(idempotency_key, self._sequence + 1):
                return
            self._sequence += 1
            message = Message(topic, sender, payload, Position(self._epoch, self._sequence), key, trace)
            self._history.append(message)
            self._deliver(message)

    def publish_in(
        self,
        session: Session,
        messages: Sequence[Draft],
        connection: Connection | None = None,  # noqa: ARG002 - the log is elsewhere
    ) -> None:
        for topic, sender, _, key in messages:
            codec.check(topic, sender, key)  # raises now: after the commit is too late
        after_commit(session, partial(self._publish_all, tuple(messages)))

    def _publish_all(self, messages: Sequence[Draft]) -> None:
        for message in messages:
            self.publish(*message)

    def content_of(self, key: str) -> str | None:
        with self.lock:
            return self._idempotency_keys.content_of(key)

    def content_when_read(self, key: str) -> Future[str | None]:
        with self.lock:
            return self._idempotency_keys.content_when_seen(key)

    def acknowledgement(self, number: int | None = None) -> None:
        """Returns None: everything published is in the log."""

    def until_read(self, place: Position | None = None) -> None:
        """Returns None: everything published is delivered."""

    def ask_head(self, loop: AbstractEventLoop | None = None) -> SharedFuture[Position | None]:
        del loop  # nobody has to be asked
        answer: SharedFuture[Position | None] = SharedFuture()
        answer.set_result(self.head)
        return answer

    def read(self, after: Position, limit: int) -> Sequence[Message]:
        with self.lock:
            return self._history.read(after, limit)

    def close(self, timeout: float) -> None:
        """Nothing is queued, and nothing is connected."""

    def __repr__(self) -> str:
        return f"<MemoryBroker on {self._history!r}>"
