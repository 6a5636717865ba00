"""Nitro: change data on the server, show it in every open browser.

The public names, each imported when it is first asked for: importing `nitro` is cheap and starts nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    __version__: str

    from nitro.domain.entities.base_entity import Entity
    from nitro.domain.topics import segment
    from nitro.errors import NitroError, NitroWarning
    from nitro.infrastructure.events import (
        ANY,
        Client,
        Event,
        EventSourceResponse,
        Gap,
        Grant,
        Message,
        Namespace,
        Statistics,
        configure,
        connect_broker,
        default_namespace,
        disconnect_user,
        emit,
        emit_async,
        event,
        event_stream,
        filter_signals,
        flush,
        on,
        position,
        position_async,
        requested_topics,
        shutdown,
        statistics,
    )
    from nitro.infrastructure.events.client import active_clients, client_event
    from nitro.infrastructure.sse.assets import assets

__all__ = [
    "ANY",
    "Client",
    "Entity",
    "Event",
    "EventSourceResponse",
    "Gap",
    "Grant",
    "Message",
    "Namespace",
    "NitroError",
    "NitroWarning",
    "Statistics",
    "active_clients",
    "assets",
    "client_event",
    "configure",
    "connect_broker",
    "default_namespace",
    "disconnect_user",
    "emit",
    "emit_async",
    "event",
    "event_stream",
    "filter_signals",
    "flush",
    "on",
    "position",
    "position_async",
    "requested_topics",
    "segment",
    "shutdown",
    "statistics",
]

_EVENTS: Final = "nitro.infrastructure.events"
_ELSEWHERE: Final = {
    "Entity": "nitro.domain.entities.base_entity",
    "NitroError": "nitro.errors",
    "NitroWarning": "nitro.errors",
    "active_clients": "nitro.infrastructure.events.client",
    "assets": "nitro.infrastructure.sse.assets",
    "client_event": "nitro.infrastructure.events.client",
    "segment": "nitro.domain.topics",
}


if not TYPE_CHECKING:  # a type checker would take it for every name there is, the misspelt ones, too

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            value = import_module("importlib.metadata").version("nitro-realtime")
        elif name in __all__:
            value = getattr(import_module(_ELSEWHERE.get(name, _EVENTS)), name)
        else:
            raise AttributeError(f"module 'nitro' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
