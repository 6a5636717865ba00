"""Clients: the clients of one lane, by outbox and by user, and when each is to be ended.

Fed by the lane with outboxes that come and go; reports those whose time is up. All other data that a lane keeps for
each client is in an index that is made here, so that one `detach` removes a client from everything.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Any, Final, TypeVar

from nitro.chance import CHANCE
from nitro.delivery.inbox import Action
from nitro.delivery.outbox import Outbox
from nitro.delivery.statistics import EndReason

__all__ = ["Clients"]

V = TypeVar("V")

_LONGEST_TIMER_SECONDS: Final = 86_400.0
"""Event loops limit the length of a timer; a longer one is set in several steps."""
_LEAST_AGE: Final = 0.9
"""As a share of the maximum age: streams that began together end spread over time."""


class Clients:
    """Belongs to one lane.

    Args:
        loop: the loop whose timers it uses; None for threads without one, where no client expires.
        context: the context in which `end` is called.
        end: called with an outbox whose time is up, and with the reason.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None, context: Context, end: Callable[[Outbox, EndReason], None]
    ) -> None:
        self._loop = loop
        self._context = context
        self._end = end
        self._indexes: list[OrderedDict[Outbox, Any]] = []
        self._timers: list[dict[Outbox, asyncio.TimerHandle]] = []
        self._on_ended: dict[Outbox, Action] = {}
        self._by_user: dict[str, dict[Outbox, None]] = {}
        self._expiries = self.timers()

    def index(self) -> OrderedDict[Outbox, Any]:
        """A new mapping by client, from which `detach` removes clients."""
        index: OrderedDict[Outbox, Any] = OrderedDict()
        self._indexes.append(index)
        return index

    def timers(self) -> dict[Outbox, asyncio.TimerHandle]:
        """A new mapping from clients to timers; `detach` cancels those of the client."""
        timers: dict[Outbox, asyncio.TimerHandle] = {}
        self._timers.append(timers)
        return timers

    def add(self, outbox: Outbox, on_ended: Action) -> None:
        """Add `outbox`; `on_ended` is to be called if the lane ends it by itself."""
        self._on_ended[outbox] = on_ended
        user_id = outbox.principal.user_id
        if user_id is not None:
            self._by_user.setdefault(user_id, {})[outbox] = None
        self._watch(outbox)

    def detach(self, outbox: Outbox) -> bool:
        """Remove `outbox`, also from all indexes, and cancel its timers. Returns whether it was here."""
        if self._on_ended.pop(outbox, None) is None:
            return False
        user_id = outbox.principal.user_id
        if user_id is not None:
            of_user = self._by_user[user_id]
            del of_user[outbox]
            if not of_user:
                del self._by_user[user_id]
        for index in self._indexes:
            index.pop(outbox, None)
        for timers in self._timers:
            _cancel(timers, outbox)
        return True

    def limit_age(self, outbox: Outbox, seconds: float) -> None:
        """End `outbox` after 90 to 100 % of `seconds`, unless its age is limited already."""
        if outbox.principal.returns_at is None:
            age = seconds * CHANCE.uniform(_LEAST_AGE, 1)
            outbox.principal = outbox.principal._replace(returns_at=time.monotonic() + age)
            if outbox in self:
                self._watch(outbox)

    def of_user(self, user_id: str | None) -> tuple[Outbox, ...]:
        """All clients of one user; none if `user_id` is None."""
        return () if user_id is None else tuple(self._by_user.get(user_id, ()))

    def of_users(self) -> tuple[Outbox, ...]:
        """All clients that have a user."""
        return tuple(outbox for of_user in self._by_user.values() for outbox in of_user)

    def on_ended(self, outbox: Outbox) -> Action | None:
        """The action to call when the lane ends `outbox` by itself; None if it isn't here."""
        return self._on_ended.get(outbox)

    def clear(self) -> dict[Outbox, Action]:
        """Remove all clients, whose loop is closed; returns each with its `on_ended`."""
        left, self._on_ended = self._on_ended, {}
        self._by_user.clear()
        for index in self._indexes:
            index.clear()
        for timers in self._timers:
            timers.clear()
        return left

    def _watch(self, outbox: Outbox) -> None:
        _cancel(self._expiries, outbox)
        end = outbox.principal.end
        if self._loop is not None and end is not None:
            seconds = min(max(0.0, end[0] - time.monotonic()), _LONGEST_TIMER_SECONDS)
            self._expiries[outbox] = self._loop.call_later(seconds, self._look_at, outbox, context=self._context)

    def _look_at(self, outbox: Outbox) -> None:
        del self._expiries[outbox]
        end = outbox.principal.end
        if end is not None:
            moment, reason = end
            if time.monotonic() < moment - 0.001:
                self._watch(outbox)
            else:
                self._end(outbox, reason)

    def __contains__(self, outbox: Outbox) -> bool:
        return outbox in self._on_ended

    def __iter__(self) -> Iterator[Outbox]:
        return iter(tuple(self._on_ended))

    def __len__(self) -> int:
        return len(self._on_ended)

    def __repr__(self) -> str:
        return f"<Clients: {len(self)}, of {len(self._by_user)} users>"


def _cancel(timers: dict[Outbox, asyncio.TimerHandle], outbox: Outbox) -> None:
    timer = timers.pop(outbox, None)
    if timer is not None:
        timer.cancel()
