"""Clients, grants and streams, as an application's type checker sees them. What it must refuse says by which rule."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, assert_type
from uuid import UUID, uuid4

from opentelemetry.trace import Link, get_tracer_provider
from starlette.requests import Request
from starlette.responses import Response

from nitro import (
    ANY,
    Client,
    ClientOptions,
    EventSourceResponse,
    Gap,
    GapReason,
    Grant,
    HasId,
    Member,
    Message,
    Senders,
    Topics,
    active_clients,
    client_event,
    disconnect_user,
    event_stream,
    listen,
    presence,
    requested_topics,
)
from nitro.client import Heard, Listener
from nitro.events.event import Event
from nitro.events.sender import AnyType
from nitro.fastapi import EventStream
from nitro.otel import NitroInstrumentor, link_to
from nitro.tickets import Tickets


@dataclass
class User:
    id: UUID


@dataclass
class Row:
    """Before it is saved, its id is None."""

    id: int | None = None


user = User(uuid4())
has_id: HasId = user
has_id = Row(7)
has_id = 7  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

# --- topics and senders

a_list: list[str] = ["todo.*"]
topics: Topics = "todo.*"
topics = a_list
topics = ("todo.*", ANY)
topics = {"todo.*"}
topics = (f"room.{number}" for number in range(3))
topics = {"todo.*": ANY, "room": [user, 7, "me"], "user": user, "one": "me"}
topics = 7  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
topics = b"todo"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
topics = [7]  # type: ignore[list-item]  # pyright: ignore[reportAssignmentType]
topics = {"todo.*": None}  # type: ignore[dict-item]  # pyright: ignore[reportAssignmentType]
topics = {7: ANY}  # type: ignore[dict-item]  # pyright: ignore[reportAssignmentType]
senders: Senders = user
senders = {user.id}
senders = [ANY]
senders = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
senders = {"id": 7}  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

# --- clients

client = Client("client-1", topics=a_list, muted_topics=["todo.deleted"], user_id=user, overflow="latest")
assert_type(client, Client)
assert_type(Client(topics={"room": [7]}, allowed=ANY, denied="room.secret", expires_at=datetime.now(UTC)), Client)
assert_type(Client(grant=Grant(["todo.*"]), max_messages=10, max_bytes=1000, send_timeout_seconds=1.5), Client)
assert_type(client.client_id, str)
assert_type(client.address, str | None)
assert_type(client.user_id, str | None)
assert_type(client.topics, dict[str, list[str] | AnyType])
assert_type(client.muted_topics, list[str])
assert_type(client.is_connected, bool)
assert_type(client.connect().subscribe("a").subscribe("b", [user]).unsubscribe("a"), Client)
assert_type(client.mute("c").unmute("c").grant("d", ANY).revoke("d").disconnect(stop=True), Client)
assert_type(client.send({"any": "thing"}), bool)
assert_type(client.stream(), AsyncGenerator[Any, None])
assert_type(client.messages(), AsyncGenerator[Message | Gap, None])
with Client() as entered:
    assert_type(entered, Client)

Client(topic=["todo.*"])  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Client(send_timeout=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Client(["todo.*"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Client(topics=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Client(topics={"todo.*": None})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
Client(muted_topics={"todo.*": ANY})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Client(topics=ANY, overflow="drop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Client(topics=ANY, user_id=object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Client(topics=ANY, grant=["todo.*"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
client.subscribe("todo.*", None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

assert_type(active_clients["client-1"], Client)
assert_type(active_clients.get("client-1"), Client | None)
assert_type(client_event, Event)
assert_type(disconnect_user(user), None)
disconnect_user(user.id, stop=True)
disconnect_user(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# --- grants

grant = Grant({"todo.*": ANY, "room": [7]}, denied=["todo.secret"], user_id=user, expires_at=2e9)
assert_type(grant, Grant)
assert_type(grant.allowed, dict[str, list[str] | AnyType])
assert_type(grant.denied, dict[str, list[str] | AnyType])
assert_type(grant.user_id, str | None)
assert_type(grant.expires_at, float | None)
assert_type(grant.read_at, float)
Grant(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Grant(["todo.*"], user=7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Grant(["todo.*"], expires_at="tomorrow")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
grant.read_at = 0.0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
assert_type(Tickets("secret" * 5).issue(grant), str)
assert_type(Tickets("secret" * 5).read("ticket"), Grant | None)

# --- streams


def stream_of(request: Request) -> Response:
    assert_type(list(requested_topics(request)), list[str])
    assert_type(event_stream(request, None), Response)
    event_stream(request, grant, topics=["todo.*"], muted_topics="todo.deleted", overflow="drop_oldest", max_bytes=7)
    event_stream(request, grant, response=partial(EventSourceResponse, named=True))
    event_stream(request, ["todo.*"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    event_stream(request, grant, mutedtopics="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    event_stream(request, grant, user_id=7)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    event_stream(request, grant, max_bytes="7")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    event_stream("/events", grant)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return event_stream(request, grant)


class Scoped:
    def __init__(self) -> None:
        self.scope: Mapping[str, object] = {}


def may_hear(name: str) -> Grant | None:
    return Grant([f"user.{name}"]) if name else None


async def may_hear_soon(name: str) -> Grant:
    return Grant([f"user.{name}"])


requested_topics(Scoped())
options: ClientOptions = {"overflow": "latest", "send_timeout_seconds": 3}
options = {"overlow": "latest"}  # type: ignore[typeddict-unknown-key]  # pyright: ignore[reportAssignmentType]
options = {"topics": ["todo.*"]}  # type: ignore[typeddict-unknown-key]  # pyright: ignore[reportAssignmentType]
stream = EventStream(may_hear, response=EventSourceResponse, topics=a_list, **options)
assert_type(stream, EventStream)
assert_type(stream.openapi, dict[str, Any])
EventStream(may_hear_soon, max_messages=10)
EventStream(grant)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
EventStream(may_hear, overlow="latest")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
EventStream(lambda: ["todo.*"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# --- who is in a room

Client(user_id="ann", presence="room.42", state={"name": "Ann"}).set_state(None)
Client(user_id="ann", presence=["room.42", "room.43"])
Client(user_id="ann", presence=42)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
assert_type(presence("room.42"), list[Member])
assert_type(presence("room.42")[0].since, float)

# --- what is heard


def heard(item: Message | Gap) -> None:
    if isinstance(item, Gap):
        assert_type(item.reason, GapReason)
        assert item.reason != "lost"  # type: ignore[comparison-overlap]
        assert_type(item.id, str)
    else:
        assert_type(item.topic, str)
        assert_type(item.id, str | None)
        assert_type(item.data, Any)
        assert_type(item.json, str)
        assert_type(item.traceparent, str | None)
    assert_type(link_to(item), Link | None)


def tracing() -> None:
    NitroInstrumentor().instrument()
    NitroInstrumentor().instrument(tracer_provider=get_tracer_provider())
    NitroInstrumentor().uninstrument()
    link_to("traceparent")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --- listening


async def listening() -> None:
    listener = listen("https://example.org/events", "todo.*", headers=lambda: {"a": "b"})
    assert_type(listener, Listener)
    async for each in listener:
        assert_type(each, Heard | Gap)
    for each in listen("https://example.org/events", a_list, headers={"a": "b"}, last_event_id="", text=True):
        if isinstance(each, Heard):
            assert_type(each.topic, str)
            assert_type(each.id, str | None)
    listen("https://example.org/events", 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async with listen("https://example.org/events", headers=fresh) as entered:
        assert_type(entered, Listener)


async def fresh() -> dict[str, str] | None:
    return None
