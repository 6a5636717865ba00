"""The lane: everything of one event loop. Its inbox, its feeds and clients, and their schedule.

Fed by the hub, from any thread, in the log's order; feeds the sinks of its outboxes, in its own loop. Changes of
subscriptions go through the same inbox as messages: each takes effect between those emitted before and after it.

The lane without a loop (`loop=None`) serves clients of threads without one: it runs immediately, under the hub's lock.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import monotonic, perf_counter
from typing import Final

from nitro.brokers.base import NOWHERE, Broker
from nitro.delivery.backlog import Pages
from nitro.delivery.clients import Clients
from nitro.delivery.frame import Beat, Frame
from nitro.delivery.inbox import Action, Inbox, perform
from nitro.delivery.interest import Interest
from nitro.delivery.live_queries import LiveQueries
from nitro.delivery.loop_lag import LoopLag
from nitro.delivery.outbox import Outbox
from nitro.delivery.query import INCOMPLETE, MISSED
from nitro.delivery.registry import FeedRegistry
from nitro.delivery.resumption import Resumption
from nitro.delivery.room_views import RoomViews
from nitro.delivery.schedule import Schedule
from nitro.delivery.serial_queue import SerialQueue
from nitro.delivery.server_watch import ServerWatch
from nitro.delivery.state import State
from nitro.delivery.statistics import Counts, DisconnectReason, EndReason
from nitro.delivery.ticker import Ticker, run_in_turns
from nitro.messages.message import Gap, Message, Position
from nitro.messages.presence import RoomChange
from nitro.messages.user_disconnect import UserDisconnect
from nitro.settings import Settings

__all__ = ["Lane"]

log: Final = logging.getLogger("nitro.delivery")

_PATIENCE_SECONDS: Final = 0.5
"""How long clients that lag behind may take the remaining messages when the lane drains."""
_TIMED_EVERY: Final = 16
"""Of so many ticks the delivery lag of one is measured; and of the first one in each second."""
_FAULTS: Final[dict[EndReason | None, str]] = {
    "slow": "reads too slowly for its max_messages and max_bytes",
    "stuck": "takes nothing for its send_timeout_seconds",
    "broken": "can't be told",
}
"""Reasons for ending a client that are logged as a warning."""


class Lane:
    """One event loop's share of the delivery.

    Attributes:
        inbox: messages and actions that were posted and are not yet routed.
        clients: all clients of the loop.
        feeds: their feeds, by interest and by route.
        schedule: which sinks are notified next.
        counts: what was delivered here.
        resumption: clients that resume from an id.
        queries: what clients of live queries get.
        rooms: what clients get of the rooms that they watch.
        loop_lag: how late the loop calls its timers.
        servers: the servers of the loop; when they stop, the lane drains.
        joining: how many clients are about to join.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        lock: threading.RLock,
        broker: Broker,
        settings: Settings,
        report: Callable[[Action], None],
        on_idle: Callable[[Lane], None],
        on_drained: Callable[[], None],
    ) -> None:
        self.loop = loop
        self.inbox: Inbox = Inbox(loop, lock, self._run_here if loop is None else self._run)
        context = self.inbox.context
        self.counts: Counts = Counts()
        self.joining = 0
        self._lock = lock
        self._report = report
        self._on_idle = on_idle
        self._on_drained = on_drained
        self._is_routing = False
        self._runs: SerialQueue = SerialQueue()
        self.clients: Clients = Clients(loop, context, self.end_by_itself)
        self.schedule: Schedule = Schedule(
            *(loop, context, self.clients, self.counts),
            wake=self._wake,
            check_limits=self._check_limits,
            end=self.end_by_itself,
        )
        self.feeds: FeedRegistry = FeedRegistry(self.schedule, broker.head)
        self.rooms: RoomViews = RoomViews(self.feeds, self.schedule, settings.presence_max_members)
        self.resumption: Resumption = Resumption(
            *(broker, settings, self.clients, self.feeds, self.schedule, self.inbox),
            act=self.act,
            begin=self.rooms.show,
            may_resume=self._may_resume,
            restart=self.restart,
            restart_soon=self._restart_soon,
        )
        self.queries: LiveQueries = LiveQueries(
            *(loop, context, self.clients, self.feeds, self.schedule),
            changes_since=self.resumption.replay,
            act=self.act,
            end=self.end_by_itself,
        )
        self.servers: ServerWatch = ServerWatch(loop, context, self.clients, self.drain)
        self.loop_lag: LoopLag = LoopLag(loop, context, self._time_next)
        self._since = 0.0  # when the oldest message of a timed tick was posted, until all are notified of it
        self._ticks = 0
        self._heartbeat = Ticker(loop, context, settings.heartbeat_seconds, self._beat)

    @property
    def position(self) -> Position:
        """Position of the newest message that was routed here."""
        return self.feeds.position

    def act(self, action: Action, size: int = 0) -> None:
        """Run `action` after every message posted so far: immediately in the lane's own loop, soon from elsewhere."""
        if self.loop is not None and self.inbox.is_here and not self._is_routing:
            self.route()
            action()
            self._notify_soon()
        else:
            with self._lock:
                self.inbox.post(action, size)

    def catch_up(self) -> None:
        """Route what was posted so far, in the lane's own loop."""
        self.route()
        self._notify_soon()

    @property
    def is_idle(self) -> bool:
        """Whether this lane can be removed; the hub's lock is held."""
        return not (self.clients or self.inbox or self._is_routing or self.joining or self.schedule.is_draining)

    @property
    def is_running(self) -> bool:
        """Whether its loop runs now."""
        return self.loop is None or self.loop.is_running()

    @property
    def is_abandoned(self) -> bool:
        """Whether its loop has stopped, and all its clients were ended since then; the hub's lock is held."""
        return not (self.is_running or self.joining) and all(outbox.is_ended for outbox in self.clients)

    def join(self, outbox: Outbox, interest: Interest, on_ended: Action) -> None:
        """Add `outbox` to the feed of `interest` from here on; `on_ended` is called if the lane ends it by itself."""
        outbox.starts_at = self.position
        if not outbox.is_ended:
            self.counts.connects += 1
        self.adopt(outbox, interest, on_ended)
        self.rooms.show(outbox)

    def adopt(self, outbox: Outbox, interest: Interest, on_ended: Action) -> None:
        """As `join`, for an outbox that another lane released."""
        if outbox.is_ended:
            return
        self.clients.add(outbox, on_ended)
        if self.schedule.is_draining:
            self.end_by_itself(outbox)
            return
        self.feeds.enter(outbox, interest)
        self._heartbeat.start()
        self.loop_lag.start()
        if outbox.held_for in (INCOMPLETE, MISSED):
            self.queries.restart(outbox, is_reset=False)
        elif outbox.held_for is not None:
            self.resumption.hold(outbox, outbox.held_for)
        elif interest.query is not None and outbox.is_replaying:  # in the other lane; if it is lost, this one restarts
            self.resumption.resume(outbox, outbox.starts_at)

    def resume(self, outbox: Outbox, after: Position | None) -> None:
        """Start `outbox` after the position `after`, whatever it was to begin with."""
        self.queries.give_up(outbox)
        self.resumption.resume(outbox, after)

    def read(self, outbox: Outbox, pages: Pages) -> None:
        """Give `outbox` these pages, and then end it: it hears nothing of the log."""
        if outbox in self.clients:
            outbox.resume(pages)
            self.schedule.resume(outbox)

    def begin(self, outbox: Outbox) -> None:
        """Give `outbox` all rows of its live query first."""
        self.queries.restart(outbox, is_reset=False)

    def hear_rooms(self, changes: Sequence[RoomChange], position: Position | None) -> None:
        """Tell those who watch what has changed in rooms."""
        if self.position != NOWHERE:  # else the log was not reached yet, and this is an entry that it retained
            self.feeds.position = position or self.position
        self.rooms.append(changes)

    def restart(self, outbox: Outbox) -> None:
        """Give `outbox` all rows of its live query again, since it has missed some, or had wrong ones."""
        self.queries.restart(outbox, is_reset=True)

    def _may_resume(self, outbox: Outbox, after: Position) -> bool:
        return self.queries.resumes(outbox, after)

    def _restart_soon(self, outbox: Outbox) -> None:
        with self._lock:
            self.inbox.post(partial(self.restart, outbox))

    def change(self, outbox: Outbox, interest: Interest) -> None:
        """Move `outbox` to the feed of `interest`; its queued messages stay, except those no longer permitted."""
        old = outbox.chain
        if outbox in self.clients and not outbox.is_ended and old is not None:
            self.feeds.enter(outbox, interest)
            if old.interest.permissions != interest.permissions:
                outbox.withhold(interest)
            if _sees_other_rooms(old.interest, interest):
                self.rooms.show(outbox)
            if not outbox.is_empty:
                self.schedule.add(outbox)  # its old feed doesn't notify it any more

    def disconnect_user(self, order: UserDisconnect | None, position: Position | None) -> None:
        """End all clients of a user; `position` is that of the order in the log, or None."""
        if self.position != NOWHERE:  # else the log was not reached yet, and this is an order that it retained
            self.feeds.position = position or self.position
        user_id, for_good = order or (None, False)
        for outbox in self.clients.of_user(user_id):
            outbox.ends_for_good = outbox.ends_for_good or for_good
            self.end_by_itself(outbox, "dismissed")

    def lose(self, gap: Gap, *, ends_users: bool) -> None:
        """Give all clients a gap; or end those of users, since a disconnect_user order may have been lost."""
        self.feeds.position = gap.resumed_at
        self.resumption.move_to(gap.resumed_at)
        for outbox in self.clients.of_users() if ends_users else ():
            self.end_by_itself(outbox, "dismissed")
        if self.clients:
            self.counts.gaps[gap.reason] += len(self.clients)
        for feed in self.feeds:
            if feed.interest.query is None:
                self.feeds.append_to(feed, Frame(gap))
        self.queries.lose()
        self.rooms.show_all()

    def put(self, outbox: Outbox, message: Message) -> None:
        """Queue `message` for this client alone."""
        if outbox in self.clients:
            self.feeds.close(outbox.chain)
            outbox.put(message)
            self.schedule.add(outbox)
            if outbox.state.is_limited:
                self._check_limits(outbox)

    def end(self, outbox: Outbox) -> None:
        """End `outbox`, as the client or the application wants, and notify its sink."""
        self._end(outbox, "closed")

    def _end(self, outbox: Outbox, reason: DisconnectReason) -> None:
        outbox.is_ended = True
        if self._detach(outbox):
            self.counts.disconnect(reason, monotonic() - outbox.made_at)
            sink, outbox.sink = outbox.sink, None
            outbox.clear()
            outbox.state = State.ENDED
            if sink is not None:
                sink.ended()
            if not self.clients:
                self._heartbeat.stop()
                self.loop_lag.stop()
                if self.schedule.is_draining:
                    self._on_drained()

    def release(self, outbox: Outbox) -> Interest | None:
        """Remove `outbox` with its queued messages, for another lane to adopt; None if it isn't here."""
        chain = outbox.chain
        self.feeds.close(chain)
        if not self._detach(outbox) or chain is None:
            return None
        outbox.follow(None)
        return chain.interest

    def _detach(self, outbox: Outbox) -> bool:
        """Remove `outbox` from this lane; its queued messages stay. Returns whether it was here."""
        if not self.clients.detach(outbox):
            return False
        chain = outbox.chain
        self.feeds.leave(outbox, chain)
        if chain is not None and chain.interest.query is not None:
            self.queries.forget(chain.interest.query)
        return True

    def end_by_itself(self, outbox: Outbox, reason: EndReason | None = None) -> None:
        """End `outbox`, count the reason, None for a server that stops, and report it to the client."""
        if reason in _FAULTS:
            log.warning("a client %s and is ended: %r", _FAULTS[reason], outbox)
        on_ended = self.clients.on_ended(outbox)
        if on_ended is not None:
            self._end(outbox, reason or "shutdown")
            self._report(on_ended)

    def drain(self) -> None:
        """Deliver what was emitted so far, then end all clients, and those that still join."""
        self.route()
        self.schedule.is_draining = True
        self.servers.stop()
        if not self.clients:
            self._on_drained()
        for outbox in self.clients:
            self._end_if_free(outbox)
        if self.clients and self.loop is not None:  # the others end when they have taken everything, or then
            self.loop.call_later(_PATIENCE_SECONDS, self._end_all, context=self.inbox.context)

    def finish(self, outbox: Outbox) -> None:
        """Deliver to `outbox` what was routed so far, then end it; a slow client is given `_PATIENCE_SECONDS`."""
        if outbox in self.clients and not self._end_if_free(outbox) and self.loop is not None:
            self.loop.call_later(_PATIENCE_SECONDS, self.end_by_itself, outbox, context=self.inbox.context)

    def _end_if_free(self, outbox: Outbox) -> bool:
        """End `outbox` when it has taken what can be taken; False if it is still being written or read."""
        self.schedule.notify(outbox)
        if outbox.sink is not None and outbox.state in (State.BUSY, State.BEHIND):
            return False
        self.end_by_itself(outbox)
        return True

    def _end_all(self) -> None:
        for outbox in self.clients:
            self.end_by_itself(outbox)

    def _run(self) -> None:
        self.route()
        self._notify()
        if not self.clients:
            self._on_idle(self)

    def _run_here(self) -> None:
        self._runs.call(self._run_all)

    def _run_all(self) -> None:
        while self.inbox or self.schedule:
            self._run()

    def _notify(self) -> None:
        """Notify the sinks that are due; if they are very many, in several turns."""
        if not self.schedule.run():
            self._wake()
        elif self._since:
            self.counts.delivery_lag_seconds.observe(perf_counter() - self._since)
            self._since = 0.0

    def _notify_soon(self) -> None:
        """Notify them in the next iteration of the loop."""
        if not self.clients:
            self._on_idle(self)
        elif self.schedule:
            self._wake()

    def _wake(self) -> None:
        with self._lock:
            self.inbox.wake()

    def route(self) -> None:
        """Route the messages and run the actions posted so far, in their order."""
        self._is_routing = True  # an action that comes meanwhile is posted behind these items
        items = self.inbox.take()
        self.feeds.begin_tick()
        try:
            for item in items:
                if isinstance(item, Message):
                    self.feeds.append(item)
                else:
                    perform(item)
        finally:
            self._is_routing = False
        self.feeds.close_all()
        self._ticks += 1
        if self._ticks % _TIMED_EVERY == 0:
            self._time_next()
        if self.inbox.taken_since and self.schedule:
            self._since = self._since or self.inbox.taken_since
        if self.resumption:
            self.resumption.look_again()

    def _time_next(self) -> None:
        self.inbox.times_next = True

    def _check_limits(self, outbox: Outbox) -> None:
        """If more than its limit is queued for `outbox`, drop messages or end it.

        If its sink is free, and it waits for the next page of its replay, the replay goes on with them.
        """
        if not outbox.is_over_limit():
            return
        is_replaying = outbox.state is State.REPLAYING
        if (is_replaying or outbox.state is State.PAUSED) and outbox.leave_to_replay():
            self.rooms.show(outbox)
            return
        if is_replaying:
            return
        has_query = outbox.chain is not None and outbox.chain.interest.query is not None
        if has_query and outbox.limits.overflow != "disconnect":
            if not outbox.limits.allows(*outbox.private):  # which no restart drops
                self.end_by_itself(outbox, "slow")
                return
            self.counts.dropped[outbox.limits.overflow] += outbox.waiting[0]
            self.counts.gaps["overflow"] += 1
            self.restart(outbox)
            return
        dropped = outbox.shorten(self.position)
        if dropped is None:
            self.end_by_itself(outbox, "slow")
        elif dropped:
            self.counts.dropped[outbox.limits.overflow] += dropped
            self.rooms.show(outbox)

    def _beat(self) -> None:
        """Send heartbeats: proxies then don't cut idle connections, and idle clients get newer ids."""
        assert self.loop is not None
        self.route()
        run_in_turns(self.loop, self.inbox.context, self._beats(), self._notify)

    def _beats(self) -> Iterator[None]:
        for feed in self.feeds:  # a frame for each: between two turns messages are routed, and an id never goes back
            is_known = feed.knows(self.position) or self.queries.is_behind(feed.interest.query)
            self.feeds.append_to(feed, Beat(self.position, is_known=is_known))
            yield
            for outbox in feed.parked():
                self.schedule.beat(outbox)
                yield

    def __repr__(self) -> str:
        return f"<Lane of {self.loop!r}: {len(self.clients)} clients in {len(self.feeds)} feeds>"


def _sees_other_rooms(before: Interest, now: Interest) -> bool:
    """Whether a client has to be given the rooms that it watches now."""
    same = before.mutes == now.mutes and before.permissions == now.permissions
    return not set(now.watched) <= (set(before.watched) if same else set())
