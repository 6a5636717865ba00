"""The contract of brokers: what the hub requires of a broker, and a broker of a log on a server or in a file.

A `Broker` is this process's end of the log: it accepts messages without blocking, and delivers every message of the
log to the hub. `memory.py` is a complete broker. `log_broker.py` is one over any `Log`, with everything that logs
share: the thread, the queue, the retries, the history. A `Log` talks to one kind of server and has six verbs.
"""

from __future__ import annotations

import secrets
import threading
from asyncio import AbstractEventLoop
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol, runtime_checkable

from nitro.brokers.idempotency import IdempotencyKey
from nitro.brokers.shared_future import SharedFuture
from nitro.errors import NitroError
from nitro.messages.message import GapReason, Message, Position

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

__all__ = [
    "NOWHERE",
    "Broker",
    "BrokerState",
    "CommitAwareLog",
    "DiagnosingLog",
    "Entry",
    "ExaminableLog",
    "Examination",
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
"""The operations of a log that can fail."""

NOWHERE: Final = Position("none", 0)
"""The position of a process that has not reached its log yet. No log has this epoch."""


class PositionLost(NitroError):
    """A position that the log can't continue from.

    Attributes:
        reason: `"epoch"` (it is of another epoch of the log), `"expired"` (retention dropped what followed it) or
            `"invalid"` (it is ahead of the log's head).
    """

    def __init__(self, position: Position, reason: GapReason) -> None:
        super().__init__(f"the log can't continue from {position}: {reason}")
        self.position = position
        self.reason = reason


class LogChanged(NitroError):
    """The log is no longer the one that was opened; nothing was appended."""


class Retention(NamedTuple):
    """Limits of what is retained: messages, bytes of payload, and age in seconds, whichever is reached first."""

    max_messages: int
    max_bytes: int
    max_age_seconds: float


class Retained(NamedTuple):
    """What is retained now: messages, bytes of payload, and the age of the oldest message in seconds."""

    messages: int
    bytes: int
    seconds: float


class BrokerState(NamedTuple):
    """The state of a process's connection to its log.

    Attributes:
        unacknowledged, unacknowledged_bytes: messages that are published and not yet acknowledged, and their memory.
        lag_messages: how many messages are not yet delivered of those that it knows to be in the log.
        skipped: entries of the log that could not be delivered.
        gone_seconds: for how long the log has been unavailable; 0 while it works.
        why_gone: the error of the last failure.
        why_refused: why it can't be used as it is configured, and the remedy; empty if retrying may help.
        stuck_seconds: for how long what serves the log in this process has done nothing, not even found it unavailable.
    """

    unacknowledged: int = 0
    skipped: int = 0
    gone_seconds: float = 0.0
    why_gone: str = ""
    why_refused: str = ""
    unacknowledged_bytes: int = 0
    lag_messages: int = 0
    stuck_seconds: float = 0.0

    def why_waiting(self, name: str) -> str:
        """Since when and why the log of this name takes nothing, for an error's text."""
        if not self.gone_seconds:
            return f"{name} does not answer, or takes events slower than they are emitted"
        return f"{name} has been unavailable for {self.gone_seconds:.1f} s ({self.why_refused or self.why_gone})"


class Receiver(Protocol):
    """Receives the messages of the log: the hub. Its methods don't block and don't raise."""

    def deliver(self, message: Message) -> None:
        """Take the next message in the log's order. Calls don't overlap; the broker's lock is held."""

    def lose(self, reason: GapReason, resumed_at: Position) -> None:
        """Undelivered messages up to and including `resumed_at` are lost. The broker's lock is held."""

    def run_deferred(self) -> None:
        """Called after some messages, when the lock has been released."""

    @property
    def is_behind(self) -> bool:
        """Whether an event loop lags behind with its deliveries, so that more messages should wait."""


class Draft(NamedTuple):
    """A message without a position, which it gets when it is in the log.

    Attributes:
        topic, sender, payload: as of a `Message`.
        key: the key under which the next message replaces it; None if its event has no `latest_by`.
    """

    topic: str
    sender: str | None
    payload: bytes
    key: str | None


class Broker(Protocol):
    """This process's end of an ordered, retained log that every process reads. Thread-safe.

    `start` is called once, before anything else; a constructor starts nothing.

    Order: the messages of one thread are in the log in the order in which it published them, and every process
    delivers the whole log in the log's order.
    Acknowledgement: `acknowledgement()` completes when everything published so far is in the log.
    Loss: every message in the log is delivered, or `lose` is called.
    """

    @property
    def name(self) -> str:
        """The URL of its log without secrets, for messages and logs."""

    @property
    def lock(self) -> threading.RLock:
        """Held while the receiver is called. Re-entrant: a garbage collection within may end a client."""

    def start(self, receiver: Receiver) -> None:
        """Connect to the log, now or soon, and deliver its messages to `receiver` from then on. The lock is held."""

    @property
    def head(self) -> Position:
        """Position of the newest message that was delivered to the receiver."""

    @property
    def retained(self) -> Retained:
        """How much is retained."""

    @property
    def is_open(self) -> bool:
        """Whether the log was reached once, so that `head` is a position in it."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes read the same log, and may be ahead of this one."""

    @property
    def state(self) -> BrokerState:
        """The state of the connection to the log."""

    @property
    def refusal(self) -> Future[None]:
        """Fails with `BrokerRefused` when retrying won't help; replaced by a new one when the log works again."""

    def publish(
        self,
        topic: str,
        sender: str | None,
        payload: bytes,
        key: str | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> int | None:
        """Queue a message for the log, without blocking. Of messages with one idempotency key, the first is delivered.

        Returns: the number to pass to `acknowledgement`; None if it is in the log already.

        Raises:
            BrokerUnavailable: the publish queue is full; nothing was queued.
            PayloadTooLarge: the log can't hold it; nothing was queued.
        """

    def publish_in(self, session: Session, messages: Sequence[Draft], connection: Connection | None = None) -> None:
        """Publish in a database transaction: in the log once it is committed, and never if it is rolled back.

        Args:
            session: whose transaction it is.
            messages: in their order.
            connection: the session's connection to the database; by default the one that it gives without being asked
                for a class.

        Raises:
            ConfigurationError: the log is not in that database.
        """

    def content_of(self, key: str) -> str | None:
        """The content digest published with this idempotency key; None if no retained message has the key."""

    def content_when_read(self, key: str) -> Future[str | None]:
        """The same, as a future that completes once a message with the key was read. Nobody else keeps that future."""

    def acknowledgement(self, number: int | None = None) -> Future[None] | None:
        """Completes when everything published so far, or message `number`, is in the log; None if it is already.

        It fails with `BrokerRefused` when retrying won't help; the messages stay queued. It fails with
        `PayloadTooLarge` if one was dropped because it turned out to exceed the log's limit.
        """

    def until_read(self, place: Position | None = None) -> SharedFuture[None] | None:
        """Completes when everything up to `place`, or all that this process appended, is delivered; None if it is.

        It also completes when the log becomes unavailable.
        """

    def ask_head(self, loop: AbstractEventLoop | None = None) -> SharedFuture[Position | None]:
        """The newest position in the log, as the log reports it after this call; None if the log is unavailable.

        With the running `loop` of a caller that awaits the answer, all who ask in this turn of it ask the log once.
        """

    def read(self, after: Position, limit: int) -> Sequence[Message]:
        """The retained messages behind `after`, oldest first, `limit` of them at most.

        Raises:
            PositionLost: some of what followed `after` is no longer retained.
        """

    def close(self, timeout: float) -> None:
        """Wait up to `timeout` seconds until all is acknowledged, then disconnect. Publishing raises from now on."""


class Extent(NamedTuple):
    """What a log holds: its epoch, and the sequences of its oldest and newest entry.

    In an empty log `oldest` is `newest + 1`; `newest` is 0 in a new one. `begin` is the newest entry's first bytes, if
    known.
    """

    epoch: str
    oldest: int
    newest: int
    begin: bytes | None = None


class Entry(NamedTuple):
    """One entry of a log: its sequence, its bytes (None if they exceed the limit), and its age."""

    sequence: int
    body: bytes | None
    age_seconds: float


class Log(Protocol):
    """An ordered, retained log on a server or in a file, and one connection to it. Used from one event loop.

    Its entries are numbered consecutively, in the order in which they became visible. Retention drops the oldest, but
    keeps one more than its limits, which marks the oldest position. If the log may have lost any other entry, or is
    new, it has a new epoch.

    Any verb may raise its driver's errors. The log broker then calls `close` and, after a delay, `open`. It does the
    same when a verb times out and is cancelled, which may break the connection, and nothing else. A
    `ConfigurationError` means that retrying won't help.
    """

    @property
    def name(self) -> str:
        """Its URL `without_secrets`, for messages and logs."""

    @property
    def max_body_bytes(self) -> int | None:
        """The longest entry that the server accepts; None if there is no limit, or it is not known yet."""

    async def open(self) -> Extent:
        """Connect; create the log if it does not exist."""

    async def append(self, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        """Append `bodies` in this order: all of them, or, if it is interrupted, a prefix or none.

        Once it returns they are acknowledged, and as durable as the log. They are the producer's messages number
        `first`, `first` + 1 and so on. One whose number is not above the producer's last number in the log is there
        already and is left out, so that an interrupted append can be retried, also with fewer bodies at a time.

        Returns:
            The sequence of the last of them, or of a newer entry.

        Raises:
            LogChanged: the epoch is not the one that `open` returned.
        """

    async def read(self, after: int, limit: int, wait_seconds: float) -> Sequence[Entry]:
        """The entries behind sequence `after`, oldest first, `limit` of them at most.

        Returns as soon as there is one; or an empty sequence after `wait_seconds`, once the server has confirmed that
        `after` is still the newest sequence. A page is a few megabytes at most, so it may have fewer than there are.

        Raises:
            LogChanged: the epoch is not the one that `open` returned, or all entries behind `after` were deleted.
        """

    async def newest(self) -> int:
        """The sequence of the newest entry, from any process. Not called while an `append` is in progress.

        Raises:
            LogChanged: the epoch is not the one that `open` returned.
        """

    async def renew(self) -> None:
        """Begin a new epoch, because the log has lost entries; unless another process has done so already."""

    async def close(self) -> None:
        """Close the connection, which may be broken. It can be opened again."""


@runtime_checkable
class DiagnosingLog(Protocol):
    """A log that knows which of its driver's errors are permanent."""

    def why_refused(self, error: Exception) -> str | None:
        """What is wrong and the remedy, if this error of a verb is permanent; None if retrying may help."""


class Examination(NamedTuple):
    """What an operator should know of a log's server: `nitro doctor` shows it.

    Attributes:
        survives: what becomes of acknowledged entries when the server restarts.
        weaknesses: settings of the server that lose entries, each with its remedy.
        ahead_seconds: how far its clock is ahead of this process's; None if it doesn't tell.
    """

    survives: str
    weaknesses: Sequence[tuple[str, str]] = ()
    ahead_seconds: float | None = None


@runtime_checkable
class ExaminableLog(Protocol):
    """A log that knows what its server would lose."""

    async def examine(self) -> Examination:
        """Ask the server; the log is open."""

    async def count_producers(self) -> int:
        """How many processes have published in this epoch, as far as the server remembers: for a day, or as long as it
        retains one of their messages. It may have to look at all that the server has.
        """


@runtime_checkable
class TransactionalLog(Protocol):
    """A log in a database that may also hold an application's data."""

    def append_in(self, connection: Connection, bodies: Sequence[bytes]) -> None:
        """Append entries, in their order, in the connection's current transaction.

        Raises:
            ConfigurationError: the connection's database is not the log's, or lacks its tables.
        """


@runtime_checkable
class CommitAwareLog(Protocol):
    """A transactional log in a database that tells nobody of a commit, so that the log has to."""

    def committed(self) -> None:
        """A transaction was committed that had an entry appended. Called in any thread; doesn't block or raise."""


class LogFactory(Protocol):
    """What the entry point of a third-party log refers to, usually its class."""

    def __call__(self, url: str, namespace: str, retention: Retention, max_body_bytes: int, /) -> Log:
        """The log that `url` names, not yet open.

        Args:
            url: as configured, with secrets. Its scheme is the entry point's name.
            namespace: separates applications that share a server.
            retention: what the log retains; whichever limit is reached first drops the oldest.
            max_body_bytes: the longest entry that any process appends.

        Raises:
            ConfigurationError: the URL can't be used.
        """


def new_epoch() -> str:
    """A random, unique epoch for a log."""
    return secrets.token_hex(5)
