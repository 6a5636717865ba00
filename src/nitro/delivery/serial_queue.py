"""Serial queue: actions that run one at a time, in their order, though anything may interrupt one of them.

A finalizer or a signal handler runs in the middle of whatever its thread does, and locks that are re-entrant don't hold
it up. What it adds here runs when the action that it interrupted is done.
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
    """Actions that wait, and perhaps one that runs. True while any waits.

    Threads that share one without a lock may run two actions at once; each action runs once nevertheless.
    """

    __slots__ = ("_actions", "_is_running")

    def __init__(self) -> None:
        self._actions: deque[Callable[[], object]] = deque()
        self._is_running = False

    def add(self, action: Callable[[], object]) -> None:
        """Let it run at the next `run` or `call`."""
        self._actions.append(action)

    def run(self) -> None:
        """Run what waits, and what is added meanwhile; where an action runs already, it is that call which goes on.

        What an action raises is raised here, and the actions behind it wait for the next call.
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
        """Call `function` behind what waits, and return what it returns; None where it interrupts an action, and is
        called later.
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
    """Run an action in the next iteration of a loop, not in the middle of a delivery and under its locks."""
    loop.call_soon(run_detached, action)


def run_detached(action: Callable[[], object]) -> None:
    """Run an action in a context of its own; what it raises is logged, and reaches nobody else."""
    try:
        Context().run(action)
    except Exception:
        log.exception("telling a client that it was ended failed")
