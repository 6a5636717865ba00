"""Nitro: change data on the server, show it in every open browser.

The public names, each imported at first use: importing `nitro` is cheap and starts nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from nitro import metrics as metrics
    from nitro import runs as runs
    from nitro.client.listener import listen as listen
    from nitro.clients.client import Client as Client
    from nitro.clients.client import active_clients as active_clients
    from nitro.clients.client import client_event as client_event
    from nitro.clients.disconnect_user import disconnect_user as disconnect_user
    from nitro.clients.event_stream import event_stream as event_stream
    from nitro.clients.event_stream import requested_topics as requested_topics
    from nitro.clients.grant import Grant as Grant
    from nitro.clients.options import ClientOptions as ClientOptions
    from nitro.clients.patterns import Senders as Senders
    from nitro.clients.patterns import Topics as Topics
    from nitro.delivery.position import position as position
    from nitro.delivery.position import position_async as position_async
    from nitro.delivery.process import (
        configure as configure,
    )
    from nitro.delivery.process import (
        connect_broker as connect_broker,
    )
    from nitro.delivery.process import (
        flush as flush,
    )
    from nitro.delivery.process import (
        statistics as statistics,
    )
    from nitro.delivery.statistics import Statistics as Statistics
    from nitro.entities.entity import Entity as Entity
    from nitro.errors import NitroError as NitroError
    from nitro.errors import NitroWarning as NitroWarning
    from nitro.events.emitting import emit as emit
    from nitro.events.emitting import emit_async as emit_async
    from nitro.events.emitting import on as on
    from nitro.events.event import (
        Event as Event,
    )
    from nitro.events.event import (
        Namespace as Namespace,
    )
    from nitro.events.event import (
        default_namespace as default_namespace,
    )
    from nitro.events.event import (
        event as event,
    )
    from nitro.events.event import (
        filter_signals as filter_signals,
    )
    from nitro.events.sender import ANY as ANY
    from nitro.inspection.app import inspector as inspector
    from nitro.live.client import LiveClient as LiveClient
    from nitro.live.declaring import LiveModel as LiveModel
    from nitro.live.declaring import live_model as live_model
    from nitro.messages.heard import Heard as Heard
    from nitro.messages.identity import HasId as HasId
    from nitro.messages.message import Gap as Gap
    from nitro.messages.message import GapReason as GapReason
    from nitro.messages.message import Message as Message
    from nitro.messages.presence import Member as Member
    from nitro.messages.topics import segment as segment
    from nitro.rooms.process import presence as presence
    from nitro.sse.assets import assets as assets
    from nitro.sse.drain import shutdown as shutdown
    from nitro.sse.health import health as health
    from nitro.sse.position_header import PositionMiddleware as PositionMiddleware
    from nitro.sse.response import EventSourceResponse as EventSourceResponse

    __version__: str

_NAMES: Final = {
    "nitro.client.listener": ("listen",),
    "nitro.clients.client": ("Client", "active_clients", "client_event"),
    "nitro.clients.disconnect_user": ("disconnect_user",),
    "nitro.clients.event_stream": ("event_stream", "requested_topics"),
    "nitro.clients.grant": ("Grant",),
    "nitro.clients.options": ("ClientOptions",),
    "nitro.clients.patterns": ("Senders", "Topics"),
    "nitro.delivery.process": ("configure", "connect_broker", "flush", "statistics"),
    "nitro.delivery.statistics": ("Statistics",),
    "nitro.entities.entity": ("Entity",),
    "nitro.errors": ("NitroError", "NitroWarning"),
    "nitro.events.emitting": ("emit", "emit_async", "on"),
    "nitro.events.event": ("Event", "Namespace", "default_namespace", "event", "filter_signals"),
    "nitro.delivery.position": ("position", "position_async"),
    "nitro.events.sender": ("ANY",),
    "nitro.inspection.app": ("inspector",),
    "nitro.live.client": ("LiveClient",),
    "nitro.live.declaring": ("LiveModel", "live_model"),
    "nitro.messages.heard": ("Heard",),
    "nitro.messages.identity": ("HasId",),
    "nitro.messages.message": ("Gap", "GapReason", "Message"),
    "nitro.messages.presence": ("Member",),
    "nitro.messages.topics": ("segment",),
    "nitro.rooms.process": ("presence",),
    "nitro.sse.assets": ("assets",),
    "nitro.sse.drain": ("shutdown",),
    "nitro.sse.health": ("health",),
    "nitro.sse.position_header": ("PositionMiddleware",),
    "nitro.sse.response": ("EventSourceResponse",),
}
"""Module → the public names that it defines. A test compares this with the imports above, for type checkers."""
_MODULES: Final = ("metrics", "runs")
"""Modules that are used by their names, as `nitro.runs.start`."""
_PLACES: Final = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_PLACES)


if not TYPE_CHECKING:  # for a type checker, it would make every misspelt name valid

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            value = import_module("importlib.metadata").version("nitro-realtime")
        elif name in _MODULES:
            value = import_module(f"nitro.{name}")
        elif name in _PLACES:
            value = getattr(import_module(_PLACES[name]), name)
        else:
            raise AttributeError(f"module 'nitro' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, *_MODULES, "__version__"]
