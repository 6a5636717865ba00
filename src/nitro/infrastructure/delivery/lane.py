"""The lane: everything of one event loop. Its inbox, and who is told when.

Fed by the hub, from any thread, in the log's order; feeds the sinks of its outboxes, in its own loop. Whatever changes
who hears what goes through the same inbox as the messages: it takes effect between those emitted before and after it.

The lane of no loop (`loop=None`) serves clients of threads without one: it works at once, under the hub's lock.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial

from nitro.domain.dismissal import Dismissal
from nitro.domain.message import Gap, Message, Position
from nitro.infrastructure.brokers.base import NOWHERE, Broker
from nitro.infrastructure.delivery.draining import Draining
from nitro.infrastructure.delivery.frame import Beat, Frame
from nitro.infrastructure.delivery.heartbeat import Heartbeat
from nitro.infrastructure.delivery.inbox import Action, Inbox, perform
from nitro.infrastructure.delivery.interest import Interest
from nitro.infrastructure.delivery.members import Members
from nitro.infrastructure.delivery.outbox import Outbox
from nitro.infrastructure.delivery.registry import FeedRegistry
from nitro.infrastructure.delivery.returning import Returning
from nitro.infrastructure.delivery.sink import NOBODY
from nitro.infrastructure.delivery.statistics import Counts
from nitro.infrastructure.delivery.turns import Turns, is_through
from nitro.infrastructure.delivery.writes import Writes
from nitro.settings import Settings

__all__ = ["Lane"]

log = logging.getLogger("nitro.delivery")

_REASONS = {"slow": "reads too slowly", "stuck": "takes nothing for its send_timeout", "broken": "can't be told"}


class Lane:
    """One event loop's share of the delivery.

    Attributes:
        position: newest message that was routed here.
        inbox: what was posted and is not yet routed.
        feeds: who hears what.
        turns: who is told next.
        counts: what was delivered here.
        returning: who comes back with an id.
        draining: the end of all its clients, when the process ends.
        joining: how many are about to join.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        lock: threading.RLock,
        broker: Broker,
        settings: Settings,
        report: Callable[[Action], None],
        on_idle: Callable[[Lane], None],
    ) -> None:
        self.loop = loop
        self.inbox = Inbox(loop, lock, self._run_here if loop is None else self._run)
        self.position = broker.head
        self.draining = Draining(self)
        self.joining = 0
        self.outboxes = Members(loop, self.inbox.context, self.end_by_itself)
        self._lock = lock
        self._report = report
        self._on_idle = on_idle
        self._heartbeat = Heartbeat(loop, settings.heartbeat_seconds, self.inbox.context, self._beat, self._notify)
        self._is_routing = False
        self._is_running = False
        self.counts = Counts()
        self.writes = Writes(loop, self.inbox.context, partial(self._end_for, "stuck"))
        self.turns = Turns()
        self.feeds = FeedRegistry(self.turns)
        self.returning = Returning(self, broker, settings)

    def act(self, action: Action, size: int = 0) -> None:
        """Run `action` after every message posted so far: now in the lane's own loop, soon from elsewhere."""
        if self.loop is not None and self.inbox.is_here and not self._is_routing:
            self.route()
            action()
            self.notify_soon()
        else:
            with self._lock:
                self.inbox.post(action, size)

    def catch_up(self) -> None:
        """Route what was posted so far, in the lane's own loop."""
        self.route()
        self.notify_soon()

    @property
    def is_idle(self) -> bool:
        """Whether nobody would miss this lane; the hub's lock is held."""
        return not (self.outboxes or self.inbox or self._is_routing or self.joining or self.draining.is_on)

    def join(self, outbox: Outbox, interest: Interest, on_ended: Action) -> None:
        """Let `outbox` hear `interest` from here on; `on_ended` is called if the lane ends it by itself."""
        outbox.starts_at = self.position
        self.adopt(outbox, interest, on_ended)

    def adopt(self, outbox: Outbox, interest: Interest, on_ended: Action) -> None:
        """The same for an outbox that another lane released."""
        if outbox.is_ended:
            return
        self.outboxes.add(outbox, on_ended)
        if self.draining.is_on:
            self.end_by_itself(outbox)
            return
        self.feeds.enter(outbox, interest, self.position)
        self.turns.add_outbox(outbox)
        self._heartbeat.start()
        if outbox.held_for is not None:
            self.returning.hold(outbox, outbox.held_for)

    def change(self, outbox: Outbox, interest: Interest) -> None:
        """Let `outbox` hear `interest` instead; what waits for it stays, but for what it may hear no more."""
        if outbox in self.outboxes and not outbox.is_ended:
            old = outbox.feed
            self.feeds.enter(outbox, interest, self.position)
            if old is not None and old is not outbox.feed:
                self.feeds.leave(old, outbox)
                if old.interest.permissions != interest.permissions:
                    outbox.withhold(interest)
            self.turns.add_outbox(outbox)  # its old feed, which may have got something, doesn't know it any more

    def obey(self, dismissal: Dismissal | None, position: Position | None) -> None:
        """End all clients of a user; the order to do so has this place in the log."""
        if self.position != NOWHERE:  # else it comes from what the log retained before it was reached
            self.position = position or self.position
        user_id, for_good = dismissal or (None, False)
        for outbox in self.outboxes.of_user(user_id):
            outbox.ends_for_good = outbox.ends_for_good or for_good
            self.end_by_itself(outbox, reason="dismissed")

    def lose(self, gap: Gap, *, dismisses: bool) -> None:
        """Tell all clients that the log goes on from elsewhere; or end those of users, as what is lost may say."""
        self.position = gap.resumed_at
        self.returning.move_to(self.position)
        for outbox in self.outboxes.of_users() if dismisses else ():
            self.end_by_itself(outbox, reason="dismissed")
        if self.outboxes:
            self.counts.gaps[gap.reason] += len(self.outboxes)
        for feed in self.feeds:
            self.feeds.append_to(feed, Frame(gap))

    def put(self, outbox: Outbox, message: Message) -> None:
        """Give `message` to this client alone."""
        if outbox in self.outboxes:
            self.feeds.close(outbox.feed)
            outbox.put(message)
            self.turns.add_outbox(outbox)
            if outbox.is_busy:
                self._relieve(outbox)

    def end(self, outbox: Outbox) -> None:
        """Let `outbox` go; its reader is told."""
        outbox.is_ended = True
        if not self.outboxes.remove(outbox):
            return
        self.feeds.leave(outbox.feed, outbox)
        self.turns.drop_outbox(outbox)
        self.writes.end(outbox)
        self.returning.forget(outbox)
        outbox.clear()
        outbox.sink.ended()
        outbox.sink = NOBODY
        if not self.outboxes:
            self._heartbeat.stop()

    def release(self, outbox: Outbox) -> Interest | None:
        """Take `outbox` out with all that waits for it, for another lane to go on; None if it isn't here."""
        if not self.outboxes.remove(outbox) or outbox.feed is None:
            return None
        self.turns.drop_outbox(outbox)
        self.returning.forget(outbox)
        feed = outbox.feed
        self.feeds.close(feed)
        outbox.follow(None)
        self.feeds.leave(feed, outbox)
        return feed.interest

    def end_by_itself(self, outbox: Outbox, reason: str = "") -> None:
        """End `outbox` from here, count why, and let its client know."""
        on_ended = self.outboxes.on_ended(outbox)
        if on_ended is not None:
            if reason:
                self.counts.ended[reason] += 1
            self.end(outbox)
            self._report(on_ended)

    def _run(self) -> None:
        self.route()
        self._notify()
        if not self.outboxes:
            self._on_idle(self)

    def _run_here(self) -> None:
        if self._is_running:  # a finalizer or signal handler, in the middle of this very method: it goes on below
            return
        self._is_running = True
        try:
            while self.inbox or self.turns:
                self._run()
        finally:
            self._is_running = False

    def notify_soon(self) -> None:
        """Tell those who got something, in the next turn."""
        if not self.outboxes:
            self._on_idle(self)
        elif self.turns:
            with self._lock:
                self.inbox.wake()

    def route(self) -> None:
        """Take what was posted so far, in its order."""
        self._is_routing = True  # whoever changes something in between queues up behind what is taken
        items = self.inbox.take()
        self.feeds.begin_tick()
        try:
            for item in items:
                if isinstance(item, Message):
                    self.feeds.append(item)
                    self.position = item.position or self.position
                else:
                    perform(item)
        finally:
            self._is_routing = False
        self.feeds.close_all()
        if self.returning:
            self.returning.look_again()

    def _notify(self) -> None:
        """Tell the outboxes that got something; very many of them in several turns."""
        if not is_through(map(self.tell, self.turns.due())):
            with self._lock:
                self.inbox.wake()

    def tell(self, outbox: Outbox) -> bool:
        """Let its sink take what waits, unless it is at it already. Too much of it ends the client.

        Returns whether that was a page of a replay; the next one has a turn of its own.
        """
        if outbox.is_ended:
            return False
        if outbox.is_busy:
            outbox.set_aside()
            self._relieve(outbox)
            return False
        if (is_page := outbox.is_replaying) and self.returning.postpones(outbox):
            return False
        try:
            outbox.is_busy = not outbox.sink.ready()
        except Exception:
            log.exception("a sink failed")
            self._end_for("broken", outbox)
        if is_page and not outbox.is_busy and not outbox.is_empty:
            self.turns.add_replaying(outbox)
            self.notify_soon()
        return is_page

    def rested(self, outbox: Outbox) -> None:
        """Its sink has taken all, or a page."""
        if outbox.is_replaying:
            self.turns.add_replaying(outbox)
            self.notify_soon()
        elif self.draining.is_on:
            self.end_by_itself(outbox)

    def _relieve(self, outbox: Outbox) -> None:
        """Shorten what waits for it, or end it, if that is more than its limit."""
        if not outbox.is_over_limit():
            return
        dropped = outbox.shorten()
        if dropped is None:
            self._end_for("slow", outbox)
        elif dropped:
            self.counts.dropped[outbox.limits.overflow] += dropped
            self.counts.gaps["overflow"] += 1

    def _end_for(self, reason: str, outbox: Outbox) -> None:
        log.warning("a client %s and is ended: %r", _REASONS[reason], outbox)
        self.end_by_itself(outbox, reason)

    def _beat(self) -> Iterator[None]:
        """One frame to every feed: proxies keep the line, and a quiet client's last id moves on."""
        self.route()
        for feed in self.feeds:  # a frame for each: between two turns messages are routed, and an id never goes back
            self.feeds.append_to(feed, Beat(self.position, is_known=feed.knows(self.position)))
            yield

    def __repr__(self) -> str:
        return f"<Lane of {self.loop!r}: {len(self.outboxes)} clients in {len(self.feeds)} feeds>"
