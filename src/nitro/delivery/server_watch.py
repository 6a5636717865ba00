"""The server watch: whether the servers of one event loop accept no more connections, so that its streams should end.

Fed by code that can tell whether a server has stopped. A server that stops by itself sends no signal, and doesn't
notify its applications while they have open responses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sized
from contextvars import Context
from typing import Final

from nitro.delivery.ticker import Ticker

__all__ = ["HasStopped", "ServerWatch"]

_LOOK_SECONDS: Final = 0.25
"""Interval of checks, while there are clients."""
_MOST_SERVERS: Final = 16
"""Limits how many are searched for, since a middleware may make up addresses."""

HasStopped = Callable[[], bool]
"""Whether a server accepts no more connections."""


class ServerWatch:
    """Belongs to one lane.

    Args:
        clients: the clients of the lane; while there are none, nothing is checked.
        on_stopped: called once all watched servers have stopped.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        context: Context,
        clients: Sized,
        on_stopped: Callable[[], object],
    ) -> None:
        self._clients = clients
        self._on_stopped = on_stopped
        self._servers: dict[Hashable, HasStopped | None] = {}
        self._ticker = Ticker(loop, context, _LOOK_SECONDS, self._look)

    def watch(self, server: Hashable, find: Callable[[], HasStopped | None]) -> None:
        """Watch one more server.

        Args:
            server: identifies it; each server is searched for once.
            find: returns how to check whether it has stopped; None if that can't be checked.
        """
        if server not in self._servers:
            if len(self._servers) >= _MOST_SERVERS:
                return
            self._servers[server] = find()
        if any(self._servers.values()):
            self._ticker.start()

    def stop(self) -> None:
        """Stop checking."""
        self._ticker.stop()

    def _look(self) -> None:
        if not self._clients:
            self.stop()
        elif all(has_stopped() for has_stopped in self._servers.values() if has_stopped is not None):
            self.stop()
            self._on_stopped()

    def __repr__(self) -> str:
        return f"<ServerWatch of {len(self._servers)} servers>"
