"""The loop lag: how late an event loop calls its timers, since something else occupied it; and whether it is stuck.

Measured once a second while the loop has clients; read from any thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from typing import Final

__all__ = ["LoopLag"]

_INTERVAL_SECONDS: Final = 1.0
_REMEMBERED: Final = 15
"""How many measurements count: those since the last scrape, at Prometheus' usual interval of 15 s."""


class LoopLag:
    """Belongs to one lane.

    Args:
        loop: the loop whose timers are measured; None for threads without one, where nothing is.
        context: the context in which its timer runs.
        each_second: is called, too, as long as it measures.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop | None, context: Context, each_second: Callable[[], object]
    ) -> None:
        self._loop = loop
        self._context = context
        self._each_second = each_second
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._recent: tuple[float, ...] = ()

    def start(self) -> None:
        """Start to measure, unless it does."""
        if self._timer is None and self._loop is not None:
            self._due = time.monotonic() + _INTERVAL_SECONDS
            self._timer = self._loop.call_later(_INTERVAL_SECONDS, self._measure, context=self._context)

    def stop(self) -> None:
        """Stop; it can be started again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._recent = ()

    @property
    def overdue_seconds(self) -> float:
        """For how long its timer should have been called by now; 0 if the loop is not running at all."""
        if self._timer is None or self._loop is None or not self._loop.is_running():
            return 0.0
        return max(0.0, time.monotonic() - self._due)

    @property
    def seconds(self) -> float:
        """The longest delay of a timer within the last 15 seconds."""
        return max(self.overdue_seconds, *self._recent, 0.0)

    def _measure(self) -> None:
        self._timer = None
        self._recent = (*self._recent[1 - _REMEMBERED :], max(0.0, time.monotonic() - self._due))
        self.start()
        self._each_second()

    def __repr__(self) -> str:
        return f"<LoopLag of {self.seconds:.3f} s>"
