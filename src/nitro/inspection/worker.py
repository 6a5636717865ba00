"""The worker: what this process tells of itself, to whoever looks. It only reads what is counted anyway."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Mapping
from typing import Any

from nitro.clients.client import active_clients
from nitro.delivery.hub import Hub
from nitro.inspection.rows import Listing, key_of
from nitro.inspection.view import View

__all__ = ["Worker"]


class Worker:
    """One process, as inspectors see it.

    Args:
        hub: of this process.

    Attributes:
        id: no other process has it.
    """

    def __init__(self, hub: Hub) -> None:
        self.id: str = secrets.token_hex(4)
        self._hub = hub
        self._listing = Listing(self.id)

    def report(self, views: Mapping[str, View]) -> dict[str, Any]:
        """How it is now, and what each view shows of its clients."""
        statistics, state = self._hub.statistics(), self._hub.broker.state
        self._listing.forget_others(views.values())
        return {
            "id": self.id,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": self._hub.made_at,
            "is_draining": self._hub.is_draining,
            "clients": statistics.clients,
            "users": statistics.users,
            "direct": statistics.direct,
            "loops": statistics.loops,
            "loop_lag_seconds": statistics.loop_lag_seconds,
            "counters": {
                "published": statistics.messages_in,
                "published_bytes": statistics.bytes_in,
                "delivered": statistics.messages_out,
                "delivered_bytes": statistics.bytes_out,
                "connects": statistics.connects,
                "resumes": statistics.resumes,
                "gaps": statistics.gaps,
                "dropped": statistics.dropped,
                "refused": statistics.refused,
                "disconnects": statistics.disconnects,
            },
            "lag": {
                "bounds": statistics.delivery_lag_seconds.bounds,
                "counts": statistics.delivery_lag_seconds.counts,
            },
            "broker": {
                "name": self._hub.broker.name,
                "is_shared": self._hub.broker.is_shared,
                "gone_seconds": state.gone_seconds,
                "why_gone": state.why_gone if state.gone_seconds else "",
                "refused": state.why_refused,
                "lag_messages": state.lag_messages,
                "unacknowledged": state.unacknowledged,
                "skipped": state.skipped,
            },
            "log": {
                "head": statistics.head,
                "messages": statistics.retained_messages,
                "bytes": statistics.retained_bytes,
                "seconds": statistics.retained_seconds,
            },
            "waiting": {"messages": statistics.slowest_messages, "bytes": statistics.slowest_bytes},
            "slowest": self._listing.slowest(self._hub.behind()),
            "views": {name: self._listing.see(view)._asdict() for name, view in views.items()},
        }

    def forget(self) -> None:
        """Nobody looks any more."""
        self._listing.forget_others(())

    def disconnect(self, key: str, *, stop: bool) -> bool:
        """End the client with that key; whether it is one of this process's."""
        for client in active_clients.connected():
            outbox = client._membership.outbox
            if outbox is not None and key_of(self.id, client, outbox) == key:
                client.disconnect(stop=stop)
                return True
        return False

    def __repr__(self) -> str:
        return f"<Worker {self.id}>"
