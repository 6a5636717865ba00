"""Progress: futures for the log's head, and for this process to have read up to a position.

Requested from any thread; completed by the log broker's writer, which asks the log, and its reader, which follows it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

from nitro.brokers.base import NOWHERE
from nitro.brokers.shared_future import SharedFuture
from nitro.messages.message import Position

__all__ = ["Progress"]


class Progress:
    """Part of one log broker.

    Args:
        wake: called, in the caller's thread, when the log's head is requested.

    Attributes:
        appended: the newest position at which this process has appended; None if it has not.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self.appended: Position | None = None
        self._wake = wake
        self._lock = threading.RLock()  # re-entrant: a signal handler may ask
        self._read = NOWHERE
        self._answered: Position | None = None
        self._is_failing = self._is_closed = False
        self._questions: dict[SharedFuture[Position | None], None] = {}
        self._open_question: SharedFuture[Position | None] | None = None  # for all who ask until the log is asked
        self._has_woken = False  # for that one
        self._waiters: dict[Position, SharedFuture[None]] = {}

    def ask(self, loop: asyncio.AbstractEventLoop | None = None) -> SharedFuture[Position | None]:
        """The newest position in the log, as the log reports it after this call; None if the log is unavailable.

        With the running `loop` of a caller that awaits the answer, the log is asked at the end of this turn of it, once
        for all who ask in the turn: waking another thread costs a system call, and that thread takes the interpreter.
        """
        with self._lock:
            question = self._open_question
            if question is None:
                question = SharedFuture()
                if self._is_failing:
                    question.set_result(None)
                    return question
                self._questions[question] = None
                self._open_question, self._has_woken = question, False
            if self._has_woken:
                return question
        if loop is None:
            self._wake_once()
        else:  # though others have asked: their loops may be busy, or closed before the turn ends
            loop.call_soon(self._wake_once)
        return question

    def _wake_once(self) -> None:
        with self._lock:
            if self._open_question is not None and not self._has_woken:
                self._has_woken = True
                self._wake()

    def take_questions(self) -> Sequence[SharedFuture[Position | None]]:
        """Those to answer with what the log says from now on. They stay here until they are answered."""
        with self._lock:
            self._open_question = None
            return tuple(self._questions)

    def answer(self, questions: Sequence[SharedFuture[Position | None]], head: Position | None) -> None:
        """Complete `questions`, those that were taken last, with a head that was read after that.

        Those that `fail` has completed meanwhile, in another thread, are left alone.
        """
        with self._lock:
            self._answered = head or self._answered
            mine = [question for question in questions if self._questions.pop(question, question) is None]
        for question in mine:
            question.set_result(head)

    @property
    def lag_messages(self) -> int:
        """How many messages this process has not read of those that it knows to be in the log."""
        known = [place for place in (self.appended, self._answered) if place is not None]
        read = self._read
        return max([place.sequence - read.sequence for place in known if _is_ahead(place, read)], default=0)

    def until_read(self, place: Position | None) -> SharedFuture[None] | None:
        """Completes when this process has read up to `place`, or the log is unavailable; None if that is so already."""
        with self._lock:
            if place is None or self._is_failing or not _is_ahead(place, self._read):
                return None
            return self._waiters.setdefault(place, SharedFuture())

    def read(self, head: Position) -> None:
        """This process has read up to `head`."""
        with self._lock:
            self._read = head
            if not self._waiters:
                return
            there = [place for place in self._waiters if not _is_ahead(place, head)]
            waiters = [self._waiters.pop(place) for place in there]
        for waiter in waiters:
            waiter.set_result(None)

    def fail(self) -> None:
        """The log is unavailable: complete all futures, and new ones at once, until `go_on`."""
        with self._lock:
            self._is_failing = True
            waiters, self._waiters = self._waiters, {}
        self.answer(self.take_questions(), None)
        for waiter in waiters.values():
            waiter.set_result(None)

    def go_on(self) -> None:
        """The log is available again."""
        with self._lock:
            self._is_failing = self._is_closed

    def close(self) -> None:
        """The log is done with: complete all futures, and new ones at once, for good."""
        with self._lock:
            self._is_closed = True
            self.fail()

    def __repr__(self) -> str:
        return f"<Progress at {self._read}: {len(self._questions)} questions, {len(self._waiters)} waiters>"


def _is_ahead(place: Position, head: Position) -> bool:
    return place.epoch == head.epoch and place.sequence > head.sequence
