"""Serial queue: actions that run one at a time, in order, even if one is added in the middle of another.

A finalizer or a signal handler runs in the middle of whatever its thread does, and re-entrant locks don't stop it. An
action that it adds here runs when the interrupted action is done.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Final, TypeVar, TypeVarTuple, Unpack

__all__ = ["SerialQueue", "run_detached", "run_soon"]

log: Final = logging.getLogger("nitro.delivery")

Ts = TypeVarTuple("Ts")
T = TypeVar("T")


class SerialQueue:
    """Queued actions, and perhaps one that is running. True while any is queued.

    Threads that share one without a lock may run two actions at the same time; each action still runs once.
    """

    __slots__ = ("_actions", "_is_running")

    def __init__(self) -> None:
        self._actions: deque[Callable[[], object]] = deque()
        self._is_running = False

    def add(self, action: Callable[[], object]) -> None:
        """Queue `action` for the next `run` or `call`."""
        self._actions.append(action)

    def run(self) -> None:
        """Run all queued actions, and those added meanwhile; if an action is running already, that call runs them.

        What an action raises is raised here; the actions after it stay queued for the next call.
        """
        if not self._actions or self._is_running:
            return
        self._is_running = True
        try:
            while self._actions:
                self._actions.popleft()()
        finally:
            self._is_running = False

    def call(self, function: Callable[[Unpack[Ts]], T], *args: *Ts) -> T | None:
        """Call `function` after all queued actions, and return its result; or queue it and return None if this
        interrupts a running action.
        """
        if self._actions:
            self.run()
        if self._is_running:
            self._actions.append(partial(function, *args))
            return None
        self._is_running = True
        try:
            return function(*args)
        finally:
            self._is_running = False
            if self._actions:
                self.run()

    def __bool__(self) -> bool:
        return bool(self._actions)

    def __repr__(self) -> str:
        return f"<SerialQueue, {len(self._actions)} waiting>"


def run_soon(loop: asyncio.AbstractEventLoop, action: Callable[[], object]) -> None:
    """Run an action in the next iteration of a loop, and not in the middle of a delivery under its locks."""
    loop.call_soon(run_detached, action)


def run_detached(action: Callable[[], object]) -> None:
    """Run an action in a context of its own; an exception is logged and not propagated."""
    try:
        Context().run(action)
    except Exception:
        log.exception("telling a client that it was ended failed")
