"""The hub: where the stages meet. One per process; `process.py` makes it when it is first needed.

Fed by `emit` and by clients that come, change and go; publishes messages to the broker's log, and delivers each message
of the log to every lane.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakSet

from nitro.access.admission import Admission
from nitro.access.principal import ANONYMOUS, Principal
from nitro.brokers.base import Broker, Draft
from nitro.brokers.commits import after_commit
from nitro.brokers.idempotency import IdempotencyKey
from nitro.brokers.shared_future import SharedFuture
from nitro.delivery.backlog import Pages
from nitro.delivery.changed_rows import ChangedRows
from nitro.delivery.inbox import Action, perform
from nitro.delivery.interest import Interest
from nitro.delivery.lane import Lane
from nitro.delivery.limits import Limits
from nitro.delivery.outbox import Outbox
from nitro.delivery.serial_queue import SerialQueue, run_detached, run_soon
from nitro.delivery.server_watch import ServerWatch
from nitro.delivery.statistics import Counts, EndReason, Statistics, gather
from nitro.errors import BrokerUnavailable, ConfigurationError, NotConnected, Overloaded
from nitro.messages.inspection import INSPECTION, Inspection
from nitro.messages.message import Gap, GapReason, Message, Position
from nitro.messages.presence import PRESENCE, Room, RoomChange
from nitro.messages.row_changes import ROW_CHANGES
from nitro.messages.topics import is_reserved
from nitro.messages.user_disconnect import USER_DISCONNECT, UserDisconnect
from nitro.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

__all__ = ["Hub"]

log: Final = logging.getLogger("nitro.delivery")

Loop = asyncio.AbstractEventLoop


class Presence(Protocol):
    """Knows who is in which room, from what all workers write in the log. Called under the hub's lock."""

    @property
    def rooms(self) -> Mapping[str, Room] | None:
        """Those with members, by name, as of the last report; None while it isn't known who is there."""

    def hear(self, message: Message) -> Sequence[RoomChange]:
        """What the next report in the log changes."""

    def lose(self) -> None:
        """Reports may have been lost."""

    def close(self) -> None:
        """The process ends."""


