"""The size of a batch: how many entries an operation of a log may carry, so that a slow line carries it in time.

Set by the log broker's writer and reader, one for each direction.
"""

from __future__ import annotations

import time

from nitro.brokers import tasks

__all__ = ["BatchSize"]


class BatchSize:
    """One entry after an operation that took too long; then twice as many each time that a full batch is quick.

    A line that did not carry a batch in time would never carry it, however often it is tried.

    Attributes:
        entries: the limit of the next operation.
    """

    def __init__(self, most: int) -> None:
        self.entries = most
        self._most = most
        self._began = 0.0

    def begin(self) -> int:
        """An operation begins; returns its limit."""
        self._began = time.monotonic()
        return self.entries

    def end(self, entries: int) -> None:
        """It has carried so many entries: a full batch in a quarter of the time that an answer may take is quick."""
        if entries == self.entries and time.monotonic() - self._began < tasks.ANSWER_SECONDS / 4:
            self.entries = min(2 * entries, self._most)

    def time_out(self) -> None:
        """It took too long."""
        self.entries = 1

    def __repr__(self) -> str:
        return f"<BatchSize: {self.entries} entries>"
