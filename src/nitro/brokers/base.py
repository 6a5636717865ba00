"""The contract of brokers: what the hub asks of one, and what a log on a server or in a file has to promise.

A `Broker` is this process's end: it takes what is emitted, at once, and hands every message of the log to the hub.
`memory.py` is one by itself. `link.py` is one over any `Log`, and has everything that those share: the thread, the
queue, the retries, the history of recent messages. A `Log` speaks to one kind of server and has six verbs.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, runtime_checkable

from nitro.brokers.idempotency import IdempotencyKey
from nitro.errors import NitroError
from nitro.messages.message import GapReason, Message, Position

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

__all__ = [
    "NOWHERE",
    "Broker",
    "BrokerState",
    "DiagnosingLog",
    "Entry",
    "Extent",
    "Log",
    "LogChanged",
    "LogFactory",
    "PositionLost",
    "Receiver",
    "Retained",
    "Retention",
    "TransactionalLog",
    "Verb",
    "new_epoch",
]

Verb = Literal["open", "append", "read"]
"""What a link asks of a log."""

NOWHERE: Final = Position("none", 0)
"""Where a process stands that has not reached its log yet. No log has this epoch."""


class PositionLost(NitroError):
    """A position that the log can't continue from.

    Attributes:
        reason: `"epoch"` (of another life of the log), `"expired"` (retention forgot what followed it) or
            `"invalid"` (the log never got that far).
    """

    def __init__(self, position: Position, reason: GapReason) -> None:
        super().__init__(f"the log can't continue from {position}: {reason}")
        self.position = position
        self.reason = reason


class LogChanged(NitroError):
    """The log is not the one that was opened any more; nothing was appended."""


class Retention(NamedTuple):
    """What is kept: so many messages, bytes of payload, and seconds, whichever is reached first."""

    max_messages: int
    max_bytes: int
    max_age_seconds: float


class Retained(NamedTuple):
    """What can be read at a moment: how many messages, bytes of payload, and seconds since the oldest came."""

    messages: int
    bytes: int
    seconds: float


class BrokerState(NamedTuple):
    """How a process stands with its log.

    Attributes:
        unacknowledged: messages that are published and not yet acknowledged.
        skipped: entries of the log that could not be handed on.
        gone_seconds: for how long the log has not been reached; 0 while it is there.
        why_gone: what was wrong when it was last tried, or the time before.
        why_refused: why it can't be used as it is configured, and the remedy; empty if waiting may help.
    """

    unacknowledged: int = 0
    skipped: int = 0
    gone_seconds: float = 0.0
    why_gone: str = ""
    why_refused: str = ""


class Receiver(Protocol):
    """Who takes the messages of the log: the hub. Its methods don't block and don't raise."""

    def deliver(self, message: Message) -> None:
        """The next message in the log's order. Never two calls at a time; the hub's lock is held."""

    def lose(self, reason: GapReason, resumed_at: Position) -> None:
        """What came before `resumed_at`, and was not delivered, can't be had. The hub's lock is held."""

    def run_deferred(self) -> None:
        """Called after some messages, when the lock is free again."""

    @property
    def is_behind(self) -> bool:
        """Whether more messages should wait, since an event loop doesn't get to deliver those it has."""


