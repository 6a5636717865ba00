"""Changed rows: a message of the log that tells of them, on its way to the lanes."""

from __future__ import annotations

from functools import cached_property

from nitro.messages.message import Message, Position
from nitro.messages.row_changes import RowChanges

__all__ = ["ChangedRows"]


class ChangedRows:
    """A message of the log that tells of changed rows; parsed once for all lanes, by the first that has queries.

    Attributes:
        position: its place in the log.
        size: in bytes.
    """

    def __init__(self, message: Message) -> None:
        assert message.position is not None  # it comes from the log
        self.position: Position = message.position
        self.size: int = len(message.payload)
        self._payload = message.payload

    @cached_property
    def changes(self) -> RowChanges | None:
        """What it tells; None if it is invalid."""
        return RowChanges.parse(self._payload)
