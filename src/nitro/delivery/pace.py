"""Pace: which replays have to wait for their next page, since their user has used up its pace.

Fed by the schedule with outboxes whose turn it is; calls it back for each that may continue. Outboxes of one user
continue in the order in which they came, a page each.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextvars import Context

from nitro.delivery.clients import Clients
from nitro.delivery.outbox import Outbox
from nitro.delivery.state import State

__all__ = ["Pace"]


class Pace:
    """Belongs to one lane. How long to wait is up to each replay (`outbox.replay_waits`).

    Args:
        loop: the loop whose timers it uses; None for threads without one, where nothing has to wait.
        context: the context in which `go_on` is called.
        go_on: called with an outbox whose wait is over.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        context: Context,
        clients: Clients,
        go_on: Callable[[Outbox], None],
    ) -> None:
        self._loop = loop
        self._context = context
        self._go_on = go_on
        self._lines: dict[str | None, OrderedDict[Outbox, None]] = {}  # by user; one timer for each
        self._called = clients.index()  # outboxes that were called and haven't taken their turn yet

    def has_to_wait(self, outbox: Outbox) -> bool:
        """Whether `outbox` has to wait for its next page."""
        if self._loop is None:
            return False
        is_called = outbox in self._called
        return outbox.replay_waits > 0 or (not is_called and outbox.principal.user_id in self._lines)

    def take_turn(self, outbox: Outbox) -> None:
        """`outbox` gets a page now."""
        self._called.pop(outbox, None)

    def wait(self, outbox: Outbox) -> None:
        """Call `go_on` when `outbox` may get a page: after the others of its user, but first if called before."""
        user_id = outbox.principal.user_id
        line = self._lines.get(user_id)
        if line is None:
            line = self._lines[user_id] = OrderedDict()
            self._call_later(user_id, outbox.replay_waits)
        line[outbox] = None
        if self._called.pop(outbox, True) is None:
            line.move_to_end(outbox, last=False)

    def _call_later(self, user_id: str | None, seconds: float) -> None:
        assert self._loop is not None
        self._loop.call_later(seconds, self._call, user_id, context=self._context)

    def _call(self, user_id: str | None) -> None:
        line = self._lines[user_id]
        while line and next(iter(line)).state is not State.PAUSED:  # it has ended, or started over
            line.popitem(last=False)
        if not line:
            del self._lines[user_id]
            return
        first = next(iter(line))
        seconds = first.replay_waits
        self._call_later(user_id, seconds)
        if not seconds:
            del line[first]
            self._called[first] = None
            self._go_on(first)

    def __len__(self) -> int:
        """For how many users replays wait."""
        return len(self._lines)

    def __repr__(self) -> str:
        return f"<Pace: some of {len(self)} users wait>"
