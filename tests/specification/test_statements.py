"""Each statement of the specification, and each rule that the design sets where it is silent, as one test.

The specification's code is in `test_python_blocks`; here is what it says in words. In the order of its pages.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import statistics
import threading
import uuid
import weakref
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from nitro.errors import NitroWarning
from nitro.infrastructure.events import ANY, Client, emit, emit_async, event, on
from nitro.infrastructure.events.client import active_clients, client_event
from tests.specification.hearing import Emit, heard_by, run, topics_heard_by, until

pytestmark = pytest.mark.usefixtures("hub")

TOPICS = ["todo.created", "todo.list.renamed", "user.created", "order-7", "todo"]


class Watch:
    """The lifecycle events since it was made, as (sender, action, client)."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, str, Client]] = []

    def __call__(self, sender: Any, action: str, client: Client, **kwargs: Any) -> None:
        assert kwargs == {}
        self.seen.append((sender, action, client))


@pytest.fixture
def lifecycle() -> Any:
    watch = Watch()
    with client_event.connected_to(watch):
        yield watch


@pytest.fixture
def handle() -> Any:
    """`on`, for as long as the test takes."""
    undo: list[Callable[[], None]] = []

    def register(topic: str, handler: Callable[..., Any]) -> None:
        on(event(topic))(handler)
        undo.append(lambda: event(topic).disconnect(handler))

    yield register
    for forget in undo:
        forget()


# -- overview ------------------------------------------------------------------------------------------------


def test_every_client_that_subscribed_receives_the_update() -> None:
    async def scenario() -> None:
        clients = [Client(topics=["todo.*"]).connect() for _ in range(50)]
        emit(event("todo.created"), result={"title": "Milk"})
        for client in clients:
            assert await heard_by(client) == [{"title": "Milk"}]
            client.disconnect()

    run(scenario)


def test_an_event_that_nobody_hears_may_be_emitted() -> None:
    assert emit(event("todo.created"), result={"title": "Milk"}) == []


# -- constructor ---------------------------------------------------------------------------------------------


def test_the_client_id_is_generated_if_none() -> None:
    ids = {Client().client_id for _ in range(100)} | {Client(None).client_id}
    assert len(ids) == 101
    assert all(isinstance(client_id, str) and uuid.UUID(client_id) for client_id in ids)


def test_the_client_id_that_was_given_is_kept() -> None:
    assert Client("client-123", ANY).client_id == Client(client_id="client-123", topics=ANY).client_id == "client-123"


@pytest.mark.parametrize(
    ("topics", "heard"),
    [
        (["ANY"], TOPICS),
        (ANY, TOPICS),
        ("ANY", TOPICS),
        (["*"], TOPICS),
        (["todo.created"], ["todo.created"]),
        (["todo.created", "order-7"], ["todo.created", "order-7"]),
        ("todo.created", ["todo.created"]),
        ({"todo.created": ANY, "todo": ["me"]}, ["todo.created"]),
        ([], []),
        ({}, []),
        (["todo.*"], ["todo.created", "todo.list.renamed"]),
        (["*.created"], ["todo.created", "user.created"]),
        (["todo*"], ["todo.created", "todo.list.renamed"]),
        (["order-*"], ["order-7"]),
        (["t*e*d"], ["todo.created", "todo.list.renamed"]),
        (["todo.c"], []),
        (["TODO.CREATED"], []),
        (["todo.*", "*.created", "*", "todo.created"], TOPICS),
    ],
    ids=str,
)
def test_topics_are_a_list_a_dict_or_any_and_may_have_patterns(topics: Any, heard: list[str]) -> None:
    async def scenario() -> None:
        assert await topics_heard_by(Client(topics=topics), *TOPICS) == heard

    run(scenario)


def test_without_topics_a_client_hears_everything() -> None:
    async def scenario() -> None:
        assert await topics_heard_by(Client(), *TOPICS) == TOPICS

    run(scenario)


