"""What applications call: events and their handlers, emit, clients, and the response that streams to a page."""

from nitro.domain.message import Gap, Message
from nitro.infrastructure.delivery.process import configure, connect_broker, flush
from nitro.infrastructure.delivery.statistics import Statistics
from nitro.infrastructure.events.client import Client
from nitro.infrastructure.events.emitting import emit, emit_async, on, statistics
from nitro.infrastructure.events.events import Event, Namespace, default_namespace, event, filter_signals
from nitro.infrastructure.events.grant import Grant
from nitro.infrastructure.events.position import position, position_async
from nitro.infrastructure.events.sender import ANY
from nitro.infrastructure.events.streams import event_stream, requested_topics
from nitro.infrastructure.events.users import disconnect_user
from nitro.infrastructure.sse.drain import shutdown
from nitro.infrastructure.sse.response import EventSourceResponse

__all__ = [
    "ANY",
    "Client",
    "Event",
    "EventSourceResponse",
    "Gap",
    "Grant",
    "Message",
    "Namespace",
    "Statistics",
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
