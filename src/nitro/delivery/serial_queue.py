"""Serial queue: actions that run one at a time, in order, even if one is added in the middle of another.

A finalizer or a signal handler runs in the middle of whatever its thread does, and re-entrant locks don't stop it. An
action that it adds here runs when the interrupted action is done.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import Final, TypeVar, TypeVarTuple, Unpack

__all__ = ["SerialQueue", "run_detached", "run_soon"]

log: Final = logging.getLogger("nitro.delivery")

Ts = TypeVarTuple("Ts")
T = TypeVar("T")


class SerialQueue:
    """Queued actions, and perhaps one that is running.

    Threads that share one without a lock may run two actions at the same time; each action still runs once.

    Attributes:
        actions: those that are queued.
    """

    __slots__ = ("_is_running", "actions")

    def __init__(self) -> None:
        self.actions: deque[Callable[[], object]] = deque()
        self._is_running = False

    def add(self, action: Callable[[], object]) -> None:
        """Queue `action` for the next `run` or `call`."""
        self.actions.append(action)

    def run(self) -> None:
        """Run all queued actions, and those added meanwhile; if an action is running already, that call runs them.

        What an action raises is raised here; the actions after it stay queued for the next call.
        """
        if not self.actions or self._is_running:
            return
        self._is_running = True
        try:
            while self.actions:
                self.actions.popleft()()
        finally:
            self._is_running = False

    def call(self, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T | None:
        """Call `function` after all queued actions, and return its result; or queue it and return None if this
        interrupts a running action. It is called in the context (`contextvars`) of this call.
        """
        if self.actions:
            self.run()
        if self._is_running:
            self.actions.append(partial(copy_context().run, function, *args))
            return None
        self._is_running = True
        try:
            return function(*args)
        finally:
            self._is_running = False
            if self.actions:
                self.run()

    def __repr__(self) -> str:
        return f"<SerialQueue, {len(self.actions)} waiting>"


def run_soon(loop: asyncio.AbstractEventLoop, action: Callable[[], object]) -> None:
    """Run an action in the next iteration of a loop, and not in the middle of a delivery under its locks."""
    loop.call_soon(run_detached, action)


def run_detached(action: Callable[[], object]) -> None:
    """Run an action in a context of its own; an exception is logged and not propagated."""
    try:
        Context().run(action)
    except Exception:
        log.exception("telling a client that it was ended failed")
