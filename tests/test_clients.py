"""Clients: what they hear, in which order, and how their streams end."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel
from sqlalchemy import JSON
from sqlmodel import Field

from nitro import ANY, Client, Entity, active_clients, client_event, emit, event, on
from nitro.delivery.hub import Hub
from nitro.errors import (
    ConfigurationError,
    InvalidPayload,
    InvalidTopic,
    NitroWarning,
    NotConnected,
    Overloaded,
    PayloadTooLarge,
    TooManyTopics,
    TopicTypeError,
)

pytestmark = pytest.mark.usefixtures("hub")


async def take(source: AsyncIterator[Any], count: int) -> list[Any]:
    got = []
    async for item in source:
        got.append(item)
        if len(got) == count:
            break
    return got


def heard(client: Client, *topics: str, sender: Any = "me") -> list[str]:
    """Which of `topics` the client hears when each is emitted once."""

    async def scenario() -> list[str]:
        with client:
            for topic in topics:
                emit(topic, sender, result=topic)
            client.send("end")
            return [each async for each in _until_end(client)]

    return asyncio.run(scenario())


async def _until_end(client: Client) -> AsyncIterator[str]:
    async for each in client.stream():
        if each == "end":
            return
        yield each


@pytest.mark.parametrize("topics", [ANY, "ANY", ["ANY"], ["*"], "*", ("a.b", "*")])
def test_every_way_to_say_everything_hears_everything(topics: Any) -> None:
    assert heard(Client(topics=topics), "a.b", "c") == ["a.b", "c"]


def test_a_client_without_topics_hears_everything() -> None:
    assert heard(Client(), "a.b", "c") == ["a.b", "c"]


def test_a_bare_string_is_one_topic_and_never_its_characters() -> None:
    client = Client(topics="todo.*")
    assert list(client.topics) == ["todo.*"]
    assert heard(client, "todo.created", "t") == ["todo.created"]


@pytest.mark.parametrize("topics", [[], {}, ()])
def test_no_topics_hear_nothing(topics: Any) -> None:
    assert heard(Client(topics=topics), "a.b") == []


def test_overlapping_patterns_give_a_message_once() -> None:
    assert heard(Client(topics=["todo.*", "*.created", "*", "todo.created"]), "todo.created") == ["todo.created"]


@pytest.mark.parametrize("muted", ["todo.deleted", ["todo.deleted"], ["*.deleted"], ["todo.d*"]])
def test_a_mute_wins_over_any_subscription(muted: Any) -> None:
    client = Client(topics=["todo.*", "todo.deleted"], muted_topics=muted)
    assert heard(client, "todo.created", "todo.deleted") == ["todo.created"]


@pytest.mark.parametrize("muted", [ANY, "ANY"])
def test_muted_topics_any_mutes_nothing(muted: Any) -> None:
    assert heard(Client(topics=["a"], muted_topics=muted), "a") == ["a"]


@pytest.mark.parametrize("muted", [["ANY"], [ANY]])
def test_any_in_a_list_of_mutes_is_an_error_with_a_remedy(muted: Any) -> None:
    with pytest.raises(InvalidTopic, match=r"write '\*'"):
        Client(muted_topics=muted)


def test_case_matters() -> None:
    assert heard(Client(topics=["todo.*"]), "TODO.created") == []


@dataclass
class Order:
    id: UUID


ORDER = Order(UUID(int=7))


@pytest.mark.parametrize("senders", [[ORDER], [str(ORDER.id)], ORDER, str(ORDER.id), [ORDER.id]])
def test_a_sender_is_its_id_however_it_is_written(senders: Any) -> None:
    assert heard(Client(topics={"order.*": senders}), "order.paid", sender=ORDER) == ["order.paid"]
    assert heard(Client(topics={"order.*": senders}), "order.paid", sender="other") == []


@pytest.mark.parametrize("sender", [ANY, None])
def test_an_emit_without_a_sender_reaches_only_subscriptions_without_senders(sender: Any) -> None:
    assert heard(Client(topics={"a": ["me"]}), "a", sender=sender) == []
    assert heard(Client(topics={"a": ANY}), "a", sender=sender) == ["a"]
    assert heard(Client(topics={"a": ["me", ANY]}), "a", sender=sender) == ["a"]


def test_a_sender_that_is_called_any_is_one_like_any_other() -> None:
    assert heard(Client(topics={"a": ["ANY"]}), "a", sender="me") == []
    assert heard(Client(topics={"a": ["ANY"]}), "a", sender=ANY) == []
    assert heard(Client(topics={"a": ["ANY"]}), "a", sender="ANY") == ["a"]
    assert heard(Client(topics=ANY, allowed={"a": ["ANY"]}), "a", sender="me") == []


@pytest.mark.parametrize("bad", [[b"a"], [1], [None], 1, None, b"a", {1: ["x"]}])
def test_what_is_no_topic_is_a_type_error(bad: Any) -> None:
    with pytest.raises(TopicTypeError):
        Client(topics=bad)
    with pytest.raises(TopicTypeError):
        Client(topics=[], muted_topics=[bad])


def test_a_refused_change_leaves_the_client_as_it_was() -> None:
    client = Client(topics=["a"])
    for change in (client.subscribe, client.unsubscribe, client.mute, client.unmute):
        with pytest.raises(InvalidTopic):
            change("a b")
    assert heard(client, "a") == ["a"]


def test_ten_thousand_topics_are_refused_by_the_limit() -> None:
    with pytest.raises(TooManyTopics, match=r"1000 .*NITRO_MAX_TOPICS_PER_CLIENT"):
        Client(topics=[f"t.{n}" for n in range(10_000)])


def test_subscriptions_and_mutes_change_between_the_events_around_them() -> None:
    async def scenario() -> list[Any]:
        with Client(topics=["a"]) as client:
            emit("a", result=1)
            emit("b", result="before")
            client.subscribe("b")
            emit("b", result=2)
            client.mute("b")
            emit("b", result="muted")
            client.unmute("b").unsubscribe("a")
            emit("a", result="unsubscribed")
            emit("b", result=3)
            client.subscribe("a", senders=["x"])
            emit("a", "y", result="another sender")
            emit("a", "x", result=4)
            return await take(client.stream(), 4)

    assert asyncio.run(scenario()) == [1, 2, 3, 4]


def test_unsubscribe_removes_only_what_was_written_so() -> None:
    client = Client(topics=["todo.*", "todo.created"])
    client.unsubscribe("todo.*")
    assert heard(client, "todo.created", "todo.deleted") == ["todo.created"]


def test_clients_hear_only_between_connect_and_disconnect_and_can_connect_again() -> None:
    async def scenario() -> list[Any]:
        client = Client(topics=["a"])
        emit("a", result="before")
        client.connect()
        emit("a", result=1)
        got = await take(client.stream(), 1)
        client.disconnect()
        emit("a", result="between")
        client.connect()
        emit("a", result=2)
        got += await take(client.stream(), 1)
        client.disconnect()
        return got

    assert asyncio.run(scenario()) == [1, 2]


def test_disconnect_ends_a_stream_at_once() -> None:
    async def scenario() -> list[Any]:
        client = Client(topics=["a"]).connect()
        got: list[Any] = []

        async def read() -> None:
            async for data in client.stream(delay=30):
                got.append(data)

        reading = asyncio.create_task(read())
        await asyncio.sleep(0)
        emit("a", result=1)
        while not got:
            await asyncio.sleep(0)
        client.disconnect()
        await asyncio.wait_for(reading, 1)
        return got

    assert asyncio.run(scenario()) == [1]


def test_a_stream_that_was_left_goes_on_where_it_stood() -> None:
    async def scenario() -> list[Any]:
        with Client(topics=["a"]) as client:
            for n in range(6):
                emit("a", result=n)
            return [await take(client.stream(), 2), await take(client.stream(), 1), await take(client.stream(), 3)]

    assert asyncio.run(scenario()) == [[0, 1], [2], [3, 4, 5]]


def test_a_second_reader_of_a_client_ends_the_first_and_the_client_stays_connected() -> None:
    async def scenario() -> None:
        with Client(topics=["a"]) as client:
            first = asyncio.create_task(take(client.stream(), 1))
            await asyncio.sleep(0)
            second = asyncio.create_task(take(client.messages(), 1))
            assert await asyncio.wait_for(first, 5) == []
            emit("a", "me", result=1)
            assert [message.data for message in await asyncio.wait_for(second, 5)] == [1]
            assert client.is_connected

    asyncio.run(scenario())


def test_reading_a_client_that_was_never_connected_is_an_error_with_a_remedy() -> None:
    with pytest.raises(NotConnected, match="with client"):
        asyncio.run(anext(Client().stream()))


@pytest.mark.parametrize("delay", [0, -1, math.nan])
def test_a_delay_is_a_time(delay: float) -> None:
    with pytest.raises(ConfigurationError, match="delay"):
        asyncio.run(anext(Client().stream(delay)))


def test_only_emits_with_a_result_reach_clients() -> None:
    async def scenario() -> list[Any]:
        with Client() as client:
            with pytest.warns(NitroWarning, match="without result="):
                emit("a")
            emit("a", result=None)
            result: Any
            for result in ("", 0, False, [], {}):
                emit("a", result=result)
            return await take(client.stream(), 5)

    assert asyncio.run(scenario()) == ["", 0, False, [], {}]


class Colour(Enum):
    RED = "red"


class Model(BaseModel):
    name: str
    at: datetime


@dataclass
class Point:
    x: int


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (2**53 + 1, "9007199254740993"),
        (2**200, str(2**200)),
        (NOON, '"2026-01-02T12:00:00Z"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (Decimal("1.10"), '"1.10"'),
        (Colour.RED, '"red"'),
        (b"bytes", '"bytes"'),
        (Point(1), '{"x":1}'),
        (Model(name="n", at=NOON), '{"name":"n","at":"2026-01-02T12:00:00Z"}'),
        ([Point(1), {"a": Colour.RED}], '[{"x":1},{"a":"red"}]'),
        ({"text": "NaN and Infinity"}, '{"text":"NaN and Infinity"}'),
        ({"__proto__": 1, "constructor": 2}, '{"__proto__":1,"constructor":2}'),
        ("x\n\nevent: admin\ndata: y\u2028", '"x\\n\\nevent: admin\\ndata: y\\u2028"'),
    ],
)
def test_what_pydantic_can_write_is_sent_as_its_json(result: Any, text: str) -> None:
    async def scenario() -> str:
        with Client() as client:
            emit("a", result=result)
            return (await anext(client.messages())).json

    assert asyncio.run(scenario()) == text


@pytest.mark.parametrize("senders", [None, [None], ["me", None]])
def test_a_sender_that_is_none_is_an_error_and_never_everybody(senders: Any) -> None:
    with pytest.raises(TopicTypeError, match="ANY"):
        Client(topics={"order.*": senders})


@pytest.mark.parametrize("depth", [99, 150, 199])
def test_what_is_nested_as_deeply_as_readers_can_follow_arrives(depth: int) -> None:
    result: Any = 1
    for _ in range(depth):
        result = [result]

    async def scenario() -> Any:
        with Client() as client:
            emit("a", result=result)
            return await anext(client.stream())

    assert asyncio.run(scenario()) == result


def cycle() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def nested() -> list[Any]:
    outer: list[Any] = []
    inner = outer
    for _ in range(100_000):
        inner.append([])
        inner = inner[0]
    return outer


@pytest.mark.parametrize(
    "make",
    [
        lambda: math.nan,
        lambda: {"x": [math.inf]},
        lambda: -math.inf,
        cycle,
        nested,
        lambda: "\ud800",
        lambda: {object()},
        lambda: json.loads("[" * 220 + "]" * 220),
        lambda: Path(__file__).open(),
        lambda: b"\xff",
        lambda: print,
    ],
)
def test_what_cannot_be_sent_raises_in_the_caller_and_the_stream_lives(make: Callable[[], Any]) -> None:
    result = make()

    async def scenario() -> Any:
        with Client() as client:
            with pytest.raises(InvalidPayload) as caught:
                emit("a", result=result)
            assert isinstance(caught.value, ValueError)
            with pytest.raises(InvalidPayload):
                client.send(result)
            emit("a", result="lives")
            return await anext(client.stream())

    try:
        assert asyncio.run(scenario()) == "lives"
    finally:
        getattr(result, "close", lambda: None)()


class Line(BaseModel):
    price: float


class Measured(Entity, table=True):
    __tablename__ = "clients_measured"
    of: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


@pytest.mark.parametrize(
    ("result", "place"),
    [
        ({"lines": [{"sku": "a", "price": math.nan}]}, 'result["lines"][0]["price"]: '),
        ({"lines": (1, {"of": object()})}, 'result["lines"][1]["of"]: '),
        ({7: [object()]}, "result[7][0]: "),
        ([Line(price=math.inf)], "result[0].price: "),
        (Measured(of={"loss": math.nan}), 'result.of["loss"]: '),
        ([*range(5_000), object()], "result[5000]: "),
        ({"a" * 100: [object()]}, f'result["{"a" * 49}][0]: '),
        (object(), "Unable to serialize"),
        ({(1, object()): 1}, "Error serializing"),
    ],
)
def test_an_error_says_of_which_event_and_where_in_the_result_the_value_is(result: Any, place: str) -> None:
    with pytest.raises(InvalidPayload) as caught:
        emit("order.placed", result=result)
    beginning = f"result of 'order.placed' ({type(result).__name__}) can't be sent as JSON: {place}"
    assert str(caught.value).startswith(beginning), str(caught.value)


def test_ten_megabytes_are_refused_by_the_limit_that_is_named() -> None:
    with pytest.raises(PayloadTooLarge, match=r"limit 1048576.*NITRO_MAX_PAYLOAD_BYTES"):
        emit("a", result="x" * 10_000_000)


def test_objects_and_arrays_format_as_json_and_can_be_dumped() -> None:
    async def scenario() -> None:
        with Client() as client:
            for result in ({"a": "é", "b": [1, None]}, [1, {"c": True}]):
                emit("a", result=result)
                data = await anext(client.stream())
                assert json.loads(f"{data}") == json.loads(str(data)) == json.loads(json.dumps(data)) == result
                assert data == result

    asyncio.run(scenario())


def test_each_client_gets_a_copy_of_its_own() -> None:
    async def scenario() -> None:
        with Client() as first, Client() as second:
            emit("a", result={"list": []})
            one, other = await anext(first.stream()), await anext(second.stream())
            one["list"].append("changed")
            assert other == {"list": []}

    asyncio.run(scenario())


def test_changing_the_result_after_emit_changes_nothing() -> None:
    async def scenario() -> Any:
        with Client() as client:
            result = {"n": 1}
            emit("a", result=result)
            result["n"] = 2
            return await anext(client.stream())

    assert asyncio.run(scenario()) == {"n": 1}


def test_messages_have_topic_id_data_and_json() -> None:
    async def scenario() -> None:
        with Client() as client:
            emit("a.b", "me", result={"n": 1})
            emit("a.c", "me", result=2)
            client.send({"only": "you"})
            first, second, direct = await take(client.messages(), 3)
            assert (first.topic, first.data, first.json) == ("a.b", {"n": 1}, '{"n":1}')
            assert first.id.rsplit("-", 1)[0] == second.id.rsplit("-", 1)[0]
            assert int(second.id.rsplit("-", 1)[1]) == int(first.id.rsplit("-", 1)[1]) + 1
            assert (direct.topic, direct.id, direct.data) == ("", None, {"only": "you"})

    asyncio.run(scenario())


def test_a_thousand_messages_in_one_tick_arrive_complete_and_in_order() -> None:
    async def scenario() -> list[int]:
        with Client() as client:
            for n in range(1000):
                emit("a", result=n)
            return await take(client.stream(), 1000)

    assert asyncio.run(scenario()) == list(range(1000))


def test_send_is_in_order_with_what_is_emitted_and_tells_whether_it_was_taken() -> None:
    async def scenario() -> list[Any]:
        client = Client(topics=["a"])
        assert client.send("too early") is False
        with client:
            emit("a", result=1)
            assert client.send({"n": 2}) is True
            emit("a", result=3)
            got = await take(client.stream(), 3)
        assert client.send("too late") is False
        return got

    assert asyncio.run(scenario()) == [1, {"n": 2}, 3]


def test_active_clients_can_be_iterated_while_clients_come_and_go() -> None:
    async def scenario() -> None:
        clients = [Client(f"c{n}", ANY).connect() for n in range(3)]
        for _, client in active_clients.items():
            client.disconnect()
            if list(active_clients) == ["c2"]:
                clients.append(Client("late", ANY).connect())
        assert list(active_clients) == ["late"]
        assert active_clients.get("c0") is None
        clients[-1].disconnect()
        assert len(active_clients) == 0

    asyncio.run(scenario())


def test_of_two_clients_with_one_id_the_registry_holds_the_later_and_both_hear() -> None:
    async def scenario() -> None:
        first, second = Client("same", ANY).connect(), Client("same", ANY).connect()
        assert active_clients["same"] is second
        first.disconnect()
        assert active_clients["same"] is second
        emit("a", result=1)
        assert await anext(second.stream()) == 1
        second.disconnect()
        assert "same" not in active_clients

    asyncio.run(scenario())


def test_four_hundred_clients_ended_at_their_limit_are_all_told(hub_with: Callable[..., Hub]) -> None:
    hub_with(client_max_messages=3)
    told: list[str] = []

    def monitor(sender: Any, action: str, **kwargs: Any) -> None:
        told.append(action)

    with client_event.connected_to(monitor):
        clients = [Client(topics=["a"]).connect() for _ in range(400)]
        for _ in range(6):
            emit("a", result=1)
    assert told.count("disconnect") == len(clients)
    assert len(active_clients) == 0


def test_the_lifecycle_is_told_once_for_each_connect_and_disconnect() -> None:
    told: list[Any] = []

    def monitor(sender: Any, action: str, client: Client, **kwargs: Any) -> None:
        told.append((sender, action, client.client_id))

    async def scenario() -> None:
        client = Client("me", ANY)
        client.connect().connect()
        client.disconnect().disconnect()

    with client_event.connected_to(monitor):
        asyncio.run(scenario())
    assert told == [("system", "connect", "me"), ("system", "disconnect", "me")]
    assert client_event is event("client_lifecycle")
    assert on(client_event) is not None


def test_a_client_that_is_not_read_is_ended_at_its_limit_and_the_others_go_on(
    hub_with: Callable[..., Hub], caplog: pytest.LogCaptureFixture
) -> None:
    hub_with(client_max_messages=10)

    async def scenario() -> None:
        slow = Client(topics=["a"]).connect()
        with Client(topics=["a"]) as quick:
            for n in range(30):
                emit("a", result=n)
                assert await anext(quick.stream()) == n
            assert not slow.is_connected
            assert slow.send("x") is False
            assert list(active_clients.values()) == [quick]
            assert [data async for data in slow.stream()] == []

    asyncio.run(scenario())
    assert "reads too slowly" in caplog.text


def test_a_burst_beyond_the_limit_in_one_tick_reaches_a_client_that_keeps_up(hub_with: Callable[..., Hub]) -> None:
    hub_with(client_max_messages=10)

    async def scenario() -> list[int]:
        with Client(topics=["a"]) as client:
            for n in range(100):
                emit("a", result=n)
            return await take(client.stream(), 100)

    assert asyncio.run(scenario()) == list(range(100))


def test_emitting_without_end_and_without_giving_the_loop_back_raises_in_time(
    hub_with: Callable[..., Hub],
) -> None:
    hub_with(max_pending_bytes=100_000)

    async def scenario() -> int:
        sent = 0
        with Client() as client:
            with pytest.raises(Overloaded, match="NITRO_MAX_PENDING_BYTES"):
                for _ in range(10_000):
                    emit("a", result="x")
                    sent += 1
            assert len(await take(client.stream(), sent)) == sent, "what was accepted arrives"
            emit("a", result="again")
            assert await anext(client.stream()) == "again"
        return sent

    assert 100 < asyncio.run(scenario()) < 1000