@pytest.mark.parametrize(
    ("muted", "heard"),
    [
        (ANY, TOPICS),
        ([], TOPICS),
        ("todo.created", TOPICS[1:]),
        (["todo.created", "todo"], TOPICS[1:4]),
        (["todo.*"], ["user.created", "order-7", "todo"]),
        (["*"], []),
    ],
    ids=str,
)
def test_muted_topics_are_a_string_a_list_or_any_and_any_mutes_nothing(muted: Any, heard: list[str]) -> None:
    async def scenario() -> None:
        assert await topics_heard_by(Client(muted_topics=muted), *TOPICS) == heard

    run(scenario)


def test_a_mute_wins_over_any_subscription_and_sender() -> None:
    async def scenario() -> None:
        client = Client(topics={"todo.created": ["me"], "*": ANY}, muted_topics=["*.created"])
        assert await topics_heard_by(client, ("todo.created", "me"), "user.created", "todo") == ["todo"]

    run(scenario)


def test_a_pattern_hears_events_that_are_made_later() -> None:
    async def scenario() -> None:
        with Client(topics=["later.*"]) as client:
            emit(event(f"later.{uuid.uuid4()}"), result="made later")
            assert await heard_by(client) == ["made later"]

    run(scenario)


# -- senders -------------------------------------------------------------------------------------------------


def test_only_the_named_senders_are_heard() -> None:
    async def scenario() -> None:
        client = Client(topics={"todo.*": ["user-123", "user-456"], "order.placed": ["system"]})
        emits = [
            ("todo.created", "user-123"),
            ("todo.created", "user-45"),
            ("todo.updated", "user-456"),
            ("order.placed", "user-123"),
            ("order.placed", "system"),
            ("user.login", "system"),
        ]
        assert await topics_heard_by(client, *emits) == [emits[0], emits[2], emits[4]]

    run(scenario)


def test_a_sender_that_is_an_object_is_known_by_its_id() -> None:
    @dataclass
    class Order:
        id: int

    async def scenario() -> None:
        for senders in ([Order(7)], ["7"], Order(7), "7"):
            with Client(topics={"order.*": senders}) as client:
                emit(event("order.placed"), Order(7), result="the object")
                emit(event("order.placed"), "7", result="its id")
                emit(event("order.placed"), Order(8), result="another")
                assert await heard_by(client) == ["the object", "its id"]

    run(scenario)


def test_an_event_without_a_sender_is_heard_only_where_no_sender_is_asked_for() -> None:
    async def scenario() -> None:
        with Client(topics={"todo.*": ["me"]}) as filtering, Client(topics=["todo.*"]) as open_to_all:
            emit(event("todo.created"), result="no sender")
            emit(event("todo.created"), None, result="None")
            emit(event("todo.created"), ANY, result="ANY")
            assert await heard_by(filtering) == []
            assert await heard_by(open_to_all) == ["no sender", "None", "ANY"]

    run(scenario)


def test_the_sender_is_no_part_of_what_the_client_gets() -> None:
    async def scenario() -> None:
        with Client() as client:
            emit(event("todo.created"), "a secret sender", result={"title": "Milk"})
            assert await heard_by(client) == [{"title": "Milk"}]

    run(scenario)


# -- subscribe and unsubscribe -------------------------------------------------------------------------------


def test_subscribe_adds_a_topic_while_the_client_is_connected() -> None:
    async def scenario() -> None:
        with Client(topics=["todo.*"]) as client:
            emit(event("user.login"), result="before")
            client.subscribe("user.login")
            emit(event("user.login"), result="after")
            emit(event("todo.created"), result="as ever")
            assert await heard_by(client) == ["after", "as ever"]

    run(scenario)


def test_subscribe_filters_by_senders() -> None:
    async def scenario() -> None:
        client = Client(topics=[])
        client.subscribe("order.*", senders=["admin-user", "system"])
        emits = [("order.placed", "admin-user"), ("order.placed", "guest"), ("order.paid", "system")]
        assert await topics_heard_by(client, *emits) == [emits[0], emits[2]]

    run(scenario)


def test_subscribing_again_adds_the_new_senders() -> None:
    async def scenario() -> None:
        client = Client(topics={"order.*": ["system"]})
        client.subscribe("order.*", senders=["admin-user"])
        emits = [("order.placed", "system"), ("order.paid", "admin-user"), ("order.paid", "guest")]
        assert await topics_heard_by(client, *emits) == emits[:2]

    run(scenario)


