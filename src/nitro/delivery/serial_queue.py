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
from typing import Generic, TypeVar

__all__ = ["SerialQueue", "run_detached", "run_soon"]

log = logging.getLogger("nitro.delivery")

T = TypeVar("T")


class SerialQueue(Generic[T]):
    """Actions that wait, and perhaps one that runs.

    Threads that share one without a lock may run two actions at once; each action runs once nevertheless.
    """

    __slots__ = ("_actions", "_is_running")

    def __init__(self) -> None:
        self._actions: deque[Callable[[], T]] = deque()
        self._is_running = False

    def add(self, action: Callable[[], T]) -> None:
        """Let it run at the next `run`, behind those that wait."""
        self._actions.append(action)

    def run(self) -> list[T]:
        """Run what waits and what is added meanwhile; return what the actions returned.

        Returns nothing where an action runs already: then this call comes from the middle of it, and the actions run
        behind it. What an action raises is raised here, and the actions behind it wait for the next call.
        """
        results: list[T] = []
        if self._is_running or not self._actions:
            return results
        self._is_running = True
        try:
            while self._actions:
                results.append(self._actions.popleft()())
        finally:
            self._is_running = False
        return results

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
