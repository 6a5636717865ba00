"""The schedule: which sinks of a lane are notified, when, and in which state each client is.

Fed by feeds that closed a batch, by outboxes with a message for one client, and by sinks that are free again. It
notifies sinks until its time in the loop is up, and continues in the loop's next iteration. Only the schedule carries
out what a change of state asks for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextvars import Context
from itertools import islice
from typing import Final

from nitro.delivery.clients import Clients
from nitro.delivery.feed import Feed
from nitro.delivery.outbox import Outbox
from nitro.delivery.pace import Pace
from nitro.delivery.state import (
    State,
    Todo,
    on_attached,
    on_beat,
    on_free,
    on_held,
    on_news,
    on_pause_over,
    on_resumed,
    on_turn,
)
from nitro.delivery.statistics import Counts, EndReason
from nitro.delivery.ticker import Ticker, is_through

__all__ = ["Schedule"]

log: Final = logging.getLogger("nitro.delivery")

_TELLS_A_PAGE: Final = 64
_LOOK_SECONDS: Final = 0.5
"""Interval at which pending writes are checked."""
_IDLE: Final = State.IDLE
_BUSY: Final = State.BUSY


class Schedule:
    """Belongs to one lane. True while sinks are left to notify.

    Args:
        loop: the loop whose timers it uses; None for threads without one, where there are no sockets and no pace.
        context: the context in which sinks are notified.
        counts: counts what sinks take.
        wake: lets `run` be called soon.
        check_limits: called with an outbox that has more queued than its sink took; may end it.
        end: called with an outbox that is to be ended, and why: `"stuck"` (its write takes too long), `"broken"` (its
            sink raised) or None (it has taken everything, and the lane is draining).

    Attributes:
        is_draining: whether clients are ended once they have taken everything.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        context: Context,
        clients: Clients,
        counts: Counts,
        *,
        wake: Callable[[], None],
        check_limits: Callable[[Outbox], None],
        end: Callable[[Outbox, EndReason | None], None],
    ) -> None:
        self.counts = counts
        self.is_draining = False
        self._loop = loop
        self._wake = wake
        self._check_limits = check_limits
        self._end = end
        self._feeds: OrderedDict[Feed, None] = OrderedDict()
        self._outboxes = clients.index()
        self._pages = clients.index()
        self._pace = Pace(loop, context, clients, self._end_pause)
        self._writes = clients.index()  # start time of each pending write, the oldest first
        self._look = Ticker(loop, context, _LOOK_SECONDS, self._look_at_writes)

    def add_feed(self, feed: Feed) -> None:
        """Notify the sinks of `feed`, which closed a batch."""
        feed.is_dirty = True
        self._feeds[feed] = None

    def drop_feed(self, feed: Feed) -> None:
        """Forget `feed`, which has no clients left."""
        self._feeds.pop(feed, None)

    def add(self, outbox: Outbox) -> None:
        """Notify the sink of one outbox, whether its feed has something new or not."""
        self._outboxes[outbox] = None

    def run(self) -> bool:
        """Notify the sinks that are due; False if some are left for the next turn."""
        return is_through(map(self.notify, self._due()))

    def notify(self, outbox: Outbox) -> bool:
        """Notify the sink of `outbox` if it is free.

        Returns whether that was for a page of a replay; the next page gets a turn of its own.
        """
        if outbox.is_ended:
            return False
        if outbox.state is _IDLE:  # the usual case
            outbox.state = _BUSY
            self._let_take(outbox)
            return False
        if outbox.state is State.REPLAYING:
            return outbox not in self._pages and self._give_page(outbox)  # else its page is queued already
        self._enter(outbox, *on_news(outbox.state))
        return False

    def hold(self, outbox: Outbox) -> None:
        """Give `outbox` nothing before this process has read the log up to its id."""
        self._enter(outbox, *on_held(outbox.state))

    def resume(self, outbox: Outbox) -> None:
        """The replay of `outbox` can begin."""
        self._enter(outbox, *on_resumed(outbox.state))

    def beat(self, outbox: Outbox) -> None:
        """Let the sink of an outbox that is held write a heartbeat; any other gets that of its feed."""
        if outbox.state is State.HELD:
            outbox.put_beat()
            self._enter(outbox, *on_beat(outbox.state))

    def attached(self, outbox: Outbox) -> None:
        """Another sink was attached to `outbox`; it isn't free yet."""
        self._writes.pop(outbox, None)
        self._enter(outbox, *on_attached(outbox.state))

    def freed(self, outbox: Outbox) -> None:
        """The sink of `outbox` has taken everything available."""
        self._writes.pop(outbox, None)
        state, todo = on_free(
            outbox.state,
            is_held=outbox.held_for is not None,
            is_replaying=outbox.is_replaying,
            is_draining=self.is_draining,
            has_more=outbox.has_more,
        )
        self._enter(outbox, state, todo)

    def begin_write(self, outbox: Outbox) -> None:
        """The sink of `outbox` started a write; its time runs from now until the sink is free or starts another."""
        assert self._loop is not None
        if not outbox.is_ended:
            self._writes.pop(outbox, None)
            self._writes[outbox] = self._loop.time()
            self._look.start()

    def _due(self) -> Iterator[Outbox]:
        """The outboxes to notify. An interrupted pass over a feed is continued later, after those of other feeds.

        A page of a replay takes as long as many clients of a feed, so they alternate: neither holds up the other.
        """
        while self:
            while self._outboxes:
                yield self._outboxes.popitem(last=False)[0]
            yield from islice(self._of_feeds(), _TELLS_A_PAGE)
            if self._pages:
                yield self._pages.popitem(last=False)[0]

    def _of_feeds(self) -> Iterator[Outbox]:
        while self._feeds:
            feed = next(iter(self._feeds))
            self._feeds.move_to_end(feed)
            if feed.turn is None:
                feed.is_dirty = False
                feed.turn = iter(feed.to_notify())
            yield from feed.turn
            feed.turn = None
            if not feed.is_dirty:
                self._feeds.pop(feed, None)

    def _give_page(self, outbox: Outbox) -> bool:
        self._check_limits(outbox)
        state, todo = on_turn(outbox.state, has_to_wait=self._pace.has_to_wait(outbox))
        if todo is Todo.NOTIFY:
            self._pace.take_turn(outbox)
            outbox.allow_page()
        self._enter(outbox, state, todo)
        return todo is Todo.NOTIFY

    def _enter(self, outbox: Outbox, state: State, todo: Todo) -> None:
        """Set the state of `outbox`, and carry out `todo`."""
        if state is not outbox.state:
            feed = outbox.chain
            if isinstance(feed, Feed) and state.is_parked is not outbox.state.is_parked:
                feed.remove(outbox)
                outbox.state = state
                feed.add(outbox)
            else:
                outbox.state = state
        if todo is Todo.NOTIFY:
            self._let_take(outbox)
        elif todo is Todo.CHECK_LIMITS:
            self._check_limits(outbox)
        elif todo is Todo.QUEUE:
            self._outboxes[outbox] = None
            self._wake()
        elif todo is Todo.QUEUE_PAGE:
            self._pages[outbox] = None
            self._wake()
        elif todo is Todo.PAUSE:
            self._pace.wait(outbox)
        elif todo is Todo.END:
            self._end(outbox, None)

    def _let_take(self, outbox: Outbox) -> None:
        """Notify the sink of a busy outbox, which is idle again if its sink takes everything at once."""
        assert outbox.sink is not None  # a free outbox has one
        try:
            is_free = outbox.sink.ready()
        except Exception:
            log.exception("a sink failed")
            self._end(outbox, "broken")
            return
        if is_free:
            if outbox.state is _BUSY and not self.is_draining:  # the usual case
                outbox.state = _IDLE
            else:
                self.freed(outbox)

    def _end_pause(self, outbox: Outbox) -> None:
        self._enter(outbox, *on_pause_over(outbox.state))

    def _look_at_writes(self) -> None:
        assert self._loop is not None
        now = self._loop.time()
        for outbox, since in tuple(self._writes.items()):
            if now - since > outbox.limits.send_timeout_seconds:
                self._end(outbox, "stuck")
        if not self._writes:
            self._look.stop()

    def __bool__(self) -> bool:
        return bool(self._feeds or self._outboxes or self._pages)

    def __repr__(self) -> str:
        return f"<Schedule of {len(self._feeds)} feeds, {len(self._outboxes)} clients and {len(self._pages)} pages>"