def test_subscribe_hears_any_sender_by_default() -> None:
    assert inspect.signature(Client.subscribe).parameters["senders"].default is ANY


def test_overlapping_subscriptions_hear_an_event_once() -> None:
    async def scenario() -> None:
        client = Client(topics={"*": ANY, "todo.*": ANY, "*.created": ["me"], "todo.created": ["me"]})
        client.subscribe("todo.created")
        emits: list[Emit] = [("todo.created", "me"), "todo.created"]
        assert await topics_heard_by(client, *emits) == emits

    run(scenario)


def test_unsubscribe_stops_a_topic_while_the_client_is_connected() -> None:
    async def scenario() -> None:
        with Client(topics=["todo.*", "user.*"]) as client:
            emit(event("user.login"), result="before")
            client.unsubscribe("user.*")
            emit(event("user.login"), result="after")
            emit(event("todo.created"), result="as ever")
            assert await heard_by(client) == ["before", "as ever"]

    run(scenario)


def test_unsubscribe_leaves_other_patterns_and_does_nothing_where_there_is_no_such_topic() -> None:
    async def scenario() -> None:
        client = Client(topics=["*", "todo.*"])
        client.unsubscribe("todo.*")
        client.unsubscribe("user.login")
        assert await topics_heard_by(client, "todo.created", "user.login") == ["todo.created", "user.login"]

    run(scenario)


def test_mute_and_unmute_work_while_the_client_is_connected() -> None:
    async def scenario() -> None:
        with Client() as client:
            client.mute("todo.*")
            emit(event("todo.created"), result="muted")
            client.unmute("todo.*")
            emit(event("todo.created"), result="heard")
            assert await heard_by(client) == ["heard"]

    run(scenario)


# -- connect and disconnect ----------------------------------------------------------------------------------


def test_connect_returns_the_client_for_chaining() -> None:
    client = Client()
    assert client.connect() is client
    assert client.disconnect() is client


def test_disconnect_returns_the_client_for_chaining_even_if_it_was_not_connected() -> None:
    client = Client()
    assert client.disconnect() is client
    assert client.disconnect().connect().disconnect() is client


def test_a_client_hears_only_between_connect_and_disconnect() -> None:
    async def scenario() -> None:
        client = Client()
        emit(event("todo.created"), result="before")
        client.connect()
        emit(event("todo.created"), result="between")
        assert await heard_by(client) == ["between"]
        client.disconnect()
        emit(event("todo.created"), result="after")
        client.connect()
        emit(event("todo.created"), result="again")
        assert await heard_by(client) == ["again"]
        client.disconnect()

    run(scenario)


def test_connecting_twice_is_connecting_once() -> None:
    async def scenario() -> None:
        with Client() as client:
            client.connect()
            emit(event("todo.created"), result="once")
            assert await heard_by(client) == ["once"]
            assert len(active_clients) == 1

    run(scenario)


def test_disconnect_ends_the_stream_at_once_whatever_its_delay() -> None:
    async def scenario() -> None:
        client = Client().connect()
        stream = client.stream(delay=60)
        ending = asyncio.ensure_future(anext(stream, "ended"))
        await asyncio.sleep(0)
        assert not ending.done()
        client.disconnect()
        async with asyncio.timeout(1):
            assert await ending == "ended"

    run(scenario)


def test_disconnect_lets_go_of_everything_that_the_client_held() -> None:
    async def scenario() -> None:
        client = Client().connect()
        emit(event("todo.created"), result="x" * 1000)
        await asyncio.sleep(0)
        client.disconnect()
        kept = weakref.ref(client)
        await asyncio.sleep(0)
        del client
        gc.collect()
        assert kept() is None

    run(scenario)


# -- stream --------------------------------------------------------------------------------------------------


def test_stream_is_an_async_generator_with_a_delay_of_a_tenth_of_a_second() -> None:
    assert inspect.isasyncgenfunction(Client.stream)
    assert inspect.signature(Client.stream).parameters["delay"].default == 0.1


