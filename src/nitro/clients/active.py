"""Who is connected right now. Kept by the clients themselves; one of it exists, `active_clients`."""

from __future__ import annotations

import os
import threading
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from nitro.clients.client import Client

__all__ = ["ActiveClients", "active_clients"]


class ActiveClients(Mapping[str, "Client"]):
    """The connected clients by id. It may be iterated while clients come and go: an iteration goes over those
    of the moment at which it began.
    """

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._connected: set[Client] = set()  # more than above, where two have one id
        self._lock = threading.RLock()

    def __getitem__(self, client_id: str) -> Client:
        return self._clients[client_id]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._clients))

    def __len__(self) -> int:
        return len(self._clients)

    def items(self) -> ItemsView[str, Client]:
        return self._clients.copy().items()

    def values(self) -> ValuesView[Client]:
        return self._clients.copy().values()

    def _add(self, client: Client) -> None:
        with self._lock:
            self._clients[client.client_id] = client
            self._connected.add(client)

    def _remove(self, client: Client) -> None:
        with self._lock:
            self._connected.discard(client)
            if self._clients.get(client.client_id) is client:
                del self._clients[client.client_id]

    def connected(self) -> tuple[Client, ...]:
        """All that are connected in this process, also those whose id another one has taken since."""
        with self._lock:
            return tuple(self._connected)

    def _forget(self) -> None:
        """In a forked child: whoever was connected isn't here, and may connect again."""
        self._lock = threading.RLock()
        self._clients.clear()
        for client in list(self._connected):
            client._start_anew()
        self._connected = set()

    def __repr__(self) -> str:
        return f"<{len(self)} active clients>"


active_clients: Final = ActiveClients()

if hasattr(os, "register_at_fork"):  # a child has none of its parent's connections
    os.register_at_fork(after_in_child=active_clients._forget)