class Broker(Protocol):
    """This process's end of an ordered, retained log that every process reads. Thread-safe.

    `start` is called once, before anything else; a constructor starts nothing.

    Order: the messages of one thread stand in the log in the order in which it published them, and every process
    delivers the whole log in the log's order.
    Acknowledgement: `acknowledgement()` tells when everything published so far is in the log.
    Loss: what is in the log is delivered, or the receiver is told by `lose`.
    """

    @property
    def lock(self) -> threading.RLock:
        """Held while the receiver gets a message. Re-entrant: a garbage collection inside of it may end a client."""

    def start(self, receiver: Receiver) -> None:
        """Reach the log, now or soon, and hand its messages to `receiver` from then on. The lock is held."""

    @property
    def head(self) -> Position:
        """Position of the newest message that was handed to the receiver."""

    @property
    def retained(self) -> Retained:
        """How much can be read."""

    @property
    def is_open(self) -> bool:
        """Whether the log was reached once, so that `head` is a place in it."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes read the same log, perhaps faster than this one."""

    @property
    def state(self) -> BrokerState:
        """How it stands with its log."""

    @property
    def refusal(self) -> Future[None]:
        """Fails with `BrokerRefused` when waiting won't help any more; another one after the log was there again."""

    def publish(
        self,
        topic: str,
        sender: str | None,
        payload: bytes,
        key: str | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> int | None:
        """Take a message for the log. It doesn't block. Of those with one key in their marks, the first is delivered.

        Returns: the number by which its acknowledgement can be asked for; None if it is in the log already.

        Raises:
            BrokerUnavailable: too much waits for a log that can't be reached; nothing was taken.
            PayloadTooLarge: the log can't hold it; nothing was taken.
        """

    def publish_in(self, session: Session, topic: str, sender: str | None, payload: bytes, key: str | None) -> None:
        """The same in a database transaction: in the log when that is committed, and never if it is rolled back.

        Raises:
            ConfigurationError: the log is not in that database.
        """

    def content_of(self, key: str) -> str | None:
        """The content that was published under that idempotency key, if a message that can be read has it."""

    def acknowledgement(self, number: int | None = None) -> Future[None] | None:
        """Done when all that was published so far, or the message of that number, is in the log; None if it is already.

        It fails with `BrokerRefused` when waiting won't help; what was published waits nevertheless. It fails with
        `PayloadTooLarge` if one was thrown away, since the log turned out to take less than was queued.
        """

    def until_read(self, place: Position | None = None) -> Future[None] | None:
        """Done when all up to there, or all that is acknowledged here, was handed on, or can't be; None if it was."""

    def ask_head(self) -> Future[Position | None]:
        """The newest place in the log, as the log itself says after this call; None if it can't be asked now."""

    def read(self, after: Position, limit: int) -> Sequence[Message]:
        """The retained messages behind `after`, oldest first, `limit` of them at most.

        Raises:
            PositionLost: some of what followed `after` can no longer be had.
        """

    def close(self, timeout: float) -> None:
        """Wait so long until all is acknowledged, then let go of the log. Nothing can be published any more."""


class Extent(NamedTuple):
    """What a log holds: of which life it is, and the sequences of its oldest and newest message.

    In an empty log `oldest` is `newest + 1`; `newest` is 0 in a new one. `begin` is how the newest begins, if known.
    """

    epoch: str
    oldest: int
    newest: int
    begin: bytes | None = None


class Entry(NamedTuple):
    """One entry of a log: its place, its bytes (None if they are more than a message can be), and its age."""

    sequence: int
    body: bytes | None
    age_seconds: float


class Log(Protocol):
    """An ordered, retained log on a server or in a file, and one connection to it. Used from one event loop.

    Its entries are numbered by one, without holes, in the order in which they became visible; what is lost of them is
    lost from the oldest on, by retention, which leaves one more, by which the oldest place is known. If it may have
    lost any other, or is new, it has another epoch.

    Any verb may raise what its driver raises. The link then calls `close` and, after a while, `open`; so it does when a
    verb takes too long, which it cancels: that may leave the connection unusable, and nothing else. A
    `ConfigurationError` says that waiting won't help.
    """

    @property
    def name(self) -> str:
        """What people are told that it is: its URL without secrets."""

    @property
    def max_body_bytes(self) -> int | None:
        """The longest entry that the server takes; None if it has no such limit, or was not asked yet."""

    async def open(self) -> Extent:
        """Connect; make the log if there is none."""

    async def append(self, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        """Add `bodies` in this order: all, or, if it is cut off, perhaps some of the first of them.

        They are acknowledged, and survive whatever the log survives, once it returns. They are the producer's messages
        number `first`, `first` + 1 and so on: one whose number is not above that producer's last in the log is there
        already and is left out, so that what was cut off can be tried again.

        Returns:
            The sequence of the last of them, or of a newer entry.

        Raises:
            LogChanged: the epoch is not the one that `open` returned.
        """

    async def read(self, after: int, limit: int, wait_seconds: float) -> Sequence[Entry]:
        """The entries behind sequence `after`, oldest first, `limit` of them at most.

        Returns as soon as there is one, or without any after `wait_seconds`, when it knows that the server is there and
        that `after` is still the newest sequence. Some few megabytes at most, so perhaps fewer than there are.

        Raises:
            LogChanged: the epoch is not the one that `open` returned, or all that came behind `after` is gone.
        """

    async def newest(self) -> int:
        """The sequence of the newest entry, of whoever has appended it. Never while an `append` is under way.

        Raises:
            LogChanged: the epoch is not the one that `open` returned.
        """

    async def renew(self) -> None:
        """Begin a new epoch, since the log has lost something; unless another process has done so by now."""

    async def close(self) -> None:
        """Let go of the connection; it may be broken. It can be opened again."""


@runtime_checkable
class DiagnosingLog(Protocol):
    """A log that knows which of its driver's errors don't pass by themselves."""

    def why_refused(self, error: Exception) -> str | None:
        """What is wrong and what to do, if waiting won't help against this error of one of the verbs; else None."""


@runtime_checkable
class TransactionalLog(Protocol):
    """A log in a database that applications keep their own data in."""

    def append_in(self, connection: Connection, body: bytes) -> None:
        """Add an entry in the transaction that this connection is in.

        Raises:
            ConfigurationError: the connection's database is not the log's, or has not its tables.
        """


class LogFactory(Protocol):
    """What the entry point of a log of your own names: most often its class."""

    def __call__(self, url: str, namespace: str, retention: Retention, max_body_bytes: int, /) -> Log:
        """The log that `url` names, not yet open.

        Args:
            url: as it was configured, with its secrets. Its scheme is the entry point's name.
            namespace: what keeps applications apart that share a server.
            retention: what the log keeps at least; whichever limit is reached first forgets the oldest.
            max_body_bytes: the longest entry that any process appends.

        Raises:
            ConfigurationError: the URL can't be used.
        """


def new_epoch() -> str:
    """The name of a new life of a log, which no other has."""
    return secrets.token_hex(5)
