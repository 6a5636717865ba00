"""The broker of one process, whose log is the history of recent messages in memory.

The log ends with the process, so each start has an epoch of its own.
"""

from __future__ import annotations

import secrets
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Final

from nitro.brokers import codec
from nitro.brokers.base import BrokerState, Receiver, Retained, Retention
from nitro.brokers.history import History
from nitro.brokers.idempotency import IdempotencyKey, IdempotencyKeys
from nitro.messages.message import Message, Position

if TYPE_CHECKING:
    from sqlalchemy.orm import Session, SessionTransaction

__all__ = ["MemoryBroker"]

_SURELY_SHORT_CHARS: Final = 600
"""This many characters of sender and key fit into an entry's first line, however they are escaped."""
_WAITING: Final = "nitro: to be published after the commit"
_Waiting = tuple[list["SessionTransaction"], Callable[[], object]]
"""The transaction and savepoints that have to be committed, and what is called then."""


class MemoryBroker:
    """A log in memory; see `base.Broker` for what its verbs promise.

    Args:
        retention: what is retained; whichever limit is reached first drops the oldest.
    """

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
        if len(sender or "") + len(key or "") > _SURELY_SHORT_CHARS:
            codec.encode(topic, sender, b"", key)  # raises, as every other broker does
        with self.lock:
            if idempotency_key is not None and not self._idempotency_keys.is_new(idempotency_key, self._sequence + 1):
                return
            self._sequence += 1
            message = Message(topic, sender, payload, Position(self._epoch, self._sequence), key)
            self._history.append(message)
            self._deliver(message)

    def publish_in(self, session: Session, topic: str, sender: str | None, payload: bytes, key: str | None) -> None:
        codec.encode(topic, sender, b"", key)  # raises now: after the commit is too late
        after_commit(session, partial(self.publish, topic, sender, payload, key))

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

    def ask_head(self) -> Future[Position | None]:
        answer: Future[Position | None] = Future()
        answer.set_result(self.head)
        return answer

    def read(self, after: Position, limit: int) -> Sequence[Message]:
        with self.lock:
            return self._history.read(after, limit)

    def close(self, timeout: float) -> None:
        """Nothing is queued, and nothing is connected."""

    def __repr__(self) -> str:
        return f"<MemoryBroker on {self._history!r}>"


def after_commit(session: Session, action: Callable[[], object]) -> None:
    """Call `action` after the session's transaction commits; never if it, or an enclosing savepoint, rolls back.

    If the session is in no transaction, one begins, so that what follows belongs to it, as with database brokers.
    """
    if not session.in_transaction():
        session.begin()
    waiting: deque[_Waiting] | None = session.info.get(_WAITING)
    if waiting is None:
        waiting = session.info[_WAITING] = _watch(session)
    around: list[SessionTransaction] = []
    within = session.get_nested_transaction() or session.get_transaction()
    while within is not None:
        around.append(within)
        within = within.parent
    waiting.append((around, action))


def _watch(session: Session) -> deque[_Waiting]:
    """The session's actions that wait for a commit, kept up to date by its events."""
    from sqlalchemy import event

    waiting: deque[_Waiting] = deque()

    def committed(session: Session) -> None:
        if not session.in_nested_transaction():  # else a savepoint is released
            while waiting:
                waiting.popleft()[1]()

    def rolled_back(_: Session, transaction: SessionTransaction) -> None:
        left = [item for item in waiting if transaction not in item[0]]
        waiting.clear()
        waiting.extend(left)

    def ended(_: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is None:  # closed without a commit or a rollback, if any are left
            waiting.clear()

    event.listen(session, "after_commit", committed)
    event.listen(session, "after_soft_rollback", rolled_back)
    event.listen(session, "after_transaction_end", ended)
    return waiting
