"""The registry of connected clients, updated by the clients; its only instance is `active_clients` in `client.py`."""

from __future__ import annotations

import threading
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Generic, Protocol, TypeVar

__all__ = ["ActiveClients", "Listed"]


class Listed(Protocol):
    """The part of a `Client` that the registry uses."""

    @property
    def client_id(self) -> str:
        """Its key."""

    def _start_anew(self) -> None:
        """Reset it in a forked child, where it is not connected."""


C = TypeVar("C", bound=Listed)


class ActiveClients(Mapping[str, C], Generic[C]):
    """The connected clients by id. An iteration goes over a snapshot, so clients may connect and disconnect
    meanwhile.
    """

    def __init__(self) -> None:
        self._clients: dict[str, C] = {}
        self._connected: dict[C, None] = {}  # also clients whose id was taken by another
        self._lock = threading.RLock()

    def __getitem__(self, client_id: str) -> C:
        return self._clients[client_id]

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._clients))

    def __len__(self) -> int:
        return len(self._clients)

    def items(self) -> ItemsView[str, C]:
        return self._clients.copy().items()

    def values(self) -> ValuesView[C]:
        return self._clients.copy().values()

    def _add(self, client: C) -> None:
        with self._lock:
            self._clients[client.client_id] = client
            self._connected[client] = None

    def _remove(self, client: C) -> None:
        with self._lock:
            self._connected.pop(client, None)
            if self._clients.get(client.client_id) is client:
                del self._clients[client.client_id]

    def connected(self) -> tuple[C, ...]:
        """All connected clients of this process, the first ones first; also those whose id was taken by another."""
        with self._lock:
            return tuple(self._connected)

    def _forget(self) -> None:
        """Reset in a forked child, where no client is connected; they may connect again."""
        self._lock = threading.RLock()
        self._clients.clear()
        for client in list(self._connected):
            client._start_anew()
        self._connected = {}

    def __repr__(self) -> str:
        return f"<{len(self)} active clients>"
