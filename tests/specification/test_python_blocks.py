"""Every Python block of the specification runs as it stands and does what its text promises.

What a block forgets to import or to define is in `prelude.PRELUDE`, with the reason.
"""

from __future__ import annotations

import ast
import asyncio
import hashlib
import inspect
import itertools
import json
import statistics
import textwrap
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from datetime import datetime
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import MetaData
from sqlmodel import SQLModel

from nitro.delivery.hub import Hub
from nitro.errors import NitroWarning
from nitro.infrastructure.events import ANY, Client, Event, emit, event
from nitro.infrastructure.events.client import active_clients, client_event
from tests.specification.blocks import SPECIFICATION, Block, blocks_in, the
from tests.specification.hearing import Emit, heard_by, run, topics_heard_by, until
from tests.specification.prelude import PRELUDE, prelude_of

CONSTRUCTOR: Final = the("Constructor")  # a signature, and the one block that is no statement

SHA256: Final = "04c3d7c5b0c8b680f8ec5d7b1b2ff415770689481e420cb998c32cd3228e9c83"

covered: Final[list[Block]] = []


def covers(heading: str, number: int = 1) -> pytest.MarkDecorator:
    """The test gets this block as its argument `block`."""
    block = the(heading, "python", number)
    covered.append(block)
    return pytest.mark.parametrize("block", [block], ids=str)


# -- running a block -----------------------------------------------------------------------------------------

_numbers: Final = itertools.count()


def prepared(source: str) -> dict[str, Any]:
    """A namespace with what `source` forgets to import or to define."""
    names: dict[str, Any] = {"__name__": f"specification_{next(_numbers)}"}
    exec(compile(prelude_of(source), "<prelude>", "exec"), names)
    return names


def execute(block: Block) -> dict[str, Any]:
    """Run a block that is a module's body; the namespace that it leaves."""
    names = prepared(block.source)
    exec(code_of(block), names)
    return names


def values_of(name: str, block: Block) -> list[Any]:
    """Run a block statement by statement: every value that it gave to `name`, one after another."""
    names = prepared(block.source)
    values = []
    for statement in ast.parse(block.source).body:
        exec(compile(ast.Module([statement], []), SPECIFICATION.name, "exec"), names)
        if name in names and names[name] not in values:
            values.append(names[name])
    return values


def code_of(block: Block, flags: int = 0) -> Any:
    lines = "\n" * (block.line - 1)  # so that tracebacks name the specification's own lines
    return compile(lines + block.source, SPECIFICATION.name, "exec", flags)


