"""Drain: end all streams when the process is told to stop, so that its server needn't wait for them.

Servers wait for open responses at SIGTERM and SIGINT, and a stream is always open. So the handler that the
server installed is chained: ours ends the streams, then theirs runs. Nothing of the server is patched, and
when the server puts back the handlers from before it, ours are gone with its own.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

from nitro.infrastructure.delivery.process import current_hub

__all__ = ["drain_on_signals", "shutdown"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class _Chained:
    """A signal handler in front of the one that was there."""

    def __init__(self, previous: Callable[[int, FrameType | None], Any]) -> None:
        self._previous = previous

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        try:
            shutdown()
        finally:
            self._previous(signum, frame)


def shutdown() -> None:
    """End all streams of this process, as SIGTERM does, for servers and scripts that stop in another way.

    What was emitted so far still goes out, then browsers are told to come back after a while. The event loops that had
    streams accept no more of them: whoever connects is ended at once. Returns at once, from any thread.
    """
    hub = current_hub()
    if hub is not None:
        hub.drain_soon()


def drain_on_signals() -> None:
    """Chain the handlers of SIGTERM and SIGINT, if a server has installed its own. Main thread only.

    Python's default handlers are left alone: with them the process ends at once, or by KeyboardInterrupt. So is
    the one of `asyncio.run`, which cancels the main task and with it what streams there. A server that was told to stop
    already, and still took a request, ends its streams at once.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for signum in _SIGNALS:
        handler = signal.getsignal(signum)
        if callable(handler) and not isinstance(handler, _Chained) and not _is_pythons(handler):
            signal.signal(signum, _Chained(handler))
            if getattr(getattr(handler, "__self__", None), "should_exit", False) is True:  # uvicorn's Server
                shutdown()


def _is_pythons(handler: Callable[..., Any]) -> bool:
    owner = getattr(getattr(handler, "func", None), "__self__", None)  # asyncio's is a partial of its runner's method
    return handler is signal.default_int_handler or isinstance(owner, asyncio.Runner)
