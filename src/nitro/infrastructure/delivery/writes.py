"""Writes: which clients' sockets take nothing right now, and since when.

Fed by connections whose write is under way; tells the lane of one that is blocked for too long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Final

from nitro.infrastructure.delivery.outbox import Outbox

__all__ = ["Writes"]

_LOOK_SECONDS: Final = 0.5
"""How often writes that are under way are looked at, while there are any."""


class Writes:
    """Belongs to one lane.

    Args:
        loop: None has no sockets.
        context: in which `stuck` is called.
        stuck: called with an outbox whose write is blocked for longer than its `send_timeout`.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None, context: Context, stuck: Callable[[Outbox], None]
    ) -> None:
        self._loop = loop
        self._context = context
        self._stuck = stuck
        self._since: dict[Outbox, float] = {}  # the oldest first
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, outbox: Outbox) -> None:
        """A write to `outbox` is under way from now on, until `end`; a new one after another begins anew."""
        assert self._loop is not None
        if outbox.is_ended:
            return
        self._since.pop(outbox, None)
        self._since[outbox] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._look, context=self._context)

    def end(self, outbox: Outbox) -> None:
        """No write to `outbox` is under way."""
        self._since.pop(outbox, None)

    def _look(self) -> None:
        assert self._loop is not None
        self._timer = None
        now = self._loop.time()
        for outbox, since in tuple(self._since.items()):
            if now - since > outbox.limits.send_timeout:
                self._stuck(outbox)
        if self._since and self._timer is None:
            self._timer = self._loop.call_later(_LOOK_SECONDS, self._look, context=self._context)

    def __repr__(self) -> str:
        return f"<Writes: {len(self._since)} under way>"