def test_stream_yields_the_data_of_events_in_the_order_of_their_emits() -> None:
    async def scenario() -> None:
        with Client() as client:
            for number in range(500):
                emit(event("todo.created" if number % 2 else "user.login"), result=number)
            assert await heard_by(client) == list(range(500))

    run(scenario)


def test_stream_waits_for_events_that_are_emitted_later() -> None:
    async def scenario() -> None:
        with Client() as client:
            async with aclosing(client.stream()) as stream:
                for number in range(3):
                    taken = asyncio.ensure_future(anext(stream))
                    await asyncio.sleep(0)
                    assert not taken.done()
                    emit(event("todo.created"), result=number)
                    assert await taken == number

    run(scenario)


@pytest.mark.parametrize("delay", [0.01, 0.1, 60])
def test_no_delay_delays_an_event(delay: float) -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        took = []
        with Client() as client:
            async with aclosing(client.stream(delay=delay)) as stream:
                for _ in range(9):
                    taken = asyncio.ensure_future(anext(stream))
                    await asyncio.sleep(0)
                    emit(event("todo.created"), result=loop.time())
                    emitted = await taken
                    took.append(loop.time() - emitted)
        assert statistics.median(took) < 0.005

    run(scenario)


def test_a_stream_that_is_idle_longer_than_its_delay_goes_on() -> None:
    async def scenario() -> None:
        with Client() as client:
            async with aclosing(client.stream(delay=0.001)) as stream:
                taken = asyncio.ensure_future(anext(stream))
                done, _ = await asyncio.wait([taken], timeout=0.05)
                assert not done
                emit(event("todo.created"), result="after many delays")
                assert await taken == "after many delays"

    run(scenario)


def test_objects_and_arrays_format_as_the_json_that_a_page_parses() -> None:
    data = {"text": 'a "quoted"\nline', "none": None, "true": True, "list": [1, 2.5, "ü"]}

    async def scenario() -> None:
        with Client() as client:
            emit(event("todo.created"), result=data)
            emit(event("todo.created"), result=[data, None])
            an_object, an_array = await heard_by(client)
        assert an_object == data
        assert an_object["list"][2] == "ü"
        assert "\n" not in f"{an_object}{an_array}"  # a line of an event stream each
        assert json.loads(f"{an_object}") == json.loads(str(an_object)) == json.loads(json.dumps(an_object)) == data
        assert json.loads(f"{an_array}") == json.loads(str(an_array)) == json.loads(json.dumps(an_array))
        assert json.loads(f"{an_array}") == [data, None]

    run(scenario)


def test_each_client_gets_a_copy_of_its_own() -> None:
    async def scenario() -> None:
        with Client() as one, Client() as other:
            emit(event("todo.created"), result={"tags": ["food"]})
            (data,) = await heard_by(one)
            data["tags"].append("spoilt")
            data["title"] = "spoilt"
            assert await heard_by(other) == [{"tags": ["food"]}]

    run(scenario)


# -- send ----------------------------------------------------------------------------------------------------


def test_send_returns_true_if_sent_and_false_if_the_client_is_disconnected() -> None:
    async def scenario() -> None:
        client = Client()
        assert client.send("never connected") is False
        client.connect()
        assert client.send("connected") is True
        assert await heard_by(client) == ["connected"]
        client.disconnect()
        assert client.send("disconnected") is False

    run(scenario)


def test_what_is_sent_reaches_that_client_alone_whatever_its_topics() -> None:
    async def scenario() -> None:
        with Client(topics=[]) as client, Client() as other:
            client.send({"type": "notification"})
            assert await heard_by(client) == [{"type": "notification"}]
            assert await heard_by(other) == []

    run(scenario)


def test_what_is_sent_comes_in_order_with_what_is_emitted() -> None:
    async def scenario() -> None:
        with Client() as client:
            for number in range(0, 30, 3):
                emit(event("todo.created"), result=number)
                client.send(number + 1)
                emit(event("user.login"), result=number + 2)
            assert await heard_by(client) == list(range(30))

    run(scenario)


# -- context manager -----------------------------------------------------------------------------------------


