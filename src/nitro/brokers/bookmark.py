"""The bookmark: the newest entry that was read from a log, by which a restore from a backup is detected."""

from __future__ import annotations

from nitro.brokers.base import Entry, LogChanged
from nitro.brokers.codec import STAMP_BYTES

__all__ = ["Bookmark"]


class Bookmark:
    """For logs whose connections survive a restore, after which others append under the same sequences."""

    def __init__(self) -> None:
        self._sequence = 0
        self._begins = b""

    def is_at(self, sequence: int) -> bool:
        """Whether it marks the entry at `sequence`, which can then be checked."""
        return sequence == self._sequence and bool(self._begins)

    def check(self, begins: bytes | None) -> None:
        """Compare with the entry's current first bytes; None if it was deleted.

        Raises:
            LogChanged: it is another entry.
        """
        if begins not in (self._begins, None):
            raise LogChanged("it was restored to an earlier state")

    def move(self, newest: Entry) -> None:
        """Mark this entry. One that is too long to be read can't be checked."""
        self._sequence, self._begins = newest.sequence, (newest.body or b"")[:STAMP_BYTES]

    def __repr__(self) -> str:
        return f"<Bookmark at {self._sequence}>"
