"""The public names, under the path that the specification gives them. Each is defined elsewhere in `nitro`."""

from nitro.clients.client import Client
from nitro.clients.disconnect_user import disconnect_user
from nitro.clients.event_stream import event_stream, requested_topics
from nitro.clients.grant import Grant
from nitro.clients.options import ClientOptions
from nitro.clients.patterns import Senders, Topics
from nitro.delivery.position import position, position_async
from nitro.delivery.process import configure, connect_broker, flush, statistics
from nitro.delivery.statistics import Statistics
from nitro.events.emitting import emit, emit_async, on
from nitro.events.event import Event, Namespace, default_namespace, event, filter_signals
from nitro.events.sender import ANY
from nitro.messages.heard import Heard
from nitro.messages.identity import HasId
from nitro.messages.message import Gap, GapReason, Message
from nitro.sse.drain import shutdown
from nitro.sse.response import EventSourceResponse

__all__ = [
    "ANY",
    "Client",
    "ClientOptions",
    "Event",
    "EventSourceResponse",
    "Gap",
    "GapReason",
    "Grant",
    "HasId",
    "Heard",
    "Message",
    "Namespace",
    "Senders",
    "Statistics",
    "Topics",
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
    "shutdown",
    "statistics",
]
