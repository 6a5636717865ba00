"""The heartbeat: one timer for all clients of an event loop. Fed by nothing but time; drives the lane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextvars import Context

from nitro.infrastructure.delivery.turns import is_through

__all__ = ["Heartbeat"]


class Heartbeat:
    """Belongs to one lane.

    Args:
        loop: whose timer it is; None has no sockets and no heartbeat.
        seconds: between two beats.
        context: in which all of it runs.
        beat: begins a beat, and goes on with it at each step; the loop gets its turns in between.
        done: called when a beat is through.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        seconds: float,
        context: Context,
        beat: Callable[[], Iterator[None]],
        done: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._seconds = seconds
        self._context = context
        self._beat = beat
        self._done = done
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Beat from now on, if it doesn't yet."""
        if self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(self._seconds, self._begin, context=self._context)

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        self.start()
        self._go_on(self._beat())

    def _go_on(self, steps: Iterator[None]) -> None:
        if is_through(steps):
            self._done()
        elif self._loop is not None:
            self._loop.call_soon(self._go_on, steps, context=self._context)

    def __repr__(self) -> str:
        return f"<Heartbeat each {self._seconds} s, {'stopped' if self._timer is None else 'running'}>"
