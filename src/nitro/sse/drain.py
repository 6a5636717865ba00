"""Drain: ends all streams when their server is about to stop, so that it needn't wait for them.

Servers wait for open responses, and a stream is always open. The signal handler that the server installed is chained:
ours ends the streams, then the server's runs. A server that stops without a signal, after a number of requests or
on its master's order, is detected by its closed listener. Nothing of a server is patched, and when it restores the
previous handlers, ours are removed with its own.
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

__all__ = ["also_end", "drain_on_signals", "drain_with_listener", "is_under_gunicorn", "keep_server_for", "shutdown"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

Handler = Callable[[int, FrameType | None], Any]

_others: Final[set[Callable[[], object]]] = set()


class _Chained:
    """A signal handler that ends the streams and then calls the previous handler."""

    def __init__(self, previous: Handler) -> None:
        self._previous = previous

    @property
    def server(self) -> Any:
        """The object whose bound method the previous handler is; None if it isn't a bound method."""
        return getattr(self._previous, "__self__", None)

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        try:
            shutdown()
        finally:
            self._previous(signum, frame)


class _ChainedQuit(_Chained):
    """The same for SIGQUIT, with which gunicorn tells its workers to stop at once.

    uvicorn's worker class only sets a flag that is never read, and is killed half a minute later. It stops at SIGTERM,
    as every other worker class does.
    """

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        super().__call__(signum, frame)
        signal.raise_signal(signal.SIGTERM)


def shutdown() -> None:
    """End all streams of this process, as SIGTERM does, for servers and scripts that stop in another way.

    Events that were emitted before are still sent, then browsers are told to reconnect after a while. Runs that are
    written here are handed on to other processes. Event loops that had streams accept no new ones: a stream that
    connects is ended at once. Returns at once, from any thread.
    """
    hub = current_hub()
    if hub is not None:
        hub.drain_soon()
    for end in tuple(_others):
        end()


def also_end(end: Callable[[], object]) -> None:
    """Call `end` as well when the streams of this process end. It returns at once, and is safe in a signal handler."""
    _others.add(end)


def keep_server_for(task: asyncio.Task[None]) -> None:
    """Let uvicorn wait for a task as for that of a request before it ends this process, which it does by a signal."""
    for handler in map(signal.getsignal, _SIGNALS):
        tasks = getattr(getattr(getattr(handler, "server", None), "server_state", None), "tasks", None)
        if isinstance(handler, _Chained) and isinstance(tasks, set):
            tasks.add(task)
            task.add_done_callback(tasks.discard)


def drain_on_signals(servers: ServerWatch | None = None) -> None:
    """Chain the handlers of SIGTERM and SIGINT if a server has installed its own. Does nothing outside the main thread.

    Python's default handlers are left alone: with them the process ends at once, or by KeyboardInterrupt. So is that
    of `asyncio.run`, which cancels the main task and with it the streams. If a server is already stopping and still
    accepts a request, its streams end at once. A server that is found through its handler is added to the watched
    `servers`.
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
    if is_under_gunicorn():
        handler = signal.getsignal(signal.SIGQUIT)
        if _is_foreign(handler):
            signal.signal(signal.SIGQUIT, _ChainedQuit(handler))


def is_under_gunicorn() -> bool:
    """Whether gunicorn runs this process; its SIGQUIT is to be chained whatever its worker does."""
    return os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/")


def drain_with_listener(servers: ServerWatch | None, server: Any) -> None:
    """End the streams once the listener that accepted them is closed: `server` of an ASGI scope."""
    key = tuple(server) if isinstance(server, list | tuple) else None
    if servers is not None:
        servers.watch(key, partial(_closed_listener, key))


def _closed_listener(server: Any) -> HasStopped | None:
    listeners = ListeningSockets.of(server)
    return listeners.are_closed if listeners else None


def _closing(server: Any) -> HasStopped | None:
    """Detects that uvicorn's Server is closing: for streams without a scope, or where listeners can't be found."""
    servers = getattr(server, "servers", ())
    if servers and servers[0].get_loop() is not asyncio.get_running_loop():
        return None
    return lambda: bool(server.servers) and not any(each.is_serving() for each in server.servers)


def _is_foreign(handler: Any) -> TypeGuard[Handler]:
    """Whether a server installed `handler`."""
    owner = getattr(getattr(handler, "func", None), "__self__", None)  # asyncio's is a partial of a Runner's method
    is_pythons = handler is signal.default_int_handler or isinstance(owner, asyncio.Runner)
    return callable(handler) and not isinstance(handler, _Chained) and not is_pythons