class Hub:
    """The broker and the lanes of one process. Every method may be called from any thread, after `start`.

    Args:
        broker: publishes events and delivers those of the log; not yet started.

    Attributes:
        presence: who is in which room; None if nothing of this process has asked.
        made_at: since when it counts, in seconds since 1970.
        on_inspection: called under the lock with what an inspector says in the log.
        is_draining: whether `drain_soon` was called.
        when_drained: called in an event loop when it has ended all its clients, since its server stops. Many servers
            then end the process by a signal, without its exit handlers.
    """

    def __init__(self, settings: Settings, broker: Broker) -> None:
        self.settings = settings
        self.broker = broker
        self.made_at: float = time()
        self._lock = broker.lock
        self._lanes: dict[Loop | None, Lane] = {}
        self._known: WeakSet[Loop] = WeakSet()  # loops that had streams, or have one that waits for the log
        self._draining: WeakSet[Loop] = WeakSet()  # known loops that were told to drain
        self.is_draining: bool = False
        self.when_drained: list[Action] = []
        self.limits: Limits = Limits.of(settings)
        self._publishing: SerialQueue = SerialQueue()  # runs under the lock
        self._messages_in = 0
        self._bytes_in = 0
        self._counts = Counts()  # of lanes that were removed
        self._deferred: SerialQueue = SerialQueue()  # handlers, which must not run under the lock
        self.admission: Admission = Admission(settings)
        self.presence: Presence | None = None
        self.on_inspection: Callable[[bytes], object] = lambda _: None
        self.opened: SharedFuture[None] = SharedFuture()  # done once the log has been reached

    def start(self) -> None:
        """Start the broker, which delivers what the log has from here on. Called once."""
        with self._lock:
            self.broker.start(self)
            if self.broker.is_open and not self.opened.done():
                self.opened.set_result(None)

    def publish(
        self,
        topic: str,
        sender: str | None,
        payload: bytes,
        key: str | None = None,
        idempotency_key: IdempotencyKey | None = None,
    ) -> int | None:
        """Append to the log; clients get it in the next tick of their loops.

        Returns:
            As `Broker.publish`; also None if this interrupts another publish of its thread, which is completed first.

        Raises:
            Overloaded: an event loop lags too far behind; nothing was published.
        """
        with self._lock:
            for lane in self._lanes.values():
                if lane.inbox.pending_bytes > self.settings.max_pending_bytes:
                    self._check_load(*self._lanes.values())
                    break
            self._messages_in += 1
            self._bytes_in += len(payload)
            number = self._publishing.call(self.broker.publish, topic, sender, payload, key, idempotency_key)
        if self._deferred.actions:
            self.run_deferred()
        return number

    def publish_in(self, session: Session, messages: Sequence[Draft], connection: Connection | None = None) -> None:
        """As `publish`, in a database transaction: published when that is committed.

        Raises:
            ConfigurationError: the broker's log is not in that database.
        """
        self.broker.publish_in(session, messages, connection)
        with self._lock:
            self._messages_in += len(messages)
            self._bytes_in += sum([len(message.payload) for message in messages])

    def publish_with(self, session: Session, messages: Sequence[Draft], connection: Connection) -> None:
        """As `publish_in`, or right after the commit if the log is not in that database."""
        try:
            self.publish_in(session, messages, connection)
        except ConfigurationError:
            after_commit(session, partial(self._publish_committed, tuple(messages)))

    def _publish_committed(self, messages: Sequence[Draft]) -> None:
        for topic, sender, payload, key in messages:
            try:
                self.publish(topic, sender, payload, key)
            except (Overloaded, BrokerUnavailable):
                log.exception("%r of %r is committed, and its event is lost", topic, sender)

    def run_deferred(self) -> None:
        """Report to clients that the delivery ended them. This runs handlers, so no lock may be held: if this thread
        holds the hub's, as in a signal handler that interrupts a publish, the outer call does it when it is done.
        """
        if self._deferred.actions and not self._lock._is_owned():  # type: ignore[attr-defined]  # of every RLock
            self._deferred.run()

    def disconnect_user(self, order: UserDisconnect) -> None:
        """End all clients of a user: here at once, and in every process that reads the log."""
        with self._lock:
            self._apply_order(order, None)
        self.publish(USER_DISCONNECT, None, order.payload)

    def inspect(self, order: Inspection) -> None:
        """Tell every process that reads the log what an inspector wants; it counts in no statistics."""
        with self._lock:
            self._publishing.call(self.broker.publish, INSPECTION, None, order.payload)

    def sweep(self) -> None:
        """Remove clients whose loops were closed. This runs their handlers, so no lock may be held."""
        for lane in tuple(self._lanes.values()):
            if lane.inbox.is_closed:
                self._forget(lane)
        self.run_deferred()

    def join(self, interest: Interest, on_ended: Action, limits: Limits, principal: Principal = ANONYMOUS) -> Outbox:
        """An outbox that hears `interest` from now on, in the running loop if there is one."""
        with self._lock:
            lane = self._lane(asyncio._get_running_loop())
            outbox = Outbox(lane.loop, lane.schedule, self.broker.head, limits, principal)
            lane.joining += 1
        try:
            lane.act(partial(lane.join, outbox, interest, on_ended))
        finally:
            with self._lock:
                lane.joining -= 1
        return outbox

    def resume(self, outbox: Outbox, last_event_id: str) -> None:
        """Start `outbox`, of which nothing was taken yet, after the message with that id, or with a gap."""
        after = Position.parse(last_event_id)
        self._act_for(outbox, lambda lane: lane.resume(outbox, after))

    def read(self, outbox: Outbox, pages: Pages) -> None:
        """Give `outbox`, of which nothing was taken yet, these pages instead of what is in the log."""
        self._act_for(outbox, lambda lane: lane.read(outbox, pages))

    def begin(self, outbox: Outbox) -> None:
        """Give `outbox`, of which nothing was taken yet, all rows of its live query first."""
        self._act_for(outbox, lambda lane: lane.begin(outbox))

    def change(self, outbox: Outbox, interest: Interest) -> None:
        """Let `outbox` hear `interest` instead, from now on."""
        self._act_for(outbox, lambda lane: lane.change(outbox, interest))

    def send(self, outbox: Outbox, message: Message) -> None:
        """Queue `message` for one client, in order with emitted messages.

        Raises:
            Overloaded: its event loop lags too far behind; nothing was sent.
        """
        lane = self._lanes.get(outbox.loop)
        if lane is not None:
            self._check_load(lane)
            self._act(lane, partial(lane.put, outbox, message), len(message.payload))

    def leave(self, outbox: Outbox, *, for_good: bool = False) -> None:
        """End `outbox`, and notify its sink. `for_good`: the browser is told not to reconnect."""
        outbox.ends_for_good = outbox.ends_for_good or for_good
        outbox.is_ended = True
        self._act_for(outbox, lambda lane: lane.end(outbox))

    def end(self, outbox: Outbox, reason: EndReason) -> None:
        """End `outbox`, count the reason, and report it to the client."""
        self._act_for(outbox, lambda lane: lane.end_by_itself(outbox, reason))

    def finish(self, outbox: Outbox) -> None:
        """Deliver to `outbox` what was emitted so far, then end it."""
        self._act_for(outbox, lambda lane: lane.finish(outbox))

    def limit_age(self, outbox: Outbox, seconds: float) -> None:
        """End `outbox`, which is read in the running loop, after about `seconds`."""
        self._act_for(outbox, lambda lane: lane.clients.limit_age(outbox, seconds))

    def servers_of(self, outbox: Outbox) -> ServerWatch | None:
        """The server watch of its loop, which ends all clients when the servers stop; None if the loop has no lane."""
        lane = self._lanes.get(outbox.loop)
        return None if lane is None else lane.servers

    def adopt(self, outbox: Outbox, on_ended: Action) -> None:
        """Bring `outbox` into the running loop, where it is about to be read.

        Raises:
            NotConnected: it belongs to another event loop.
        """
        loop = asyncio.get_running_loop()
        if outbox.loop is loop or outbox.is_ended:
            return
        with self._lock:
            if outbox.loop is not None:
                raise NotConnected(
                    "this client was connected on another event loop; connect it on the loop that reads it"
                )
            old = self._lane(None)
            interest = old.release(outbox)
            self._forget_if_idle(old)
            lane = self._lane(loop)
            outbox.loop, outbox.scheduler = loop, lane.schedule
            if interest is not None:
                lane.inbox.post(partial(lane.adopt, outbox, interest, on_ended))
        lane.catch_up()

    def attend(self, presence: Presence) -> None:
        """Let `presence` hear from here on what workers write about rooms."""
        with self._lock:
            self.presence = presence

    def open_rooms(self) -> None:
        """It is known now who is in which room."""
        with self._lock:
            for lane in tuple(self._lanes.values()):
                self._act(lane, partial(lane.rooms.open, self._rooms))

    @property
    def _rooms(self) -> dict[str, Room] | None:
        rooms = None if self.presence is None else self.presence.rooms
        return None if rooms is None else dict(rooms)

    def close(self, seconds: float) -> None:
        """Say in the log that this process ends, and give the broker so long to publish what waits."""
        if self.presence is not None:
            self.presence.close()
        self.broker.close(seconds)

    def drain_soon(self) -> None:
        """End all clients of all loops, and those that still join. Safe in a signal handler."""
        self.is_draining = True
        self._draining.update(self._known_loops())
        for lane in tuple(self._lanes.values()):
            if lane.loop is not None and not lane.inbox.is_closed:
                lane.loop.call_soon_threadsafe(lane.drain)

    def statistics(self) -> Statistics:
        """The sum of all lanes."""
        with self._lock:
            lanes = tuple(self._lanes.values())
            emitted = (self._messages_in, self._bytes_in)
            gone = Counts()
            gone.add(self._counts)
        return gather(lanes, gone, emitted, self.broker, self.admission)

    def behind(self) -> list[Outbox]:
        """The outboxes that got more while they were busy; from any thread."""
        return [outbox for lane in tuple(self._lanes.values()) for outbox in lane.feeds.behind()]

    @property
    def stuck_seconds(self) -> float:
        """For how long a running event loop that has clients has called none of its timers."""
        return max([lane.loop_lag.overdue_seconds for lane in tuple(self._lanes.values())], default=0.0)

    def _check_load(self, *lanes: Lane) -> None:
        limit = self.settings.max_pending_bytes
        for lane in lanes:
            if self._lags(lane, limit):
                waits = f"{lane.inbox.pending_bytes} bytes wait (limit {limit}) for an event loop that"
                if lane.is_running:
                    raise Overloaded(
                        f"{waits} doesn't get to deliver them; emit slower, await between emits, or raise "
                        f"NITRO_MAX_PENDING_BYTES"
                    )
                raise Overloaded(f"{waits} has clients and isn't running; let it run on, disconnect them, or close it")

    def _lags(self, lane: Lane, limit: int) -> bool:
        """Whether more than `limit` bytes wait for the loop of `lane`.

        A lane that is abandoned, or whose loop was closed, is removed instead; if its loop runs again, its clients
        still hear that they have ended.
        """
        if lane.inbox.pending_bytes <= limit:
            return False
        if lane.inbox.is_closed:
            self._forget(lane)
            return False
        with self._lock:
            if not lane.is_abandoned:
                return True
            if self._lanes.get(lane.loop) is lane:
                del self._lanes[lane.loop]
                self._counts.add(lane.counts)
                for outbox in lane.clients:
                    self._counts.disconnect("closed", monotonic() - outbox.made_at)
            return False

    def _act_for(self, outbox: Outbox, action: Callable[[Lane], object]) -> None:
        """Run `action` in the lane of `outbox`, unless that lane was removed with all its clients."""
        lane = self._lanes.get(outbox.loop)
        if lane is not None:
            self._act(lane, partial(action, lane))

    def _act(self, lane: Lane, action: Action, size: int = 0) -> None:
        try:
            lane.act(action, size)
        except RuntimeError:
            if not lane.inbox.is_closed:
                raise
            self._forget(lane)

    def _lane(self, loop: Loop | None) -> Lane:
        lane = self._lanes.get(loop)
        if lane is None:
            report = self._defer if loop is None else partial(run_soon, loop)
            lane = Lane(loop, self._lock, self.broker, self.settings, report, self._forget_if_idle, self._drained)
            self._lanes[loop] = lane
            if loop is not None:
                lane.schedule.is_draining = loop in self._draining
                self._known.add(loop)
            lane.rooms.open(self._rooms)
        return lane

    def deliver(self, message: Message) -> None:
        """Post the next message of the log to every lane; the broker calls it, under the lock."""
        changed: ChangedRows | None = None
        rooms: Sequence[RoomChange] | None = None
        if is_reserved(message.topic):
            if message.topic == ROW_CHANGES:
                changed = ChangedRows(message)
            elif message.topic == PRESENCE:
                rooms = () if self.presence is None else self.presence.hear(message)
            elif message.topic == INSPECTION:
                self.on_inspection(message.payload)
                rooms = ()
            else:
                self._apply_order(UserDisconnect.parse(message.payload), message.position)
                return
        for lane in tuple(self._lanes.values()):
            try:
                if changed is not None:
                    lane.inbox.post(partial(lane.queries.append, changed), changed.size)
                elif rooms is not None:
                    lane.inbox.post(partial(lane.hear_rooms, rooms, message.position))
                else:
                    lane.inbox.post(message)
            except RuntimeError:
                if not lane.inbox.is_closed:
                    raise
                self._forget(lane)

    def _apply_order(self, order: UserDisconnect | None, position: Position | None) -> None:
        """Carry out a disconnect_user order, in its place among the messages; clients don't hear it."""
        if order is not None:
            self.admission.disconnect_user(order.user_id)
        for lane in tuple(self._lanes.values()):
            self._act(lane, partial(lane.disconnect_user, order, position))

    def lose(self, reason: GapReason, resumed_at: Position) -> None:
        """Give every client a gap, after which the log resumes there; the broker calls it, under the lock."""
        ends_users = self.opened.done()
        if ends_users:
            self.admission.miss()
        else:
            seconds = self.broker.retained.seconds
            ends_users = self.admission.may_have_missed(seconds)
            self.admission.reach_log(seconds)
        if self.presence is not None:
            self.presence.lose()
        gap = Gap(reason, resumed_at)
        for lane in tuple(self._lanes.values()):
            self._act(lane, partial(lane.lose, gap, ends_users=ends_users))
        if not self.opened.done():
            self.opened.set_result(None)

    @property
    def is_behind(self) -> bool:
        """Whether a loop lags behind with routing; the broker then waits with more."""
        limit = self.settings.max_pending_bytes // 2
        return any(self._lags(lane, limit) for lane in tuple(self._lanes.values()))

    async def until_open(self, seconds: float) -> None:
        """Wait until the log is reached for the first time, so that a stream can begin at a position in it."""
        if not self.broker.is_open:
            self._known.add(asyncio.get_running_loop())
            await self.opened.wait(seconds)

    def _known_loops(self) -> list[Loop]:
        while True:
            try:
                return list(self._known)
            except RuntimeError:  # another thread has changed it; a signal handler can't wait for the lock
                continue

    def _drained(self) -> None:
        for action in self.when_drained:
            perform(action)

    def _forget_if_idle(self, lane: Lane) -> None:
        with self._lock:
            if lane.is_idle and self._lanes.get(lane.loop) is lane:
                del self._lanes[lane.loop]
                self._counts.add(lane.counts)

    def _forget(self, lane: Lane) -> None:
        """Remove a lane whose loop was closed while it had clients."""
        with self._lock:
            if self._lanes.pop(lane.loop, None) is not None:
                self._counts.add(lane.counts)
            left = lane.clients.clear()
            for outbox in left:
                self._counts.disconnect("shutdown", monotonic() - outbox.made_at)
        for outbox, on_ended in left.items():
            outbox.is_ended = True
            self._defer(on_ended)

    def _defer(self, on_ended: Action) -> None:
        self._deferred.add(partial(run_detached, on_ended))

    def __repr__(self) -> str:
        clients = sum(len(lane.clients) for lane in self._lanes.values())
        return f"<Hub on {self.broker!r}: {clients} clients in {len(self._lanes)} loops>"
