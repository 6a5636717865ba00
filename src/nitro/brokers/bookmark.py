"""The bookmark: the newest entry that a log has handed out, by which it is noticed that the log was put back since."""

from __future__ import annotations

from nitro.brokers.base import Entry, LogChanged
from nitro.brokers.codec import STAMP_BYTES

__all__ = ["Bookmark"]


class Bookmark:
    """For logs whose connections live on when a backup is put back: others write on in it, under the same numbers."""

    def __init__(self) -> None:
        self._sequence = 0
        self._begins = b""

    def is_at(self, sequence: int) -> bool:
        """Whether it is at this entry, so that how the log has it now can be checked."""
        return sequence == self._sequence and bool(self._begins)

    def check(self, begins: bytes | None) -> None:
        """The entry begins so now, or (None) is not there any more.

        Raises:
            LogChanged: it is another one.
        """
        if begins not in (self._begins, None):
            raise LogChanged("it was put back to an earlier state")

    def move(self, newest: Entry) -> None:
        """It is at this entry. One that is too long to be handed out can't be checked."""
        self._sequence, self._begins = newest.sequence, (newest.body or b"")[:STAMP_BYTES]

    def __repr__(self) -> str:
        return f"<Bookmark at {self._sequence}>"
