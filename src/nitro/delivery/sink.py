"""Sink: whoever takes what waits in an outbox, a socket or a reader."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Sink"]


class Sink(Protocol):
    """Takes what waits in an outbox until there is nothing for it, and says so by `outbox.free()`."""

    def ready(self) -> bool:
        """Something waits. Called in the loop of the outbox, with no task running; doesn't block.

        Returns whether it took all that it might. If not, it isn't called again before it says `outbox.free()`.
        """

    def ended(self) -> None:
        """Nothing more will come. Called once, in the loop of the outbox."""