def test_the_context_manager_connects_on_enter_and_disconnects_on_exit() -> None:
    client = Client("client-123", ANY)
    with client as entered:
        assert entered is client
        assert active_clients["client-123"] is client
    assert "client-123" not in active_clients
    assert client.send("too late") is False


def test_the_context_manager_disconnects_on_an_error_and_lets_it_pass() -> None:
    with pytest.raises(ZeroDivisionError), Client():
        1 / 0
    assert len(active_clients) == 0


def test_a_stream_whose_task_is_cancelled_leaves_no_client_behind() -> None:
    async def read() -> None:
        with Client() as client:
            async for _ in client.stream():
                pass

    async def scenario() -> None:
        reading = asyncio.ensure_future(read())
        await until(lambda: active_clients)
        reading.cancel()
        await asyncio.wait([reading])
        assert reading.cancelled()
        assert len(active_clients) == 0

    run(scenario)


# -- active clients ------------------------------------------------------------------------------------------


def test_active_clients_are_those_that_are_connected_by_their_id() -> None:
    one, other = Client("one", ANY), Client("other", ANY)
    assert dict(active_clients) == {}
    one.connect()
    other.connect()
    assert dict(active_clients) == {"one": one, "other": other}
    one.disconnect()
    assert dict(active_clients) == {"other": other}
    other.disconnect()
    assert active_clients.get("other") is None
    assert len(active_clients) == 0


def test_active_clients_may_come_and_go_while_they_are_iterated() -> None:
    clients = [Client(f"client-{number}", ANY).connect() for number in range(10)]
    found = []
    for client_id, client in active_clients.items():
        client.disconnect()
        Client(f"{client_id}-again", ANY).connect()
        found.append(client)
    assert found == clients
    assert len(active_clients) == 10
    for client_id in active_clients:
        active_clients[client_id].disconnect()


# -- lifecycle events ----------------------------------------------------------------------------------------


def test_connect_and_disconnect_are_emitted_once_each_by_the_system(lifecycle: Watch) -> None:
    client = Client()
    assert lifecycle.seen == []
    client.connect().connect()
    assert lifecycle.seen == [("system", "connect", client)]
    client.disconnect().disconnect()
    assert lifecycle.seen == [("system", "connect", client), ("system", "disconnect", client)]


def test_the_client_is_active_when_it_connects_and_no_longer_when_it_disconnects() -> None:
    def look(sender: Any, action: str, client: Client) -> None:
        seen.append((action, client.client_id in active_clients, client.is_connected))

    seen: list[tuple[str, bool, bool]] = []
    with client_event.connected_to(look), Client():
        pass
    assert seen == [("connect", True, True), ("disconnect", False, False)]


def test_a_monitor_that_raises_hurts_no_client() -> None:
    def fail(sender: Any, **kwargs: Any) -> None:
        raise ValueError("the monitor is broken")

    async def scenario() -> None:
        with client_event.connected_to(fail):
            assert await topics_heard_by(Client(), "todo.created") == ["todo.created"]
        assert len(active_clients) == 0

    run(scenario)


def test_lifecycle_events_are_not_sent_to_clients() -> None:
    async def scenario() -> None:
        with Client() as client:
            with Client():
                pass
            assert await heard_by(client) == []

    run(scenario)


# -- emit and its result -------------------------------------------------------------------------------------


def test_clients_get_no_data_where_no_result_is_included() -> None:
    async def scenario() -> None:
        with Client() as client:
            with pytest.warns(NitroWarning, match="without result="):
                emit(event("todo.created"), "me")
            with pytest.warns(NitroWarning, match="data= is for handlers alone"):
                emit(event("todo.created"), "me", data={"title": "Milk"})
            emit(event("todo.created"), "me", result=None)
            assert await heard_by(client) == []

    run(scenario)


@pytest.mark.parametrize("result", [0, "", False, [], {}, 1.5, "text", ["list"]], ids=repr)
def test_every_result_but_none_is_sent(result: Any) -> None:
    async def scenario() -> None:
        with Client() as client:
            emit(event("todo.created"), result=result)
            (data,) = await heard_by(client)
            assert (data, type(data).__mro__[-2]) == (result, type(result).__mro__[-2])

    run(scenario)


