"""Clients that come back with an id: what they missed comes before everything else.

Fed by the lane with outboxes and ids; lets each outbox begin anew with a replay. One whose id this process doesn't know
may come from another process that has read further, or has noticed a new epoch sooner. So it is held until this one has
read so far, or the log itself says that it is nobody's; so is every one while the log was not reached yet.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from nitro.domain.message import Position
from nitro.infrastructure.access.buckets import Buckets
from nitro.infrastructure.brokers.base import NOWHERE, Broker
from nitro.infrastructure.delivery.foreign import ForeignIds
from nitro.infrastructure.delivery.outbox import Outbox
from nitro.infrastructure.delivery.replay import Allowance, Replay
from nitro.settings import Settings

if TYPE_CHECKING:
    from nitro.infrastructure.delivery.lane import Lane

__all__ = ["Returning"]

_ASKS_AGAIN_SECONDS: Final = 0.5
"""The log is asked so often for those who are held."""
_BURST_SECONDS: Final = 10
"""So many seconds' worth of the log may be looked at for a user at once: usually all that was missed."""
_CROWD: Final = 10
"""All clients without a user together have the pace of so many users."""


class Returning:
    """Belongs to one lane.

    Args:
        broker: what it reads, and asks where the log stands; others may give out positions in it.
        settings: what each client may be sent of what it missed, and how fast.
    """

    def __init__(self, lane: Lane, broker: Broker, settings: Settings) -> None:
        self._lane = lane
        self._broker = broker
        self._max_replay = settings.max_replay_bytes, settings.max_replay_messages
        per_second = settings.max_replay_messages_per_second
        self._of_users = Buckets(per_second, _BURST_SECONDS * per_second)
        self._of_nobody = Buckets(_CROWD * per_second, _BURST_SECONDS * _CROWD * per_second)
        self._held: dict[Outbox, Position] = {}  # and where each goes on that has to be told of a gap
        self._postponed: dict[Outbox, asyncio.TimerHandle] = {}
        self._looked_at = NOWHERE
        self._next = 0  # in this epoch, the first place for which one is held
        self._is_asking = self._asks_again = False
        self._foreign = ForeignIds()

    def resume(self, outbox: Outbox, after: Position | None) -> None:
        """Let `outbox` begin behind `after`, or with a gap if that is None; then its feed goes on from here."""
        if outbox.feed is None or outbox.is_ended:
            outbox.starts_at = after  # ended before it began: it comes back to where it was
        elif after is not None and self._is_unknown(after):
            self.hold(outbox, after)
        else:
            self._replay(outbox, after)

    def hold(self, outbox: Outbox, after: Position) -> None:
        """Let `outbox` take nothing before this process knows what it missed."""
        outbox.hold(after)
        self._held[outbox] = self._lane.position
        if after.epoch == self._looked_at.epoch:
            self._next = min(self._next, after.sequence)
        self._ask()

    def look_again(self) -> None:
        """Let those begin whom this process has caught up with."""
        head = self._lane.position
        if head.epoch == self._looked_at.epoch and head.sequence < self._next:
            return
        self._looked_at = head
        for outbox in tuple(self._held):
            after = outbox.held_for
            if after is None or not self._is_unknown(after):
                self._replay(outbox, after, self._held.pop(outbox))
        waiting = [outbox.held_for for outbox in self._held]
        self._next = min(
            [after.sequence for after in waiting if after and after.epoch == head.epoch], default=sys.maxsize
        )

    def move_to(self, position: Position) -> None:
        """The log goes on from there, for all who are held."""
        self._held = dict.fromkeys(self._held, position)

    def forget(self, outbox: Outbox) -> None:
        """Hold it no more."""
        self._held.pop(outbox, None)
        timer = self._postponed.pop(outbox, None)
        if timer is not None:
            timer.cancel()

    def postpones(self, outbox: Outbox) -> bool:
        """Whether its next page has to wait; then it is as if its sink were busy, until it is told again."""
        seconds, loop = outbox.replay_waits, self._lane.loop
        if not seconds or loop is None:
            return False
        outbox.is_busy = True
        if outbox not in self._postponed:
            go_on = partial(self._go_on, outbox)
            self._postponed[outbox] = loop.call_later(seconds, go_on, context=self._lane.inbox.context)
        return True

    def _go_on(self, outbox: Outbox) -> None:
        del self._postponed[outbox]
        outbox.rest()

    def _ask(self) -> None:
        """Ask the log where it stands, for all who are held now, and again while there are some."""
        if self._is_asking or not self._held or self._lane.loop is None:  # then it is held until a loop adopts it
            return
        self._is_asking = True
        answered = partial(self._answered, {outbox: outbox.held_for for outbox in self._held})

        def hear(answer: Future[Position | None]) -> None:
            with suppress(RuntimeError):  # the loop was closed under its clients
                self._lane.act(partial(answered, answer.result()))

        self._broker.ask_head().add_done_callback(hear)

    def _answered(self, held: dict[Outbox, Position | None], head: Position | None) -> None:
        """The log stands there, or (None) can't be asked now: let those begin whose ids are nobody's."""
        self._is_asking = False
        for outbox, after in held.items() if head else ():
            if outbox in self._held and outbox.held_for == after and not _is_in(after, head):
                self._replay(outbox, after, self._held.pop(outbox))
        if self._held.keys() - held.keys():
            self._ask()
        elif self._held and self._lane.loop is not None and not self._asks_again:
            self._asks_again = True
            self._lane.loop.call_later(_ASKS_AGAIN_SECONDS, self._ask_again, context=self._lane.inbox.context)

    def _ask_again(self) -> None:
        self._asks_again = False
        self._ask()

    def _is_unknown(self, after: Position) -> bool:
        head = self._lane.position
        if head == NOWHERE:
            return True
        return self._broker.is_shared and (after.epoch != head.epoch or after.sequence > head.sequence)

    def _replay(self, outbox: Outbox, after: Position | None, since: Position | None = None) -> None:
        lane, feed, read = self._lane, outbox.feed, self._broker.read
        assert feed is not None
        if after is not None and after.epoch != lane.position.epoch and not self._broker.is_shared:
            self._foreign.note()
        lane.feeds.close(feed)
        user_id = outbox.holder.user_id
        pace = self._of_nobody if user_id is None else self._of_users
        allowance = Allowance(*self._max_replay, pace, user_id or "")
        outbox.resume(Replay(read, feed.interest, after, lane.position, allowance, lane.counts.gaps, since))
        feed.owes_id |= outbox.starts_at != lane.position
        lane.counts.replays += 1
        lane.turns.add_replaying(outbox)

    def __bool__(self) -> bool:
        return bool(self._held)

    def __repr__(self) -> str:
        return f"<Returning, {len(self._held)} held>"


def _is_in(after: Position | None, head: Position | None) -> bool:
    """Whether a log that stands at `head` has that place."""
    return after is not None and head is not None and after.epoch == head.epoch and after.sequence <= head.sequence
