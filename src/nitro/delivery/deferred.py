"""The endings: clients that the delivery ended by itself are told, where and when no lock is held.

Fed by the hub and its lanes; runs what clients gave them, and with it the application's handlers.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextvars import Context

from nitro.delivery.inbox import Action

__all__ = ["Endings", "tell_soon"]

log = logging.getLogger("nitro.delivery")


class Endings:
    """Of clients that belong to no loop, or to one that was closed under them."""

    def __init__(self) -> None:
        self._waiting: deque[Action] = deque()
        self._is_telling = False

    def add(self, on_ended: Action) -> None:
        """Let a client be told, as soon as the lock is free."""
        self._waiting.append(on_ended)

    def tell(self) -> None:
        """Tell those that wait. It runs handlers, so no lock may be held."""
        if not self._waiting or self._is_telling:
            return
        self._is_telling = True
        try:
            while self._waiting:
                _tell(self._waiting.popleft())
        finally:
            self._is_telling = False

    def __repr__(self) -> str:
        return f"<Endings, {len(self._waiting)} to be told>"


def tell_soon(loop: asyncio.AbstractEventLoop, on_ended: Action) -> None:
    """The same in the next iteration of a loop: handlers shall not run in the middle of a delivery, under its locks."""
    loop.call_soon(_tell, on_ended)


def _tell(on_ended: Action) -> None:
    """In a context of its own, and without harm to others."""
    try:
        Context().run(on_ended)
    except Exception:
        log.exception("telling a client that it was ended failed")
