"""The reader: a sink for code that takes messages one by one. Fed by an outbox, feeds an async iterator."""

from __future__ import annotations

import asyncio

from nitro.delivery.outbox import Outbox
from nitro.messages.message import Gap, Message

__all__ = ["Reader"]


class Reader:
    """Waits for messages of an outbox, in the loop of that outbox. A new reader replaces the outbox's previous sink."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._waiter: asyncio.Future[None] | None = None
        outbox.attach(self)

    def ready(self) -> bool:
        """Wake the coroutine that waits in `has_more`; it hasn't taken anything yet."""
        self.ended()
        return False

    def ended(self) -> None:
        """Wake the coroutine that waits in `has_more`."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def has_more(self) -> bool:
        """Wait until something can be taken; False once the client is disconnected or another sink is attached."""
        outbox = self._outbox
        while not outbox.is_ended and outbox.sink is self:
            if outbox.has_more:
                return True
            self._waiter = asyncio.get_running_loop().create_future()
            outbox.free()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return False

    def count(self, gap: Gap) -> None:
        """Count a gap that whoever reads has put in the place of a message."""
        self._outbox.scheduler.counts.gaps[gap.reason] += 1

    def take(self) -> Message | Gap | None:
        """Take the next available message or gap; None if there is none."""
        return self._outbox.take_message() if self._outbox.sink is self else None
