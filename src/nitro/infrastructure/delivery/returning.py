"""Clients that come back with an id: what they missed comes before everything else.

Fed by the lane with outboxes and ids; lets each outbox begin anew with a replay. One whose id is further than this
process has read, since it comes from another that was faster, is held until this one is there; so is every one while
the log was not reached yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nitro.domain.message import Position
from nitro.infrastructure.brokers.base import NOWHERE
from nitro.infrastructure.delivery.foreign import ForeignIds
from nitro.infrastructure.delivery.outbox import Outbox
from nitro.infrastructure.delivery.replay import Read, Replay

if TYPE_CHECKING:
    from nitro.infrastructure.delivery.lane import Lane

__all__ = ["Returning"]

_PATIENCE_SECONDS: Final = 2.0
"""How long a process may be behind another one, before an id that it doesn't know counts as nobody's."""


class Returning:
    """Belongs to one lane.

    Args:
        read: the log's messages behind a position.
        max_bytes: what one client may be sent of what it missed.
        is_shared: whether other processes give out positions in this log.
    """

    def __init__(self, lane: Lane, read: Read, max_bytes: int, *, is_shared: bool) -> None:
        self._lane = lane
        self._max_bytes = max_bytes
        self._read = read
        self._is_shared = is_shared
        self._held: dict[Outbox, None] = {}
        self._foreign = ForeignIds()

    def resume(self, outbox: Outbox, after: Position | None) -> None:
        """Let `outbox` begin behind `after`, or with a gap if that is None; then its feed goes on from here."""
        if outbox.feed is None or outbox.is_ended:
            outbox.starts_at = after  # ended before it began: it comes back to where it was
        elif after is not None and self._is_ahead(after):
            self.hold(outbox, after)
        else:
            self._replay(outbox, after)

    def hold(self, outbox: Outbox, after: Position) -> None:
        """Let `outbox` take nothing before this process has read up to `after`; for a while."""
        outbox.hold(after)
        self._held[outbox] = None
        loop = self._lane.loop
        if loop is not None:  # else it is held until it is adopted by a loop
            loop.call_later(_PATIENCE_SECONDS, self._give_up, outbox, after, context=self._lane.inbox.context)

    def look_again(self) -> None:
        """Let those begin whom this process has caught up with."""
        for outbox in tuple(self._held):
            after = outbox.held_for
            if after is None or not self._is_ahead(after):
                self.forget(outbox)
                self._replay(outbox, after)

    def forget(self, outbox: Outbox) -> None:
        """Hold it no more."""
        self._held.pop(outbox, None)

    def _give_up(self, outbox: Outbox, after: Position) -> None:
        if outbox not in self._held or outbox.held_for != after:
            return
        if self._lane.position == NOWHERE:
            self.hold(outbox, after)
        else:
            self.forget(outbox)
            self._replay(outbox, after)
            self._lane.notify_soon()

    def _is_ahead(self, after: Position) -> bool:
        head = self._lane.position
        return head == NOWHERE or (self._is_shared and after.epoch == head.epoch and after.sequence > head.sequence)

    def _replay(self, outbox: Outbox, after: Position | None) -> None:
        lane, feed = self._lane, outbox.feed
        assert feed is not None
        if after is not None and after.epoch != lane.position.epoch and not self._is_shared:
            self._foreign.note()
        lane.feeds.close(feed)
        outbox.resume(Replay(self._read, feed.interest, after, lane.position, self._max_bytes, lane.counts.gaps))
        feed.owes_id |= outbox.starts_at != lane.position
        lane.counts.replays += 1
        lane.turns.add_replaying(outbox)

    def __bool__(self) -> bool:
        return bool(self._held)

    def __repr__(self) -> str:
        return f"<Returning, {len(self._held)} held>"
