"""The log broker: this process's end of a log on a server or in a file.

One thread with one event loop serves coroutines, thread pools, scripts without a loop and forked children alike.
Its writer appends queued messages in batches; its reader follows the log and delivers every message to the hub. When
either fails, both stop; the log is reopened after a backoff with jitter, and both resume where they were.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from nitro.brokers import codec
from nitro.brokers.base import (
    NOWHERE,
    BrokerState,
    CommitAwareLog,
    Draft,
    Entry,
    Extent,
    Log,
    LogChanged,
    PositionLost,
    Receiver,
    Retained,
    Retention,
    TransactionalLog,
    Verb,
)
from nitro.brokers.batch_size import BatchSize
from nitro.brokers.commits import after_commit
from nitro.brokers.follower import Follower
from nitro.brokers.history import History
from nitro.brokers.idempotency import IdempotencyKey
from nitro.brokers.log_status import LogStatus
from nitro.brokers.progress import Progress
from nitro.brokers.publish_queue import PublishQueue
from nitro.brokers.shared_future import SharedFuture
from nitro.brokers.tasks import ANSWER_SECONDS, end, end_all, in_time, started_pool
from nitro.brokers.writer import Writer, too_large
from nitro.chance import CHANCE
from nitro.errors import BrokerRefused, ConfigurationError, PayloadTooLarge
from nitro.messages.message import Message, Position

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

__all__ = ["LogBroker"]

log: Final = logging.getLogger("nitro.brokers")

_WAIT_SECONDS: Final = 1.0
"""How long a read waits for new entries; an empty answer then shows that the log still works."""
_QUEUED: Final = "Events stay queued, and are published once that is fixed, if this process is still running"
_FIRST_BACKOFF: Final = 0.1
_LONGEST_BACKOFF: Final = 5.0
_PAGE_ENTRIES: Final = 500
"""Entries of a read, at most. Redis counts no bytes."""


class LogBroker:
    """A broker over `remote`; see `base.Broker` for what its verbs promise.

    Args:
        remote: the log.
        retention: what is kept of the log in memory.
        max_payload_bytes: a longer payload in the log is skipped, and announced as a gap.
        max_publish_queue_bytes: limit of the publish queue.
    """

    is_shared = True

    def __init__(
        self,
        remote: Log,
        retention: Retention,
        *,
        max_payload_bytes: int,
        max_publish_queue_bytes: int,
    ) -> None:
        self.lock: threading.RLock = threading.RLock()
        self._remote = remote
        self._transactional = remote if isinstance(remote, TransactionalLog) else None  # these checks cost microseconds
        self._commit_aware = remote if isinstance(remote, CommitAwareLog) else None
        self._receiver: Receiver
        self._max_messages = retention.max_messages
        self._follower = Follower(History(NOWHERE, retention), self.lock, max_payload_bytes)
        self._publish_queue = PublishQueue(max_publish_queue_bytes, self._wake_writer)
        self._progress = Progress(self._wake_writer)
        self._status = LogStatus(remote)
        works = partial(self._works, "append")
        self._writer = Writer(remote, self._publish_queue, self._progress, self._follower, works)
        self._page_size = BatchSize(_PAGE_ENTRIES)
        self._verb: Verb = "open"
        self._epochs: set[str] = set()  # all epochs it has seen
        self._is_closed = True  # until it is started
        self._worked_at = time.monotonic()  # when the thread last came to a new step
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    @property
    def name(self) -> str:
        return self._remote.name

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._follower.start(receiver)
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_handle_what_is_left)
        self._loop.set_default_executor(started_pool("nitro-lookup"))  # asyncio resolves host names in it
        self._thread = threading.Thread(target=self._run, name="nitro-broker", daemon=True)
        self._is_closed = False
        self._thread.start()

    @property
    def head(self) -> Position:
        with self.lock:
            return self._follower.history.head if self._follower.is_open else NOWHERE

    @property
    def retained(self) -> Retained:
        with self.lock:
            return self._follower.history.retained

    @property
    def is_open(self) -> bool:
        return self._follower.is_open

    @property
    def state(self) -> BrokerState:
        status, queue = self._status, self._publish_queue
        return BrokerState(
            unacknowledged=len(queue),
            unacknowledged_bytes=queue.queued_bytes,
            skipped=self._follower.skipped,
            lag_messages=self._progress.lag_messages,
            gone_seconds=status.gone_seconds,
            why_gone=status.why_gone,
            why_refused=status.why_refused,
            stuck_seconds=0.0 if self._is_closed else time.monotonic() - self._worked_at,
        )

    @property
    def refusal(self) -> Future[None]:
        return self._status.refusal

    def publish(
        self,
        topic: str,
        sender: str | None,
        payload: bytes,
        key: str | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> int:
        return self._publish_queue.add(
            self._fitting(codec.encode(topic, sender, payload, key, idempotency_key)), self._why_waiting
        )

    def publish_in(self, session: Session, messages: Sequence[Draft], connection: Connection | None = None) -> None:
        if self._transactional is None:
            raise ConfigurationError(
                f"{self._remote.name} can't take part in a database transaction; emit with session= needs the broker "
                f"sqlite:// or postgresql:// in the session's own database (or memory://, for one process)"
            )
        bodies = [self._fitting(codec.encode(*message)) for message in messages]
        self._transactional.append_in(session.connection() if connection is None else connection, bodies)
        if self._commit_aware is not None:
            after_commit(session, self._commit_aware.committed)

    def _fitting(self, body: bytes) -> bytes:
        longest = self._remote.max_body_bytes
        if longest is not None and len(body) > longest:
            raise too_large(self._remote, body)
        return body

    def content_of(self, key: str) -> str | None:
        with self.lock:
            return self._follower.idempotency_keys.content_of(key)

    def content_when_read(self, key: str) -> Future[str | None]:
        with self.lock:
            return self._follower.idempotency_keys.content_when_seen(key)

    def acknowledgement(self, number: int | None = None) -> Future[None] | None:
        return self._publish_queue.acknowledgement(number)

    def until_read(self, place: Position | None = None) -> SharedFuture[None] | None:
        return self._progress.until_read(place or self._progress.appended)

    def ask_head(self, loop: asyncio.AbstractEventLoop | None = None) -> SharedFuture[Position | None]:
        return self._progress.ask(loop)

    def read(self, after: Position, limit: int) -> Sequence[Message]:
        with self.lock:
            if not self._follower.is_open:
                raise PositionLost(after, "epoch")
            return self._follower.history.read(after, limit)

    def close(self, timeout: float) -> None:
        if self._is_closed:
            return
        acknowledgement = self.acknowledgement()
        try:
            if acknowledgement is not None:
                acknowledgement.result(timeout)
        except (TimeoutError, BrokerRefused):
            log.error("%d events are lost with this process: %s", len(self._publish_queue), self._why_waiting())  # noqa: TRY400
        except PayloadTooLarge:
            log.debug("an event was lost, which has been logged")
        finally:
            self._is_closed = True
            self._progress.close()
            self._publish_queue.close(f"the broker for {self._remote.name} is closed")
            self._soon(self._cancel)
            self._thread.join(ANSWER_SECONDS)

    def _wake_writer(self) -> None:
        if not self._is_closed:
            self._soon(self._writer.more.set)

    def _soon(self, callback: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # its loop is closed: nobody is left to be called
            self._loop.call_soon_threadsafe(callback)

    def _why_waiting(self) -> str:
        return self.state.why_waiting(self.name)

    def _cancel(self) -> None:
        if self._task is not None:  # else it is closing the connection, and ends after that
            self._task.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            with contextlib.suppress(asyncio.CancelledError):  # by `close`, during the backoff
                self._loop.run_until_complete(self._live())
        finally:
            self._loop.run_until_complete(end_all())
            self._loop.close()

    async def _live(self) -> None:
        """Open the log, follow it until something fails, back off, and repeat; until cancelled."""
        self._task = asyncio.current_task()
        backoff = _FIRST_BACKOFF
        while not self._is_closed:
            began = self._worked_at = time.monotonic()
            self._verb = "open"
            try:
                await self._go_on_in(await in_time(self._remote.open()))
                self._works("open")
                self._progress.read(self._follower.history.head)
                self._progress.go_on()
                await self._follow()
            except asyncio.CancelledError:
                return
            except Exception as error:  # noqa: BLE001 - drivers raise anything; it is logged and retried
                self._progress.fail()
                self._status.failed(self._verb, error)
                self._publish_queue.refuse(f"{self._status.text}. {_QUEUED}" if self._status.why_refused else "")
            finally:
                await self._disconnect()
            lasted = time.monotonic() - began
            backoff = _FIRST_BACKOFF if lasted > _LONGEST_BACKOFF else min(2 * backoff, _LONGEST_BACKOFF)
            least = _LONGEST_BACKOFF / 2 if self._status.why_refused else 0
            if not self._is_closed:
                await asyncio.sleep(CHANCE.uniform(least, max(backoff, 2 * least)))

    async def _go_on_in(self, extent: Extent) -> None:
        """Resume in a log that was opened; the first time, fill the history."""
        follower = self._follower
        if follower.epoch == extent.epoch:
            is_back = extent.newest < follower.sequence
            is_there = extent.oldest <= follower.sequence <= extent.newest
            last: Sequence[Entry] = ()
            if is_there:
                last = await in_time(self._remote.read(follower.sequence - 1, 1, _WAIT_SECONDS), _WAIT_SECONDS)
            if is_back or follower.has_lost(last):
                await self._renew()
        elif extent.epoch in self._epochs:
            await self._renew("it has returned to an epoch that had ended")
        try:
            follower.go_on_in(extent, self._max_messages)
        except ValueError as error:  # another program has changed it
            await self._renew(str(error))
        self._epochs.add(extent.epoch)
        while not follower.is_open and follower.sequence < extent.newest:
            self._worked_at = time.monotonic()
            entries = await self._next_page()
            if not entries:
                raise LogChanged("it was emptied while it was read")
            follower.take(entries)
        follower.begin()

    async def _renew(self, why: str = "it has lost messages") -> None:
        """Begin a new epoch, and raise, so that the log is reopened."""
        await in_time(self._remote.renew())
        raise LogChanged(f"{why}, and begins a new epoch")

    async def _follow(self) -> None:
        writing = asyncio.create_task(self._writer.run())
        tasks = (writing, asyncio.create_task(self._read()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:  # a writer with nothing to append has asked for the head
                self._verb = "append" if task is writing and len(self._publish_queue) else "read"
                task.result()
        finally:
            await end(tasks)

    async def _read(self) -> None:
        follower = self._follower
        while True:
            is_due, self._worked_at = bool(follower.own), time.monotonic()
            entries = await self._next_page()
            follower.take(entries)
            if follower.own.is_lost or (is_due and not entries):
                await self._renew()
            self._works("read")
            self._progress.read(follower.history.head)
            while self._receiver.is_behind:  # in other threads, which set no event
                self._worked_at = time.monotonic()
                await asyncio.sleep(0.01)

    async def _next_page(self) -> Sequence[Entry]:
        limit = self._page_size.limit
        reading = self._remote.read(self._follower.sequence, limit, _WAIT_SECONDS)
        return await self._page_size.in_time(reading, lambda page: len(page) == limit, _WAIT_SECONDS)

    async def _disconnect(self) -> None:
        task, self._task = self._task, None
        try:
            await in_time(self._remote.close())
        except Exception:
            log.debug("closing the connection to %s failed", self._remote.name, exc_info=True)
        self._task = task

    def _works(self, verb: Verb) -> None:
        if self._status.works(verb):
            self._publish_queue.refuse("")

    def __repr__(self) -> str:
        return f"<LogBroker to {self._remote.name}: {self._follower!r}, {self._publish_queue!r}>"


def _handle_what_is_left(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An error that nobody awaits. Of a connection, it is one that a driver left behind when it was cancelled: asyncpg
    does so if that comes while it connects.
    """
    if isinstance(context.get("exception"), OSError):
        log.debug("%s", context["message"], exc_info=context["exception"])
    else:
        loop.default_exception_handler(context)
