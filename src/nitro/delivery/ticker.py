"""Ticker: a repeating timer. And long work in steps, which give the event loop its turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextvars import Context
from time import perf_counter
from typing import Final

__all__ = ["Ticker", "is_through", "run_in_turns"]

_TURN_SECONDS: Final = 0.0005
"""For how long work over very many clients may occupy the loop before it yields."""
_LOOKS_AT_CLOCK_EVERY: Final = 16


class Ticker:
    """Calls `run` every `seconds`, from `start` until `stop`.

    Args:
        loop: the loop whose timers it uses; None for threads without one, where nothing is called.
        context: the context in which `run` is called.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None, context: Context, seconds: float, run: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._context = context
        self._seconds = seconds
        self._run = run
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start it, unless it is running."""
        if self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(self._seconds, self._tick, context=self._context)

    def stop(self) -> None:
        """Stop it; it can be started again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        self.start()
        self._run()

    def __repr__(self) -> str:
        return f"<Ticker each {self._seconds} s, {'stopped' if self._timer is None else 'running'}>"


def is_through(steps: Iterator[object]) -> bool:
    """Take steps until there are no more (True), or the turn's time is up (False). A step that took long is True."""
    deadline = perf_counter() + _TURN_SECONDS
    for count, was_long in enumerate(steps, 1):
        if (was_long or count % _LOOKS_AT_CLOCK_EVERY == 0) and perf_counter() > deadline:
            return False
    return True


def run_in_turns(
    loop: asyncio.AbstractEventLoop, context: Context, steps: Iterator[object], done: Callable[[], object]
) -> None:
    """Take steps until there are no more, then call `done`; the loop runs other callbacks in between."""
    if is_through(steps):
        done()
    else:
        loop.call_soon(run_in_turns, loop, context, steps, done, context=context)
