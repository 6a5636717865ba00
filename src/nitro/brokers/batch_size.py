"""The size of a batch: how much an operation on a server may carry, so that a slow line carries it in time.

Used by the writer and the reader of a log, one for each direction, and for pages of streams.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from nitro.brokers import tasks

__all__ = ["BatchSize"]

T = TypeVar("T")


class BatchSize:
    """The least after an operation that took too long; then twice as much each time that a full batch takes less than
    half of the time.

    A line that did not carry a batch in time would never carry it, however often it is tried.

    Args:
        most: the limit to begin with, in entries or bytes.
        least: the limit after an operation that took too long.

    Attributes:
        limit: of the next operation.
    """

    def __init__(self, most: int, least: int = 1) -> None:
        self.limit: int = most
        self._most = most
        self._least = least

    async def in_time(self, operation: Awaitable[T], is_full: Callable[[T], bool], more_seconds: float = 0.0) -> T:
        """Await an operation that carries no more than `limit`; raises `TimeoutError` after `ANSWER_SECONDS`.

        Args:
            is_full: whether it carried as much as it could, from its result.
            more_seconds: how much longer it may take, and also if it is quick.
        """
        began = time.monotonic()
        try:
            result = await tasks.in_time(operation, more_seconds)
        except TimeoutError:
            self.limit = self._least
            raise
        if is_full(result) and time.monotonic() - began < tasks.ANSWER_SECONDS / 2:
            self.limit = min(2 * self.limit, self._most)
        return result

    def __repr__(self) -> str:
        return f"<BatchSize: {self.limit}>"
