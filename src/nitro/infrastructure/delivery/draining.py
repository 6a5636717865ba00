"""Draining: how the clients of a lane end when the process does. Begun by the hub; tells the lane whom to end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nitro.infrastructure.delivery.sink import NOBODY

if TYPE_CHECKING:
    from nitro.infrastructure.delivery.lane import Lane

__all__ = ["Draining"]

_PATIENCE_SECONDS: Final = 0.5
"""How long clients that are behind have to take what was emitted before the end."""


class Draining:
    """Belongs to one lane.

    Attributes:
        is_on: whoever joins, or has taken all, is ended at once.
    """

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self.is_on = False

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

    def _end_all(self) -> None:
        for outbox in self._lane.outboxes:
            self._lane.end_by_itself(outbox)

    def __repr__(self) -> str:
        return f"<Draining {'on' if self.is_on else 'off'}>"
