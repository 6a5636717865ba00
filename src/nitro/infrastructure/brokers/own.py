"""This process's own entries: once the log has acknowledged them, they have to come by when it is read, in their order.

If they don't, the log was put back to an earlier state before they were read, and others may have written on in it.
Told by the writer what is sent and where it stands, and by the follower what comes by. Of each batch it is the last.
"""

from __future__ import annotations

from collections import deque

from nitro.infrastructure.brokers.base import Entry
from nitro.infrastructure.brokers.wire import STAMP_BYTES

__all__ = ["OwnEntries"]


class OwnEntries:
    """Belongs to one link.

    Attributes:
        is_lost: something else has come by where one of them had to be.
    """

    def __init__(self) -> None:
        self._seen = b""
        self._acknowledged: deque[tuple[int, bytes]] = deque()
        self.forget()

    def forget(self) -> None:
        """Look for none of them: a gap was told behind which they may be."""
        self._acknowledged.clear()
        self._sent = b""
        self.is_lost = False

    @property
    def place(self) -> int:
        """Up to where the log has to have something; 0 if nothing is looked for."""
        return self._acknowledged[-1][0] if self._acknowledged else 0

    def sent(self, body: bytes) -> None:
        """It is the last one of a batch, which may be on its way a second time."""
        begin = body[:STAMP_BYTES]
        self._sent = b"" if begin == self._seen else begin

    def stands(self, sequence: int) -> None:
        """The log has acknowledged what was sent, at this place or before."""
        if self._sent:
            self._acknowledged.append((sequence, self._sent))
            self._sent = b""

    def is_missing_at(self, entry: Entry) -> bool:
        """Whether that entry comes by instead of one of them. One that is too long to be read can't be told."""
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

    def __repr__(self) -> str:
        return f"<OwnEntries: {len(self._acknowledged)} up to {self.place}>"
