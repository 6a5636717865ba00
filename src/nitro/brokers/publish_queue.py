"""The publish queue: a bounded, numbered queue of messages to append to a log, and futures for acknowledgements.

Filled by emitters, in any thread; emptied by the log broker's writer, which removes a batch only once it is in the log.
"""

from __future__ import annotations

import secrets
import threading
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, NamedTuple

from nitro.errors import BrokerRefused, BrokerUnavailable

__all__ = ["PublishQueue"]

_BATCH_BYTES: Final = 1024 * 1024
_ITEM_BYTES: Final = 256
"""Approximate overhead of a queued message, in addition to its bytes."""


class _Waiter(NamedTuple):
    """A future for the acknowledgement of messages `first` to `last`."""

    first: int
    last: int
    future: Future[None]


def _last(waiter: _Waiter) -> int:
    return waiter.last


class PublishQueue:
    """The messages of one producer, numbered from 1.

    Args:
        max_bytes: limit of the queue.
        wake: called, in the emitter's thread, when a message is added; not again until `batch` has found none.

    Attributes:
        producer: identifies this queue in the log, so that a retried batch is not duplicated.
    """

    def __init__(self, max_bytes: int, wake: Callable[[], object]) -> None:
        self.producer: str = secrets.token_hex(8)
        self._max_bytes = max_bytes
        self._wake = wake
        self._lock = threading.RLock()  # re-entrant: a signal handler may emit
        self._bodies: deque[bytes] = deque()
        self._bytes = 0
        self._published = 0
        self._acknowledged = 0
        self._waiters: list[_Waiter] = []  # sorted by `last`
        self._lost: Exception | None = None  # the newest loss that no future has reported
        self._is_woken = False
        self._closed: str | None = None
        self._refused = ""

    def add(self, body: bytes, why_waiting: Callable[[], str]) -> int:
        """Queue a message, and return its number. `why_waiting` explains a full queue.

        Raises:
            BrokerUnavailable: the queue is full or closed.
        """
        with self._lock:
            if self._closed is not None:
                raise BrokerUnavailable(self._closed)
            size = len(body) + _ITEM_BYTES
            if self._bodies and self._bytes + size > self._max_bytes:
                raise BrokerUnavailable(
                    f"{why_waiting()}, and {self._bytes} bytes are queued for it (limit {self._max_bytes}); this event "
                    f"was not published; retry later, or raise NITRO_MAX_PUBLISH_QUEUE_BYTES"
                )
            self._bodies.append(body)
            self._bytes += size
            self._published += 1
            if not self._is_woken:
                self._is_woken = True
                self._wake()
            return self._published

    def batch(self, most: int) -> tuple[int, list[bytes]]:
        """The number of the oldest queued message, and the messages of one batch from there on, `most` at most."""
        with self._lock:
            bodies: list[bytes] = []
            size = 0
            for body in self._bodies:
                size += len(body)
                if bodies and (size > _BATCH_BYTES or len(bodies) == most):
                    break
                bodies.append(body)
            if not bodies:
                self._is_woken = False
            return self._acknowledged + 1, bodies

    def acknowledge(self, count: int, error: Exception | None = None) -> None:
        """Remove the oldest `count` messages: they are in the log, or, with `error`, never will be."""
        with self._lock:
            for _ in range(count):
                self._bytes -= len(self._bodies.popleft()) + _ITEM_BYTES
            self._acknowledged += count
            place = bisect_right(self._waiters, self._acknowledged, key=_last)
            told = self._waiters[:place]
            del self._waiters[:place]
            if error is not None:
                told += [waiter for waiter in self._waiters if waiter.first <= self._acknowledged]
                self._waiters = [waiter for waiter in self._waiters if waiter.first > self._acknowledged]
                if not told:
                    self._lost = error
        for _, _, future in told:
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    def acknowledgement(self, number: int | None = None) -> Future[None] | None:
        """Completes when all queued messages, or message `number`, are in the log; None if they are.

        It fails if one of them is lost. Without a number, it also fails if one was lost before and not reported.
        """
        with self._lock:
            error, last = None, number or self._published
            if self._lost is not None and number is None:
                error, self._lost = self._lost, None
            elif last <= self._acknowledged:
                return None
            elif self._refused:
                error = BrokerRefused(self._refused)
            future: Future[None] = Future()
            future.set_running_or_notify_cancel()  # it can't be cancelled before it is set
            if error is not None:
                future.set_exception(error)
            else:
                insort(self._waiters, _Waiter(number or self._acknowledged + 1, last, future), key=_last)
            return future

    def refuse(self, reason: str) -> None:
        """Fail all acknowledgements, pending and future, with `BrokerRefused`; an empty reason ends that.

        Messages stay queued, and further ones are accepted.
        """
        waiters: list[_Waiter] = []
        with self._lock:
            self._refused = reason
            if reason:
                waiters, self._waiters = self._waiters, waiters
        for _, _, future in waiters:
            future.set_exception(BrokerRefused(reason))

    @property
    def queued_bytes(self) -> int:
        """The approximate memory of the queued messages."""
        return self._bytes

    def close(self, reason: str) -> None:
        """Accept no more messages, and fail all pending acknowledgements."""
        with self._lock:
            self._closed = reason
            waiters, self._waiters = self._waiters, []
        for _, _, future in waiters:
            future.set_exception(BrokerUnavailable(reason))

    def __len__(self) -> int:
        return len(self._bodies)

    def __repr__(self) -> str:
        return f"<PublishQueue of {self.producer}: {len(self._bodies)} messages, {self._bytes} bytes>"