def test_whatever_pydantic_can_serialise_is_sent() -> None:
    class Model(BaseModel):
        due: datetime

    @dataclass
    class Data:
        key: uuid.UUID
        price: Decimal

    key, due = uuid.UUID(int=7), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    async def scenario() -> None:
        with Client() as client:
            emit(event("todo.created"), result=Model(due=due))
            emit(event("todo.created"), result={"data": Data(key, Decimal("1.20"))})
            model, data = await heard_by(client)
        assert datetime.fromisoformat(model["due"]) == due
        assert data == {"data": {"key": str(key), "price": "1.20"}}

    run(scenario)


@pytest.mark.parametrize(
    "result", [object(), {"a": float("nan")}, [float("inf")]], ids=["an object", "NaN", "infinity"]
)
def test_a_result_that_can_not_be_sent_raises_and_nothing_is_half_sent(
    result: Any, handle: Callable[..., None]
) -> None:
    called: list[Any] = []
    handle("todo.created", lambda *args, **kwargs: called.append((args, kwargs)))

    async def scenario() -> None:
        with Client() as client:
            with pytest.raises(ValueError, match="JSON"):
                emit(event("todo.created"), result=result)
            assert await heard_by(client) == []
        assert called == []

    run(scenario)


def test_what_changes_after_the_emit_reaches_nobody() -> None:
    async def scenario() -> None:
        with Client() as client:
            todo = {"title": "Milk"}
            emit(event("todo.created"), result=todo)
            todo["title"] = "changed"
            assert await heard_by(client) == [{"title": "Milk"}]

    run(scenario)


def test_emits_from_other_threads_arrive_in_the_order_of_each_thread() -> None:
    def emit_all(name: str) -> None:
        for number in range(100):
            emit(event("todo.created"), name, result=[name, number])

    async def scenario() -> None:
        with Client() as client:
            threads = [threading.Thread(target=emit_all, args=(name,)) for name in "abc"]
            for thread in threads:
                thread.start()
            for thread in threads:
                await asyncio.to_thread(thread.join)
            heard = await heard_by(client)
        assert len(heard) == 300
        for name in "abc":
            assert [number for who, number in heard if who == name] == list(range(100))

    run(scenario)


def test_an_emit_from_a_thread_wakes_a_stream_that_waits() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        with Client() as client:
            async with aclosing(client.stream(delay=60)) as stream:
                taken = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0)
                await asyncio.to_thread(lambda: emit(event("todo.created"), result=loop.time()))
                emitted = await taken
                assert loop.time() - emitted < 0.5

    run(scenario)


def test_emit_async_reaches_clients_too() -> None:
    async def scenario() -> None:
        with Client() as client:
            assert await emit_async(event("todo.created"), "me", result="heard") == []
            assert await heard_by(client) == ["heard"]

    run(scenario)


def test_a_handler_gets_what_was_emitted_and_clients_get_the_result(handle: Callable[..., None]) -> None:
    got: list[Any] = []
    handle("todo.created", lambda sender, **kwargs: got.append((sender, kwargs)))

    async def scenario() -> None:
        with Client() as client:
            emit(event("todo.created"), "me", result="heard", reason="why")
            assert await heard_by(client) == ["heard"]
        assert got == [("me", {"result": "heard", "reason": "why"})]

    run(scenario)


def test_a_handler_that_returns_false_keeps_the_event_from_clients(handle: Callable[..., None]) -> None:
    handle("todo.created", lambda _, result: result != "private")

    async def scenario() -> None:
        with Client() as client:
            emit(event("todo.created"), result="private")
            emit(event("todo.created"), result="public")
            assert await heard_by(client) == ["public"]

    run(scenario)


def test_an_event_is_known_by_its_name() -> None:
    assert event("todo.created") is event("todo.created")
    assert event("todo.created").name == "todo.created"

    async def scenario() -> None:
        with Client() as client:
            emit("todo.created", result="by name")
            assert await heard_by(client) == ["by name"]

    run(scenario)
