"""Who is connected right now. Kept by the clients themselves; one of it exists, `active_clients` in `client.py`."""

from __future__ import annotations

import threading
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from typing import Generic, Protocol, TypeVar

__all__ = ["ActiveClients", "Listed"]


class Listed(Protocol):
    """What a client is here."""

    @property
    def client_id(self) -> str:
        """Its key."""

    def _start_anew(self) -> None:
        """It is in a forked child, and not connected there."""


C = TypeVar("C", bound=Listed)


class ActiveClients(Mapping[str, C], Generic[C]):
    """The connected clients by id. It may be iterated while clients come and go: an iteration goes over those
    of the moment at which it began.
    """

    def __init__(self) -> None:
        self._clients: dict[str, C] = {}
        self._connected: set[C] = set()  # more than above, where two have one id
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
            self._connected.add(client)

    def _remove(self, client: C) -> None:
        with self._lock:
            self._connected.discard(client)
            if self._clients.get(client.client_id) is client:
                del self._clients[client.client_id]

    def connected(self) -> tuple[C, ...]:
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
