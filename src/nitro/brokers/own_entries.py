"""This process's own entries: once the log has acknowledged them, they have to come by when it is read, in their order.

If they don't, the log was put back to an earlier state before they were read, and others may have written on in it.
Told by the writer what is sent and where it stands, and by the follower what comes by. Of each batch it is the last.
"""

from __future__ import annotations

from collections import deque

from nitro.brokers.base import Entry
from nitro.brokers.codec import STAMP_BYTES

__all__ = ["OwnEntries"]


class OwnEntries:
    """Belongs to one link.

    Attributes:
        is_lost: something else has come by where one of them had to be.
    """

    def __init__(self) -> None:
        self._seen = b""
        self._sent = b""
        self._acknowledged: deque[tuple[int, bytes]] = deque()
        self.is_lost: bool = False

    def forget(self, up_to: int | None = None) -> None:
        """Look no more for those up to that place, or for any: a gap was told for them."""
        while self._acknowledged and (up_to is None or self._acknowledged[0][0] <= up_to):
            self._acknowledged.popleft()
        if up_to is None:
            self._sent = b""
        self.is_lost = False

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

    def __bool__(self) -> bool:
        """Whether the log has to have something that has not come by."""
        return bool(self._acknowledged)

    def __repr__(self) -> str:
        return f"<OwnEntries: {len(self._acknowledged)} have to come by>"
