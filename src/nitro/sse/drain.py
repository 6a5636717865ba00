"""Drain: end all streams when their server is about to stop, so that it needn't wait for them.

Servers wait for open responses, and a stream is always open. At a signal the handler that the server installed is
chained: ours ends the streams, then theirs runs. A server that stops without a signal, after so many requests or
because its master says so, is seen to close its listener. Nothing of a server is patched, and when it puts back the
handlers from before it, ours are gone with its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, Final, TypeGuard

from nitro.delivery.process import current_hub
from nitro.delivery.server_watch import HasStopped, ServerWatch
from nitro.sse.listening_sockets import ListeningSockets

__all__ = ["drain_on_signals", "drain_with_listener", "shutdown"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

Handler = Callable[[int, FrameType | None], Any]


class _Chained:
    """A signal handler in front of the one that was there."""

    def __init__(self, previous: Handler) -> None:
        self._previous = previous

    @property
    def server(self) -> Any:
        """Whose method the previous one is; None if it is nobody's."""
        return getattr(self._previous, "__self__", None)

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        try:
            shutdown()
        finally:
            self._previous(signum, frame)


class _ChainedQuit(_Chained):
    """The same for SIGQUIT, by which gunicorn tells its workers to stop at once.

    uvicorn's worker class only takes a note of it, which nobody reads, and is killed half a minute later. It stops at
    SIGTERM, and so does every other.
    """

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        super().__call__(signum, frame)
        signal.raise_signal(signal.SIGTERM)


def shutdown() -> None:
    """End all streams of this process, as SIGTERM does, for servers and scripts that stop in another way.

    What was emitted so far still goes out, then browsers are told to come back after a while. The event loops that had
    streams accept no more of them: whoever connects is ended at once. Returns at once, from any thread.
    """
    hub = current_hub()
    if hub is not None:
        hub.drain_soon()


def drain_on_signals(servers: ServerWatch | None = None) -> None:
    """Chain the handlers of SIGTERM and SIGINT, if a server has installed its own. Main thread only.

    Python's default handlers are left alone: with them the process ends at once, or by KeyboardInterrupt. So is
    the one of `asyncio.run`, which cancels the main task and with it what streams there. A server that was told to stop
    already, and still took a request, ends its streams at once. One that can be seen behind its handlers is one of the
    `servers` that are watched.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for signum in _SIGNALS:
        handler = signal.getsignal(signum)
        if _is_foreign(handler):
            handler = _Chained(handler)
            signal.signal(signum, handler)
            if getattr(handler.server, "should_exit", False) is True:  # uvicorn's Server
                shutdown()
        if isinstance(handler, _Chained) and hasattr(handler.server, "should_exit") and servers is not None:
            servers.watch(handler.server, partial(_closing, handler.server))
    if os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/"):
        handler = signal.getsignal(signal.SIGQUIT)
        if _is_foreign(handler):
            signal.signal(signal.SIGQUIT, _ChainedQuit(handler))


def drain_with_listener(servers: ServerWatch | None, server: Any) -> None:
    """End the streams once the listener is closed by which they came: `server` of an ASGI scope."""
    key = tuple(server) if isinstance(server, list | tuple) else None
    if servers is not None:
        servers.watch(key, partial(_closed_listener, key))


def _closed_listener(server: Any) -> HasStopped | None:
    listeners = ListeningSockets.of(server)
    return listeners.are_closed if listeners else None


def _closing(server: Any) -> HasStopped | None:
    """How uvicorn's Server is seen to close: for streams that know no scope, and where listeners can't be found."""
    servers = getattr(server, "servers", ())
    if servers and servers[0].get_loop() is not asyncio.get_running_loop():
        return None
    return lambda: bool(server.servers) and not any(each.is_serving() for each in server.servers)


def _is_foreign(handler: Any) -> TypeGuard[Handler]:
    """Whether it is one that a server has installed."""
    owner = getattr(getattr(handler, "func", None), "__self__", None)  # asyncio's is a partial of its runner's method
    is_pythons = handler is signal.default_int_handler or isinstance(owner, asyncio.Runner)
    return callable(handler) and not isinstance(handler, _Chained) and not is_pythons
