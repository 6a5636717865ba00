"""This process's own entries: once acknowledged, they must appear in the log when it is read, in their order.

If they don't, the log was restored from a backup before they were read, and others may have appended since. The writer
reports what it appends and at which sequence; the follower checks what it reads. Of each batch only the last is kept.
"""

from __future__ import annotations

from collections import deque

from nitro.brokers.base import Entry
from nitro.brokers.codec import STAMP_BYTES

__all__ = ["OwnEntries"]


class OwnEntries:
    """Part of one log broker.

    Attributes:
        is_lost: another entry was read where one of them was expected.
    """

    def __init__(self) -> None:
        self._seen = b""
        self._sent = b""
        self._acknowledged: deque[tuple[int, bytes]] = deque()
        self.is_lost: bool = False

    def forget(self, up_to: int | None = None) -> None:
        """Stop expecting entries up to that sequence, or all of them: a gap was announced."""
        while self._acknowledged and (up_to is None or self._acknowledged[0][0] <= up_to):
            self._acknowledged.popleft()
        if up_to is None:
            self._sent = b""
        self.is_lost = False

    def sent(self, body: bytes) -> None:
        """The last entry of a batch is being appended; it may be a retry. Empty, if nothing is to be expected of it."""
        begin = body[:STAMP_BYTES]
        self._sent = b"" if begin == self._seen else begin

    def stands(self, sequence: int) -> None:
        """The log has acknowledged the batch; its last entry is at this sequence or before."""
        if self._sent:
            self._acknowledged.append((sequence, self._sent))
            self._sent = b""

    def is_missing_at(self, entry: Entry) -> bool:
        """Whether `entry` is in the place of an expected one. An entry too long to be read can't be checked."""
        if not self._sent and not self._acknowledged:
            return False
        begin = (entry.body or b"")[:STAMP_BYTES]
        is_sent = bool(begin) and begin == self._sent
        if self._acknowledged:
            place, own = self._acknowledged[0]
            if begin == own or (entry.body is None and entry.sequence == place):
                self._acknowledged.popleft()
                self._seen = own
            elif entry.sequence >= place or is_sent:
                self.is_lost = True
        elif is_sent:
            self._seen, self._sent = begin, b""
        return self.is_lost

    def __bool__(self) -> bool:
        """Whether acknowledged entries have not been read yet."""
        return bool(self._acknowledged)

    def __repr__(self) -> str:
        return f"<OwnEntries: {len(self._acknowledged)} not read yet>"
