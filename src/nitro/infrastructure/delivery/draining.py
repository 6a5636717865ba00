"""Draining: how the clients of a lane end when the process does. Begun by the hub; tells the lane whom to end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Final

from nitro.infrastructure.delivery.sink import NOBODY

if TYPE_CHECKING:
    from nitro.infrastructure.delivery.lane import Lane

__all__ = ["Draining"]

_PATIENCE_SECONDS: Final = 0.5
"""How long clients that are behind have to take what was emitted before the end."""
_LOOK_SECONDS: Final = 0.25
"""How often it is looked, while there are clients, whether their server has stopped by itself."""
_MOST_SERVERS: Final = 16
"""An address that a middleware made up is no reason to look for more and more of them."""

HasStopped = Callable[[], bool]
"""Whether a server accepts no more connections."""


class Draining:
    """Belongs to one lane.

    Attributes:
        is_on: whoever joins, or has taken all, is ended at once.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self.is_on = False
        self._servers: dict[Hashable, HasStopped | None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Deliver what was emitted so far, then end all clients, now and from now on."""
        lane = self._lane
        lane.route()
        self.is_on = True
        for outbox in lane.outboxes:
            lane.tell(outbox)
            if not outbox.is_busy or outbox.sink is NOBODY:
                lane.end_by_itself(outbox)
        if lane.outboxes and lane.loop is not None:  # the others end when they rest, or then
            lane.loop.call_later(_PATIENCE_SECONDS, self._end_all, context=lane.inbox.context)

    def watch(self, server: Hashable, find: Callable[[], HasStopped | None]) -> None:
        """Begin by itself once all servers that are watched have stopped, without a signal or a word.

        Args:
            server: whichever; it is found once.
            find: how to see that it has stopped; None if that can't be seen.
        """
        if server not in self._servers:
            if len(self._servers) >= _MOST_SERVERS:
                return
            self._servers[server] = find()
        self._look_soon()

    def _look_soon(self) -> None:
        loop = self._lane.loop
        if self._timer is None and loop is not None and not self.is_on and any(self._servers.values()):
            self._timer = loop.call_later(_LOOK_SECONDS, self._look, context=self._lane.inbox.context)

    def _look(self) -> None:
        self._timer = None
        if not self._lane.outboxes or self.is_on:
            return
        if all(has_stopped() for has_stopped in self._servers.values() if has_stopped is not None):
            self.begin()
        else:
            self._look_soon()

    def _end_all(self) -> None:
        for outbox in self._lane.outboxes:
            self._lane.end_by_itself(outbox)

    def __repr__(self) -> str:
        return f"<Draining {'on' if self.is_on else 'off'}>"
