"""Events, handlers and emits, and the process that delivers them, as an application's type checker sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

from pydantic import BaseModel
from sqlmodel import col
from starlette.applications import Starlette
from starlette.types import ASGIApp

import nitro
from nitro import (
    ANY,
    Client,
    Entity,
    Event,
    EventSourceResponse,
    Gap,
    Heard,
    LiveClient,
    LiveModel,
    Message,
    Namespace,
    NitroError,
    NitroWarning,
    PositionMiddleware,
    Statistics,
    assets,
    configure,
    connect_broker,
    default_namespace,
    emit,
    emit_async,
    event,
    filter_signals,
    flush,
    health,
    inspector,
    listen,
    live_model,
    metrics,
    on,
    position,
    position_async,
    segment,
    shutdown,
    statistics,
)
from nitro.events.sender import AnyType

assert_type(ANY, AnyType)
assert_type(nitro.__version__, str)

# --- events

todo_created = event("todo.created", latest_by="id")
assert_type(todo_created, Event)
assert_type(todo_created.emit("me", result=1), list[Any])
assert_type(default_namespace, Namespace)
assert_type(Namespace().event("a"), Event)
assert_type(filter_signals("todo.*"), dict[str, Event])
assert_type(emit(todo_created, "me", result={"title": "a"}), list[Any])
event(7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
emit(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

# --- events with a schema


class TodoOut(BaseModel):
    id: int
    title: str


class Row:
    """What an application stores."""

    id: int
    title: str
    owner_password: str


typed = event("todo.typed", schema=TodoOut)
assert_type(typed, Event[TodoOut])
assert_type(emit(typed, "me", result=TodoOut(id=1, title="a")), list[Any])
typed.emit("me", result=TodoOut(id=1, title="a"))
emit(typed, "me", result=None)
emit(typed, "me")
emit(typed, "me", result=7)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
emit(typed, "me", result={"id": 1})  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
typed.emit("me", result="a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
of_rows = event("todo.rows", schema=TodoOut, takes=Row)
assert_type(of_rows, Event[Row, TodoOut])
emit(of_rows, "me", result=Row())
emit(of_rows, "me", result=TodoOut(id=1, title="a"))  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
assert_type(event("todo.many", schema=list[TodoOut]), Event[list[TodoOut]])
assert_type(Namespace().event("a", schema=TodoOut), Event[TodoOut])
event("todo.typed", schem=TodoOut)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def emit_typed() -> None:
    await emit_async(typed, "me", result=TodoOut(id=1, title="a"))
    await emit_async(typed, "me", result=7)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    await typed.emit_async("me", result=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def read_typed(client: Client) -> None:
    async for message in client.messages():
        assert_type(message, Message | Gap)
    async for read in client.messages(as_=typed):
        assert_type(read, Heard[TodoOut] | Gap)
        if not isinstance(read, Gap):
            assert_type(read.data, TodoOut)
    async for row in client.messages(as_=of_rows):
        assert_type(row, Heard[TodoOut] | Gap)
    client.messages(as_="todo.typed")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    async for heard in listen("http://localhost/events", as_=typed):
        if not isinstance(heard, Gap):
            assert_type(heard.data, TodoOut)
    for plain in listen("http://localhost/events"):
        if not isinstance(plain, Gap):
            assert_type(plain.data, Any)


@on("todo.*", priority=10, required=True)
def check(sender: object, result: int, **kwargs: object) -> bool:
    return result > 0


@on(todo_created)
async def tell(sender: object, **kwargs: object) -> None: ...


assert_type(check(None, 7), bool)
on("todo.*", prio=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
on("todo.*", condition="a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def emits() -> None:
    assert_type(await emit_async("todo.created", result=1), list[Any])
    assert_type(await position_async(), str)
    await tell(None)


# --- the process

assert_type(segment("a.b"), str)
assert_type(position(), str)
assert_type(configure(broker="redis://"), None)
assert_type(connect_broker(timeout_seconds=1), None)
assert_type(flush(2.5), None)
assert_type(shutdown(), None)
configure(url="redis://")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
connect_broker("1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
connect_broker(timeout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
flush(timeout=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

found = statistics()
assert_type(found, Statistics)
assert_type(found.clients, int)
assert_type(found.gaps["expired"], int)
assert_type(found.ended["slow"], int)
assert_type(found.refused["user"], int)
assert_type(found.dropped["latest"], int)
assert_type(found.broker_gone_seconds, float)
found.gaps["lost"]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
found.ended["slwo"]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
found.refused["users"]  # type: ignore[index]  # pyright: ignore[reportArgumentType]
found.clients = 7  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
counts: Mapping[Any, int] = found.ended

# --- responses, errors, entities

response = EventSourceResponse(Client(), named=True, since=position(), retry_milliseconds=500)
assert_type(response, EventSourceResponse)
EventSourceResponse(["todo.*"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
EventSourceResponse(Client(), retry=500)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
Starlette().mount("/nitro", assets)
app: ASGIApp = assets
inspected: ASGIApp = inspector(authenticate=lambda request: request.user, payloads=True, actions=False)
inspector(authenticate="ada")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
inspector(payload=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
for mounted in (metrics.app, health):
    app = mounted
warning: UserWarning = NitroWarning("text")
error: Exception = NitroError("text")


class Todo(Entity, table=True):
    title: str
    completed: bool = False


todo = Todo(title="Write it down").save()
assert_type(todo, Todo)
assert_type(Todo.where(Todo.completed == False, limit=10), list[Todo])


class Task(Entity, table=True, live=True, topic="task"):
    title: str


assert_type(Task.create_many([Task(title="a"), {"title": "b"}]), list[Task])
assert_type(Task.update_where(col(Task.title) == "a", title="b"), int)
assert_type(Task.changed(["a"]), None)
with Task.silent():
    todos = live_model(Todo, "todo", exclude=["title"])
assert_type(todos, LiveModel)
assert_type(todos.topic, str)
assert_type(Task.live(col(Task.title) == "a", order_by=Task.title, limit=5, user_id="7"), LiveClient)
assert_type(todos.live(), LiveClient)
EventSourceResponse(Task.live(), named=True)
assert_type(Task.live(rendered=lambda task: f"<li>{task.title}</li>", target="tasks", markup="turbo"), LiveClient)
Starlette().add_middleware(PositionMiddleware, methods=["POST"])
live_model(todo)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
live_model(Todo, topics="todo")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
nitro.emitt  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
