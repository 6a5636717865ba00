"""This process's own entries: once acknowledged, they must appear in the log when it is read, in their order.

If they don't, the log was restored from a backup before they were read, and others may have appended since. The writer
reports what it appends and at which sequence; the follower checks what it reads. Of each batch only the last is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from nitro.brokers.base import Entry
from nitro.brokers.codec import STAMP_BYTES

__all__ = ["OwnEntries"]


class OwnEntries:
    """Part of one log broker.

    An append that was interrupted may be in the log, so its entries may be read before the writer tries them again,
    perhaps fewer at a time. How many of them were read is counted, and those are not expected again.

    Attributes:
        is_lost: another entry was read where one of them was expected.
    """

    def __init__(self) -> None:
        self._first = 1  # the number of the first of:
        self._tried: Sequence[bytes] = ()  # the entries that were last tried, if not all are acknowledged
        self._read = 0  # how many of them were read
        self._sent = b""  # the last entry of the current try, if it is to be read, and its number:
        self._number = 0
        self._acknowledged: deque[tuple[int, bytes, int]] = deque()
        self.is_lost: bool = False

    def forget(self, up_to: int | None = None) -> None:
        """Stop expecting entries up to that sequence, or all of them: a gap was announced."""
        while self._acknowledged and (up_to is None or self._acknowledged[0][0] <= up_to):
            self._acknowledged.popleft()
        if up_to is None:
            self._sent = b""
        self.is_lost = False

    def sent(self, first: int, bodies: Sequence[bytes]) -> None:
        """This batch, whose entries are numbered from `first` on, is being appended; it may be a retry."""
        self._number = first + len(bodies) - 1
        if self._number >= self._first + len(self._tried):
            self._read = max(0, self._first + self._read - first)
            self._first, self._tried = first, bodies
        is_read = self._number < self._first + self._read
        self._sent = b"" if is_read else bodies[-1][:STAMP_BYTES]

    def stands(self, sequence: int) -> None:
        """The log has acknowledged the batch; its last entry is at this sequence or before."""
        if self._sent:
            self._acknowledged.append((sequence, self._sent, self._number))
            self._sent = b""
        if self._number == self._first + len(self._tried) - 1:
            self._first, self._tried, self._read = self._number + 1, (), 0

    def is_missing_at(self, entry: Entry) -> bool:
        """Whether `entry` is in the place of an expected one. An entry too long to be read can't be checked."""
        if not self._tried and not self._acknowledged:
            return False
        begin = (entry.body or b"")[:STAMP_BYTES]
        is_sent = bool(begin) and begin == self._sent
        if self._read < len(self._tried) and begin == self._tried[self._read][:STAMP_BYTES]:
            self._read += 1
        if self._acknowledged:
            place, own, number = self._acknowledged[0]
            if begin == own or (entry.body is None and entry.sequence == place):
                self._acknowledged.popleft()
                self._has_read(number)
            elif entry.sequence >= place or is_sent:
                self.is_lost = True
        elif is_sent:
            self._sent = b""
            self._has_read(self._number)
        return self.is_lost

    def _has_read(self, number: int) -> None:
        self._read = max(self._read, number + 1 - self._first)

    def __bool__(self) -> bool:
        """Whether acknowledged entries have not been read yet."""
        return bool(self._acknowledged)

    def __repr__(self) -> str:
        return f"<OwnEntries: {len(self._acknowledged)} not read yet>"
