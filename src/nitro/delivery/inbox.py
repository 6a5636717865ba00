"""The inbox: what is posted to one event loop from any thread, messages and actions alike, in one order.

Fed by the hub and by clients, under the hub's lock; emptied by the lane, which it wakes once per tick.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from time import perf_counter
from typing import Final

from nitro.messages.message import Message

__all__ = ["Action", "Inbox", "perform"]

log: Final = logging.getLogger("nitro.delivery")

Action = Callable[[], object]

_ITEM_BYTES: Final = 256
"""Approximate memory of a message or an action besides its payload."""


class Inbox:
    """Belongs to one lane.

    Args:
        loop: the loop in which `run` is called; None calls it immediately, in the posting thread.
        lock: the hub's lock.
        run: takes what is in the inbox. Called once after any number of posts.

    Attributes:
        loop: as above.
        context: an empty context, so that sinks don't see an emitter's context variables.
        pending_bytes: approximate memory of what was posted and is not yet taken.
        times_next: whether to note when the next tick's oldest item is posted, once.
        taken_since: when the oldest of what was last taken was posted, on the clock of `time.perf_counter`; 0 if that
            was not noted.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop | None, lock: threading.RLock, run: Action) -> None:
        self.loop = loop
        self.context: Context = Context()
        self.pending_bytes: int = 0
        self.times_next: bool = True
        self.taken_since: float = 0.0
        self._since = 0.0
        self._lock = lock
        self._run = run
        self._items: deque[Message | Action] = deque()
        self._is_woken = False

    def post(self, item: Message | Action, size: int = 0) -> None:
        """Queue a message, or an action that holds `size` bytes; the hub's lock is held.

        Raises:
            RuntimeError: the loop is closed.
        """
        loop = self.loop
        if loop is not None and loop.is_closed():
            raise RuntimeError("the event loop of these clients is closed")
        if self.times_next and not self._items:
            self.times_next = False
            self._since = perf_counter()
        self._items.append(item)
        if isinstance(item, Message):
            size = len(item.payload)
        self.pending_bytes += _ITEM_BYTES + size
        if not self._is_woken:
            self.wake()

    def wake(self) -> None:
        """Let the lane run soon; the hub's lock is held."""
        if self.loop is None:  # immediately; if it runs already, it continues with this
            self._run()
            return
        if self._is_woken:
            return
        self._is_woken = True
        if self.is_here:
            self.loop.call_soon(self._run, context=self.context)
        else:
            self.loop.call_soon_threadsafe(self._run, context=self.context)

    def take(self) -> deque[Message | Action]:
        """Take everything that was posted so far."""
        with self._lock:
            items, self._items = self._items, deque()
            self.taken_since, self._since = self._since, 0.0
            self._is_woken = False
            self.pending_bytes = 0
        return items

    @property
    def is_here(self) -> bool:
        """Whether the caller runs in this inbox's loop."""
        return asyncio._get_running_loop() is self.loop  # asyncio.get_running_loop raises if there is none

    @property
    def is_closed(self) -> bool:
        """Whether the loop was closed, perhaps while it had clients."""
        return self.loop is not None and self.loop.is_closed()

    def __bool__(self) -> bool:
        return bool(self._items)

    def __repr__(self) -> str:
        return f"<Inbox of {self.loop!r}: {len(self._items)} items, {self.pending_bytes} bytes>"


def perform(action: Action) -> None:
    """Run an action that was posted; an exception is logged, so that the others still run."""
    try:
        action()
    except Exception:
        log.exception("a change of one client failed")
