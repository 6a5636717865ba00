"""Sink: whoever takes what waits in an outbox, a socket or a reader; or nobody yet."""

from __future__ import annotations

from typing import Final, Protocol

__all__ = ["NOBODY", "Sink"]


class Sink(Protocol):
    """Whoever takes what waits in an outbox."""

    def ready(self) -> bool:
        """Something waits. Called by the lane, in its loop, with no task running; doesn't block.

        Returns whether it took all of it. If not, it isn't called again before it says `outbox.rest()`.
        """

    def ended(self) -> None:
        """Nothing more will come. Called once, in the lane's loop."""


class _NobodyReads:
    def ready(self) -> bool:
        """Everything waits, until somebody reads."""
        return False

    def ended(self) -> None:
        """Nobody is there to be told."""


NOBODY: Final[Sink] = _NobodyReads()
