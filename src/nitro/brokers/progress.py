"""Progress: who waits to know where the log stands, or for this process to have read so far.

Asked from any thread; answered by the link's writer, which asks the log, and by its reader, which follows it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from nitro.brokers.base import NOWHERE
from nitro.messages.message import Position

__all__ = ["Progress"]


class Progress:
    """Belongs to one link.

    Args:
        wake: called, in the thread that asks, when somebody wants to know where the log stands.

    Attributes:
        appended: the newest place at which this process has appended something; None if it has not.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self.appended: Position | None = None
        self._wake = wake
        self._lock = threading.RLock()  # re-entrant: a signal handler may ask
        self._read = NOWHERE
        self._is_failing = False
        self._questions: list[Future[Position | None]] = []
        self._waiters: list[tuple[Position, Future[None]]] = []

    def ask(self) -> Future[Position | None]:
        """The newest place in the log, as the log says after this call; None if it can't be asked now."""
        question: Future[Position | None] = Future()
        question.set_running_or_notify_cancel()  # nobody can cancel what will be set
        with self._lock:
            if self._is_failing:
                question.set_result(None)
            else:
                self._questions.append(question)
                self._wake()
        return question

    @property
    def questions(self) -> Sequence[Future[Position | None]]:
        """Those that wait for an answer now."""
        with self._lock:
            return tuple(self._questions)

    def answer(self, questions: Sequence[Future[Position | None]], head: Position | None) -> None:
        """The log was asked after these were."""
        with self._lock:
            self._questions = [question for question in self._questions if question not in questions]
        for question in questions:
            question.set_result(head)

    def until_read(self, place: Position | None) -> Future[None] | None:
        """Done when this process has read up to there, or can't be expected to; None if that is so already."""
        with self._lock:
            if place is None or self._is_failing or not _is_ahead(place, self._read):
                return None
            waiter: Future[None] = Future()
            waiter.set_running_or_notify_cancel()
            self._waiters.append((place, waiter))
            return waiter

    def read(self, head: Position) -> None:
        """This process has read up to there."""
        with self._lock:
            self._read = head
            if not self._waiters:
                return
            there = [waiter for place, waiter in self._waiters if not _is_ahead(place, head)]
            self._waiters = [item for item in self._waiters if _is_ahead(item[0], head)]
        for waiter in there:
            waiter.set_result(None)

    def fail(self) -> None:
        """The log is away: nobody waits for it here, before it is back."""
        with self._lock:
            self._is_failing = True
            waiters, self._waiters = self._waiters, []
        self.answer(self.questions, None)
        for _, waiter in waiters:
            waiter.set_result(None)

    def go_on(self) -> None:
        """The log is there."""
        self._is_failing = False

    def __repr__(self) -> str:
        return f"<Progress at {self._read}: {len(self._questions)} ask, {len(self._waiters)} wait>"


def _is_ahead(place: Position, head: Position) -> bool:
    return place.epoch == head.epoch and place.sequence > head.sequence
