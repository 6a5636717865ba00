"""The server watch: whether the servers of one event loop accept no more connections, so that its streams should end.

Fed by whoever knows how a server is seen to stop. A server that stops by itself sends no signal and tells its
applications nothing while they have open responses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sized
from contextvars import Context
from typing import Final

from nitro.delivery.ticker import Ticker

__all__ = ["HasStopped", "ServerWatch"]

_LOOK_SECONDS: Final = 0.25
"""How often it is looked, while there are clients."""
_MOST_SERVERS: Final = 16
"""An address that a middleware made up is no reason to look for more and more of them."""

HasStopped = Callable[[], bool]
"""Whether a server accepts no more connections."""


class ServerWatch:
    """Belongs to one lane.

    Args:
        clients: those that are to be ended; while there are none, nobody looks.
        on_stopped: called once all servers that are watched have stopped.
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
        """Look at one more.

        Args:
            server: whichever; it is found once.
            find: how to see that it has stopped; None if that can't be seen.
        """
        if server not in self._servers:
            if len(self._servers) >= _MOST_SERVERS:
                return
            self._servers[server] = find()
        if any(self._servers.values()):
            self._ticker.start()

    def stop(self) -> None:
        """Look no more."""
        self._ticker.stop()

    def _look(self) -> None:
        if not self._clients:
            self.stop()
        elif all(has_stopped() for has_stopped in self._servers.values() if has_stopped is not None):
            self.stop()
            self._on_stopped()

    def __repr__(self) -> str:
        return f"<ServerWatch of {len(self._servers)} servers>"
