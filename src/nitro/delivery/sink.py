"""Sink: takes the messages of an outbox; a socket or a reader."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Sink"]


class Sink(Protocol):
    """Takes from an outbox until nothing more is available, and then calls `outbox.free()`."""

    def ready(self) -> bool:
        """Notify it that something can be taken. Called in the loop of the outbox, outside of any task; doesn't block.

        Returns whether it took everything available. If not, it isn't called again before it calls `outbox.free()`.
        """

    def ended(self) -> None:
        """Notify it that nothing more will come. Called once, in the loop of the outbox."""
