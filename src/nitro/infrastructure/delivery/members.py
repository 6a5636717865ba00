"""Members: the clients of one lane, by outbox and by user, and when each expires.

Fed by the lane with outboxes that come and go; tells it of one whose time is up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextvars import Context
from typing import Final

from nitro.infrastructure.delivery.inbox import Action
from nitro.infrastructure.delivery.outbox import Outbox

__all__ = ["Members"]

_LONGEST_TIMER_SECONDS: Final = 86_400.0
"""Event loops take no timer of any length; one that is too short is set again."""


class Members:
    """Belongs to one lane.

    Args:
        loop: whose timers they are; None has none, and nobody expires there.
        context: in which `expired` is called.
        expired: called with an outbox whose time is up.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None, context: Context, expired: Callable[[Outbox], None]
    ) -> None:
        self._loop = loop
        self._context = context
        self._expired = expired
        self._on_ended: dict[Outbox, Action] = {}
        self._by_user: dict[str, dict[Outbox, None]] = {}
        self._timers: dict[Outbox, asyncio.TimerHandle] = {}

    def add(self, outbox: Outbox, on_ended: Action) -> None:
        """Let it be one of them; `on_ended` is what it wants called if the lane ends it by itself."""
        self._on_ended[outbox] = on_ended
        user_id, expires_at = outbox.holder
        if user_id is not None:
            self._by_user.setdefault(user_id, {})[outbox] = None
        if expires_at is not None:
            self._watch(outbox, expires_at)

    def remove(self, outbox: Outbox) -> bool:
        """Let it go; whether it was one of them."""
        if self._on_ended.pop(outbox, None) is None:
            return False
        user_id = outbox.holder.user_id
        if user_id is not None:
            of_user = self._by_user[user_id]
            del of_user[outbox]
            if not of_user:
                del self._by_user[user_id]
        timer = self._timers.pop(outbox, None)
        if timer is not None:
            timer.cancel()
        return True

    def of_user(self, user_id: str | None) -> tuple[Outbox, ...]:
        """All clients of one user; of nobody, none."""
        return () if user_id is None else tuple(self._by_user.get(user_id, ()))

    def of_users(self) -> tuple[Outbox, ...]:
        """All clients that have a user."""
        return tuple(outbox for of_user in self._by_user.values() for outbox in of_user)

    def on_ended(self, outbox: Outbox) -> Action | None:
        """What it wants called when it is ended; None if it isn't one of them."""
        return self._on_ended.get(outbox)

    def clear(self) -> dict[Outbox, Action]:
        """Let all go, whose loop is gone; returns them with what each wants called."""
        left, self._on_ended = self._on_ended, {}
        self._by_user.clear()
        self._timers.clear()
        return left

    def _watch(self, outbox: Outbox, expires_at: float) -> None:
        if self._loop is not None:
            seconds = min(max(0.0, expires_at - time.monotonic()), _LONGEST_TIMER_SECONDS)
            self._timers[outbox] = self._loop.call_later(seconds, self._look_at, outbox, context=self._context)

    def _look_at(self, outbox: Outbox) -> None:
        self._timers.pop(outbox, None)
        expires_at = outbox.holder.expires_at
        if outbox in self and expires_at is not None:
            if time.monotonic() < expires_at - 0.001:
                self._watch(outbox, expires_at)
            else:
                self._expired(outbox)

    def __contains__(self, outbox: Outbox) -> bool:
        return outbox in self._on_ended

    def __iter__(self) -> Iterator[Outbox]:
        return iter(tuple(self._on_ended))

    def __len__(self) -> int:
        return len(self._on_ended)

    def __repr__(self) -> str:
        return f"<Members: {len(self)}, of {len(self._by_user)} users>"
