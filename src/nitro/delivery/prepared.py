"""Prepared frames: bytes that are no event of the log, such as the items of a run."""

from __future__ import annotations

from nitro.delivery.frame import Frame, WireFormat
from nitro.messages.message import Gap, Message

__all__ = ["Prepared"]


class Prepared(Frame):
    """Bytes that are sent as they are, in whatever wire format: what a stream of another kind than events is made of.

    Args:
        encoded: whole server-sent events, or comment lines.
    """

    __slots__ = ()

    def __init__(self, encoded: bytes) -> None:
        self.message: Message | Gap | None = None
        self.size: int = len(encoded)
        self._encoded = (None, encoded)

    def encode(self, wire_format: WireFormat) -> bytes:  # noqa: ARG002 - it is the same in each
        """The bytes."""
        return self._encoded[1]
