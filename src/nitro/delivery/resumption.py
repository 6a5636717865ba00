"""Resumption: clients that reconnect with an id get what they missed before everything else.

Fed by the lane with outboxes and ids; starts each outbox over with a replay. An id that this process doesn't know may
come from another process that has read further, or noticed a new epoch sooner. So the client is held until this process
has read that far, or the log answers that it has no such position; all clients are held until the log is reached.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Final

from nitro.access.leaky_buckets import LeakyBuckets
from nitro.brokers.base import NOWHERE, Broker
from nitro.delivery.clients import Clients
from nitro.delivery.foreign_ids import ForeignIds
from nitro.delivery.inbox import Action, Inbox
from nitro.delivery.outbox import Outbox
from nitro.delivery.query import INCOMPLETE
from nitro.delivery.registry import FeedRegistry
from nitro.delivery.replay import Allowance, Replay
from nitro.delivery.schedule import Schedule
from nitro.delivery.ticker import Ticker
from nitro.messages.message import Position
from nitro.settings import Settings

__all__ = ["Resumption"]

_ASKS_AGAIN_SECONDS: Final = 0.5
"""Interval at which the log is asked for its head while clients are held."""
_BURST_SECONDS: Final = 10
"""How many seconds' allowance of the log may be read for a user at once: usually all that was missed."""
_CROWD: Final = 10
"""All clients without a user together have the pace of this many users."""


class Resumption:
    """Belongs to one lane. True while clients are held.

    Args:
        broker: the broker whose log is read and asked for its head; other processes may share the log.
        settings: how much is replayed to each client, and how fast.
        act: runs an action in the lane, after everything posted so far, from any thread.
        may_resume: called with a client of a live query that resumes from a position; False if it can't.
        restart, restart_soon: called with a client of a live query that can't resume, and gets all rows instead of a
            gap; the latter while its sink takes something.
    """

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        clients: Clients,
        feeds: FeedRegistry,
        schedule: Schedule,
        inbox: Inbox,
        act: Callable[[Action], None],
        may_resume: Callable[[Outbox, Position], bool],
        begin: Callable[[Outbox], None],
        restart: Callable[[Outbox], None],
        restart_soon: Callable[[Outbox], None],
    ) -> None:
        self._broker = broker
        self._feeds = feeds
        self._schedule = schedule
        self._act = act
        self._may_resume = may_resume
        self._begin = begin
        self._restart = restart
        self._restart_soon = restart_soon
        self._has_loop = inbox.loop is not None
        self._max_replay = settings.max_replay_bytes, settings.max_replay_messages
        per_second = settings.max_replay_messages_per_second
        self._of_users = LeakyBuckets(per_second, _BURST_SECONDS * per_second)
        self._of_nobody = LeakyBuckets(_CROWD * per_second, _BURST_SECONDS * _CROWD * per_second)
        self._held = clients.index()  # and the position at which each resumes if it gets a gap
        self._looked_at = NOWHERE
        self._next = 0  # lowest sequence that a client is held for, in this epoch
        self._is_asking = False
        self._ask_again = Ticker(inbox.loop, inbox.context, _ASKS_AGAIN_SECONDS, self._ask)
        self._foreign = ForeignIds()

    def resume(self, outbox: Outbox, after: Position | None) -> None:
        """Start `outbox` after the position `after`, or with a gap if that is None; then its feed follows from here."""
        if outbox.chain is None or outbox.is_ended:
            outbox.starts_at = after  # ended before it began: it reconnects with the same id
        elif outbox.chain.interest.query is not None and after is not None and after.epoch == INCOMPLETE.epoch:
            self._schedule.counts.resumes["rows"] += 1
            self._restart(outbox)
        elif after is not None and self._is_unknown(after):
            self.hold(outbox, after)
        else:
            self._replay(outbox, after)

    def hold(self, outbox: Outbox, after: Position) -> None:
        """Give `outbox` nothing before this process knows what the client missed."""
        outbox.hold(after)
        self._held[outbox] = self._feeds.position
        self._schedule.hold(outbox)
        if after.epoch == self._looked_at.epoch:
            self._next = min(self._next, after.sequence)
        self._ask()

    def look_again(self) -> None:
        """Start the replays of held clients whose ids this process has caught up with."""
        head = self._feeds.position
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
        """The log resumes at `position` after a gap: so do all held clients that get one."""
        for outbox in self._held:
            self._held[outbox] = position

    def _ask(self) -> None:
        """Ask the log for its head, for all clients held now, and again while some are."""
        self._ask_again.stop()
        if self._is_asking or not self._held or not self._has_loop:  # without a loop: held until a loop adopts it
            return
        self._is_asking = True
        answered = partial(self._answered, {outbox: outbox.held_for for outbox in self._held})

        def hear(answer: Future[Position | None]) -> None:
            with suppress(RuntimeError):  # the loop was closed while it had clients
                self._act(partial(answered, answer.result()))

        self._broker.ask_head().add_done_callback(hear)

    def _answered(self, held: dict[Outbox, Position | None], head: Position | None) -> None:
        """The log's head is `head`, or unknown now (None): start the clients whose ids the log doesn't have."""
        self._is_asking = False
        for outbox, after in held.items() if head else ():
            if outbox in self._held and outbox.held_for == after and not _is_in(after, head):
                self._replay(outbox, after, self._held.pop(outbox))
        if self._held.keys() - held.keys():
            self._ask()
        elif self._held:
            self._ask_again.start()

    def _is_unknown(self, after: Position) -> bool:
        head = self._feeds.position
        if head == NOWHERE:
            return True
        return self._broker.is_shared and (after.epoch != head.epoch or after.sequence > head.sequence)

    def _replay(self, outbox: Outbox, after: Position | None, since: Position | None = None) -> None:
        self._held.pop(outbox, None)
        chain, head = outbox.chain, self._feeds.position
        assert chain is not None
        if after is not None and after.epoch != head.epoch and not self._broker.is_shared:
            self._foreign.note()
        self._feeds.close(chain)
        replay = self.replay(outbox, after, since)
        has_query = chain.interest.query is not None
        if has_query and (replay.is_lost or after is None or not self._may_resume(outbox, after)):
            self._schedule.counts.resumes["rows"] += 1
            self._restart(outbox)
            return
        outbox.resume(replay)
        self._begin(outbox)
        chain.owes_id |= outbox.starts_at != head
        self._schedule.counts.resumes["gap" if replay.is_lost else "replayed"] += 1
        self._schedule.resume(outbox)

    def replay(self, outbox: Outbox, after: Position | None, since: Position | None = None) -> Replay:
        """What `outbox` missed after a position."""
        chain = outbox.chain
        assert chain is not None
        user_id = outbox.principal.user_id
        pace = self._of_nobody if user_id is None else self._of_users
        allowance = Allowance(*self._max_replay, pace, user_id or "")
        gaps, on_lost = self._schedule.counts.gaps, partial(self._restart_soon, outbox)
        return Replay(self._broker.read, chain.interest, after, self._feeds.position, allowance, gaps, since, on_lost)

    def __bool__(self) -> bool:
        return bool(self._held)

    def __repr__(self) -> str:
        return f"<Resumption, {len(self._held)} held>"


def _is_in(after: Position | None, head: Position | None) -> bool:
    """Whether a log with this head has the position `after`."""
    return after is not None and head is not None and after.epoch == head.epoch and after.sequence <= head.sequence