async def await_body(block: Block, names: dict[str, Any]) -> None:
    """Run a block that awaits at its top level."""
    await eval(code_of(block, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)


def generator_of(block: Block, names: dict[str, Any]) -> AsyncGenerator[Any, None]:
    """A block that yields at its top level is the body of an async generator."""
    exec("async def body():\n" + textwrap.indent(block.source, "    "), names)
    stream: AsyncGenerator[Any, None] = names["body"]()
    return stream


async def next_of(stream: AsyncGenerator[Any, None], *, after: Callable[[], object]) -> Any:
    """What `stream` yields next, where `after` is called once the stream waits, with its client connected."""
    taken = asyncio.ensure_future(anext(stream))
    await until(lambda: active_clients or taken.done())
    await asyncio.sleep(0)
    assert not taken.done()
    after()
    return await taken


def caller_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app")


async def next_frames(response: Any, count: int, *requests: Any) -> list[str]:
    """The first `count` chunks of an endpoint's stream, where `requests` are awaited once it is connected."""
    connected = len(active_clients)

    async def take() -> list[str]:
        return [await anext(response.body_iterator) for _ in range(count)]

    taken = asyncio.ensure_future(take())
    await until(lambda: len(active_clients) > connected or taken.done())
    for request in requests:
        await request()
    return await taken


def payload_of(frame: str) -> Any:
    """The data of one server-sent event in its whole form."""
    assert frame.startswith("data: ")
    assert frame.endswith("\n\n")
    return json.loads(frame.removeprefix("data: "))


@pytest.fixture
def database(hub_with: Callable[..., Hub], tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A database in a file of its own, without the tables that other tests have defined."""
    monkeypatch.setattr(SQLModel, "metadata", MetaData())
    hub_with(db_url=f"sqlite:///{tmp_path / 'test.db'}")
    used: dict[str, Any] = {}
    yield used
    used["Todo"]._repository.close()


# -- none is left out ----------------------------------------------------------------------------------------


def test_the_copy_of_the_specification_is_the_one_that_users_were_promised() -> None:
    """Formatters that reach into Markdown (ruff does) rewrite its blocks, and then something else is tested."""
    assert hashlib.sha256(SPECIFICATION.read_bytes()).hexdigest() == SHA256


def test_every_python_block_has_a_test_here() -> None:
    found = [block for block in blocks_in(SPECIFICATION.read_text(encoding="utf-8")) if block.language == "python"]
    assert len(found) == 26
    assert len(covered) == len(found)
    assert set(covered) == set(found)


def test_the_specification_has_python_and_javascript_alone() -> None:
    languages = [block.language for block in blocks_in(SPECIFICATION.read_text(encoding="utf-8"))]
    assert sorted(set(languages)) == ["javascript", "python"]
    fences = SPECIFICATION.read_text(encoding="utf-8").count("\n```")
    assert fences == 2 * len(languages)


def test_nothing_is_put_before_blocks_that_none_of_them_needs() -> None:
    given = "".join(prelude_of(block.source) for block in covered if block != CONSTRUCTOR)
    needed = [name for name, (statement, _) in PRELUDE.items() if statement not in given]
    assert needed == ["Any"]  # of the one block that is a signature


# -- quick start ---------------------------------------------------------------------------------------------


@covers("Backend: SSE Endpoint")
def test_the_endpoint_of_quick_start_streams_a_todo_that_is_posted(block: Block, database: dict[str, Any]) -> None:
    database |= (names := execute(block))

    async def scenario() -> None:
        response = await names["sse_endpoint"]()
        assert response.media_type == "text/event-stream"
        assert response.headers["cache-control"] == "no-cache"
        async with caller_of(names["app"]) as caller, aclosing(response.body_iterator):
            posted: list[httpx.Response] = []

            async def post() -> None:
                posted.append(await caller.post("/todos", params={"title": "Milk\n\nand “bread”"}))

            (frame,) = await next_frames(response, 1, post)
            todo = payload_of(frame)
            assert todo == {"id": todo["id"], "title": "Milk\n\nand “bread”", "completed": False}
            assert posted[0].json() == {"status": "created", "id": todo["id"]}
            assert names["Todo"].get(todo["id"]).title == "Milk\n\nand “bread”"
            assert len(active_clients) == 1
        assert len(active_clients) == 0

    run(scenario)


# -- the constructor and its topics --------------------------------------------------------------------------


@covers("Constructor")
def test_the_constructor_has_this_signature(block: Block) -> None:
    names = prepared("Any, ANY")
    exec(f"def {block.source.strip()}: ...", names)
    promised = inspect.signature(names["Client"]).parameters.values()
    every = list(inspect.signature(Client).parameters.values())
    given, later = every[: len(promised)], every[len(promised) :]
    assert [(p.name, p.kind) for p in given] == [(p.name, p.kind) for p in promised]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is None for p in later), "later ones change no call"
    client_id, topics, muted_topics = (p.default for p in given)
    assert client_id is None
    assert list(topics) == ["ANY"]
    assert muted_topics is ANY


@covers("Subscribe to All Events")
def test_both_ways_to_subscribe_to_all_events_hear_all(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        clients = values_of("client", block)
        assert len(clients) == 2
        for client in clients:
            assert await topics_heard_by(client, "todo.created", "a", "b.c.d") == ["todo.created", "a", "b.c.d"]

    run(scenario)


@covers("Subscribe to Specific Events")
def test_specific_events_are_heard_and_no_others(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        single, multiple = values_of("client", block)
        emitted = ["todo.created", "todo.updated", "user.login", "todo.created.late", "todo", "user.logout"]
        assert await topics_heard_by(single, *emitted) == ["todo.created"]
        assert await topics_heard_by(multiple, *emitted) == ["todo.created", "todo.updated", "user.login"]

    run(scenario)


@covers("Subscribe to Event Patterns")
def test_patterns_hear_what_they_match(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        todos, creations, several = values_of("client", block)
        emitted = ["todo.created", "todo.deleted", "user.created", "user.login", "order.placed", "order.paid"]
        assert await topics_heard_by(todos, *emitted) == ["todo.created", "todo.deleted"]
        assert await topics_heard_by(creations, *emitted) == ["todo.created", "user.created"]
        assert await topics_heard_by(several, *emitted) == emitted[:-1]

    run(scenario)


@covers("Subscribe with Sender Filtering")
def test_events_are_heard_from_their_senders_alone(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        (client,) = values_of("client", block)
        heard = [("todo.created", "user-123"), ("todo.deleted", "user-456"), ("order.placed", "system")]
        unheard = [("todo.created", "user-789"), ("todo.created", "system"), ("order.placed", "user-123")]
        emits: list[Emit] = [*unheard, *heard, "todo.created", "order.placed", ("user.login", "user-123")]
        assert await topics_heard_by(client, *emits) == heard

    run(scenario)


@covers("Mute Specific Topics")
def test_muted_topics_are_not_heard(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        one, several = values_of("client", block)
        emitted = ["user.created", "user.deleted", "debug.sql", "system.heartbeat", "system.start"]
        assert await topics_heard_by(one, *emitted) == ["user.created"]
        assert await topics_heard_by(several, *emitted) == ["user.created", "user.deleted", "system.start"]

    run(scenario)


# -- methods -------------------------------------------------------------------------------------------------


@covers("subscribe(topic, senders=ANY)")
def test_subscribe_adds_topics_to_a_client_that_is_there(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        (client,) = values_of("client", block)
        assert client.topics["user.login"] is ANY
        assert set(client.topics["order.*"]) == {"admin-user", "system"}
        emits: list[Emit] = ["user.login", ("order.placed", "admin-user"), ("order.paid", "system")]
        assert await topics_heard_by(client, *emits) == emits
        # The block's client hears everything from the start; without that, what it adds decides alone:
        client.unsubscribe("ANY")
        assert await topics_heard_by(client, *emits, ("order.placed", "guest"), "user.logout") == emits

    run(scenario)


@covers("unsubscribe(topic)")
def test_unsubscribe_stops_the_user_events(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        (client,) = values_of("client", block)
        assert await topics_heard_by(client, "user.login", "todo.created") == ["todo.created"]

    run(scenario)


@covers("connect()")
def test_connect_makes_the_client_active(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        client = execute(block)["client"]
        assert active_clients[client.client_id] is client
        emit(event("todo.created"), result="heard")
        assert await heard_by(client) == ["heard"]
        client.disconnect()

    run(scenario)


@covers("disconnect()")
def test_disconnect_stops_the_events(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        names = prepared(block.source)
        client = names["client"].connect()
        stream = client.stream()
        assert await next_of(stream, after=lambda: emit(event("todo.created"), result="heard")) == "heard"
        exec(code_of(block), names)
        emit(event("todo.created"), result="unheard")
        assert [data async for data in stream] == []
        assert client.client_id not in active_clients

    run(scenario)


@covers("async stream(delay=0.1)")
def test_stream_yields_the_data_of_events(block: Block, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        printing = asyncio.ensure_future(await_body(block, prepared(block.source)))
        await until(lambda: active_clients)
        emit(event("todo.created"), result={"title": "Milk"})
        emit(event("user.created"), result="another topic")
        emit(event("todo.deleted"), result="gone")
        received: list[str] = []

        def is_printed() -> bool:
            received.append(capsys.readouterr().out)
            return "gone" in "".join(received)

        await until(is_printed)
        next(iter(active_clients.values())).disconnect()
        await printing
        assert "".join(received) == 'Received: {"title":"Milk"}\nReceived: gone\n'

    run(scenario)


@covers("send(item)")
def test_send_reaches_the_one_client_that_was_looked_up(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        with Client("client-123", ANY) as client, Client("client-124", ANY) as other:
            assert execute(block)["success"] is True
            assert await heard_by(client) == [{"type": "notification", "message": "Hello!"}]
            assert await heard_by(other) == []

    run(scenario)


# -- context manager -----------------------------------------------------------------------------------------


@covers("Context Manager", 1)
def test_the_context_manager_connects_on_enter_and_disconnects_on_exit(block: Block, hub: Hub) -> None:
    run(lambda: streams_while_it_is_open(block))


@covers("Context Manager", 2)
def test_the_long_form_of_the_context_manager_does_the_same(block: Block, hub: Hub) -> None:
    run(lambda: streams_while_it_is_open(block))


async def streams_while_it_is_open(block: Block) -> None:
    stream = execute(block)["event_stream"]()
    assert len(active_clients) == 0
    frame = await next_of(stream, after=lambda: emit(event("todo.created"), result={"title": "Milk"}))
    assert frame == 'data: {"title":"Milk"}\n\n'
    assert len(active_clients) == 1
    await stream.aclose()
    assert len(active_clients) == 0


# -- complete examples ---------------------------------------------------------------------------------------


@covers("Example 1: Todo App with Real-Time Updates")
def test_the_todo_app_streams_what_its_endpoints_change(block: Block, database: dict[str, Any]) -> None:
    database |= (names := execute(block))

    async def scenario() -> None:
        response = await names["events"]()
        answers: list[Any] = []
        async with caller_of(names["app"]) as caller, aclosing(response.body_iterator):

            async def create() -> None:
                answers.append((await caller.post("/todos", params={"title": "Milk"})).json())

            async def update() -> None:
                address = f"/todos/{answers[0]['todo']['id']}"
                answers.append((await caller.patch(address, params={"completed": True})).json())

            async def delete() -> None:
                answers.append((await caller.get("/todos")).json())
                answers.append((await caller.delete(f"/todos/{answers[0]['todo']['id']}")).json())

            async def miss() -> None:
                answers.append((await caller.patch("/todos/none", params={"completed": True})).json())
                answers.append((await caller.delete("/todos/none")).json())

            frames = await next_frames(response, 3, create, update, miss, delete)
            remaining = (await caller.get("/todos")).json()
        created, updated, *missed, listed, deleted = answers
        todo = created["todo"]
        assert created == {"status": "created", "todo": {"id": todo["id"], "title": "Milk", "completed": False}}
        assert updated == {"status": "updated", "todo": {**todo, "completed": True}}
        assert listed == {"todos": [{**todo, "completed": True}]}
        assert deleted == {"status": "deleted"}
        assert remaining == {"todos": []}
        # FastAPI sends a tuple as a list with status 200, so this is what the example's 404 is:
        assert missed == [[{"error": "Not found"}, 404]] * 2
        assert [payload_of(frame) for frame in frames] == [todo, {**todo, "completed": True}, {"id": todo["id"]}]

    run(scenario)


@covers("Example 2: Multi-User Chat with Room Filtering")
def test_a_chat_message_is_streamed_to_its_room_alone(block: Block, hub: Hub) -> None:
    names = execute(block)

    async def scenario() -> None:
        kitchen = await names["chat_events"]("kitchen")
        garden = await names["chat_events"]("garden")
        async with (
            caller_of(names["app"]) as caller,
            aclosing(kitchen.body_iterator),
            aclosing(garden.body_iterator),
        ):

            async def say(room: str, message: str) -> None:
                answer = await caller.post(f"/chat/{room}/send", params={"username": "Ada", "message": message})
                assert answer.json() == {"status": "sent"}

            in_garden = asyncio.ensure_future(next_frames(garden, 1))
            await until(lambda: active_clients)
            first, second = await next_frames(
                kitchen,
                2,
                lambda: say("kitchen", "tea?"),
                lambda: say("garden", "roses"),
                lambda: say("kitchen", "!"),
            )
            (only,) = await in_garden
        heard = [payload_of(frame) for frame in (first, second, only)]
        assert [(data["room"], data["message"]) for data in heard] == [
            ("kitchen", "tea?"),
            ("kitchen", "!"),
            ("garden", "roses"),
        ]
        assert set(heard[0]) == {"room", "username", "message", "timestamp"}
        assert abs((datetime.now() - datetime.fromisoformat(heard[0]["timestamp"])).total_seconds()) < 20  # noqa: DTZ005 - as the block does it

    run(scenario)


@covers("Example 3: Live Dashboard with Multiple Data Streams")
def test_the_dashboard_shows_the_revenue_to_admins_alone(block: Block, hub: Hub) -> None:
    names = execute(block)

    async def scenario() -> None:
        (job,) = names["scheduler"].get_jobs()
        assert job.trigger.interval.total_seconds() == 5
        admin = await names["dashboard_events"]("admin")
        viewer = await names["dashboard_events"]()

        async def emit_all() -> None:
            await asyncio.to_thread(job.func)  # as the scheduler calls it, in another thread
            emit(names["order_placed"], "shop", result="order")
            emit(names["user_registered"], "shop", result="user")

        async with aclosing(admin.body_iterator), aclosing(viewer.body_iterator):
            by_viewer = asyncio.ensure_future(next_frames(viewer, 2))
            await until(lambda: active_clients)
            by_admin = await next_frames(admin, 3, emit_all)
            assert [payload_of(frame) for frame in by_admin] == [{"revenue": 1234.5}, "order", "user"]
            assert [payload_of(frame) for frame in await by_viewer] == ["order", "user"]

    try:
        run(scenario)
    finally:
        names["scheduler"].shutdown()


# -- active clients and lifecycle ----------------------------------------------------------------------------


@covers("Active Clients Tracking")
def test_active_clients_are_counted_found_and_all_reached(
    block: Block, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        broadcast = {"broadcast": "Server restarting in 5 minutes"}
        with Client("client-123", ANY) as found, Client() as other:
            execute(block)
            assert await heard_by(found) == [{"notification": "Hello!"}, broadcast]
            assert await heard_by(other) == [broadcast]
        execute(block)
        assert capsys.readouterr().out == "Active clients: 2\nActive clients: 0\n"

    run(scenario)


@covers("Lifecycle Events")
def test_the_monitor_hears_clients_come_and_go(block: Block, hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    monitor = execute(block)["monitor_clients"]
    try:
        with Client("client-123", topics=["todo.*"]):
            connected = capsys.readouterr().out
        disconnected = capsys.readouterr().out
    finally:
        client_event.disconnect(monitor)
    assert "Client client-123 connected\n" in connected
    assert "Topics: " in connected
    assert "todo.*" in connected
    assert disconnected.endswith("Client client-123 disconnected\n")
    assert disconnected.count("\n") == 1


# -- best practices ------------------------------------------------------------------------------------------


@covers("Always Use Context Manager")
def test_the_context_manager_disconnects_where_the_manual_way_forgets(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        automatic, manual = values_of("event_stream", block)
        for event_stream, is_left in ((automatic, False), (manual, True)):
            stream = event_stream()
            assert await next_of(stream, after=lambda: emit(event("todo.created"), result=[1])) == [1]
            (client,) = active_clients.values()
            with pytest.raises(ValueError, match="the page is broken"):
                await stream.athrow(ValueError("the page is broken"))
            assert client.is_connected is is_left
            client.disconnect()

    run(scenario)


@covers("Include Result Data in Events")
def test_clients_get_data_only_where_a_result_is_emitted(block: Block, database: dict[str, Any]) -> None:
    async def scenario() -> None:
        database.update(names := prepared(block.source))
        assert isinstance(names["todo_created"], Event)
        with Client(topics=["todo.created"]) as client:
            with pytest.warns(
                NitroWarning, match=r"emit\('todo.created', sender, result=…\)"
            ):  # the other, to be avoided
                exec(code_of(block), names)
            assert await heard_by(client) == [{"id": "1", "title": "Milk", "completed": False}]  # one of two emits

    run(scenario)


@covers("Use Specific Topics")
def test_specific_topics_hear_less_than_the_broad_one(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        specific, broad = values_of("client", block)
        emitted = ["todo.created", "todo.updated", "todo.deleted", "user.login"]
        assert await topics_heard_by(specific, *emitted) == ["todo.created", "todo.updated"]
        assert await topics_heard_by(broad, *emitted) == emitted

    run(scenario)


@covers("Handle Disconnections Gracefully")
def test_an_error_in_the_stream_is_told_and_its_client_disconnected(
    block: Block, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        response = await execute(block)["events"]()
        assert response.headers["x-accel-buffering"] == "no"
        assert response.media_type == "text/event-stream"

        async def change() -> None:
            emit(event("todo.created"), result={"title": "Milk"})

        (frame,) = await next_frames(response, 1, change)
        assert payload_of(frame) == {"title": "Milk"}
        (client_id,) = active_clients
        with pytest.raises(StopAsyncIteration):
            await response.body_iterator.athrow(ValueError("the page is broken"))
        assert capsys.readouterr().out == f"Client {client_id} error: the page is broken\n"
        assert len(active_clients) == 0

    run(scenario)


# -- troubleshooting -----------------------------------------------------------------------------------------


@covers("Memory Leaks")
def test_both_ways_to_read_a_client_disconnect_it(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        names = prepared(block.source)
        client: Client = names["client"]
        stream = generator_of(block, names)
        assert await next_of(stream, after=lambda: emit(event("todo.created"), result="with")) == "with"

        def go_on() -> None:
            client.disconnect()  # ends the first loop, and the second connects again
            asyncio.get_running_loop().call_soon(later)

        def later() -> None:
            if client.is_connected:
                emit(event("todo.created"), result="try")
            else:
                asyncio.get_running_loop().call_soon(later)

        assert await next_of(stream, after=go_on) == "try"
        assert active_clients[client.client_id] is client
        await stream.aclose()
        assert len(active_clients) == 0
        assert not client.is_connected

    run(scenario)


@covers("Events Delayed")
def test_events_come_at_once_with_either_delay(block: Block, hub: Hub) -> None:
    async def scenario() -> None:
        names = prepared(block.source)
        client: Client = names["client"].connect()
        stream = generator_of(block, names)
        loop = asyncio.get_running_loop()
        for _ in range(2):  # the two loops of the block
            took = []
            for _ in range(9):
                emitted = await next_of(stream, after=lambda: emit(event("todo.created"), result=loop.time()))
                took.append(loop.time() - emitted)
            assert statistics.median(took) < 0.005  # half of the shorter delay
            client.disconnect().connect()
        await stream.aclose()
        client.disconnect()

    run(scenario)
