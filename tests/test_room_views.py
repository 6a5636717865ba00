"""What a client gets of rooms, in one process: lists and changes, whatever its limits, rights and mutes are."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

import nitro
from nitro import ANY, Client, Gap, Message
from nitro.datastar.wire_format import datastar
from nitro.delivery.frame import named, unnamed
from nitro.delivery.hub import Hub
from nitro.errors import ConfigurationError, InvalidPayload, InvalidTopic, PayloadTooLarge, TopicTypeError
from nitro.settings import Overflow
from nitro.sse.wire_formats import envelope, text, text_named

pytestmark = pytest.mark.usefixtures("hub")


async def told(messages: AsyncGenerator[Message | Gap, None]) -> Any:
    """The data of the next message; a gap is one, too."""
    message = await asyncio.wait_for(anext(messages), 5)
    return message if isinstance(message, Gap) else message.data


async def until(messages: AsyncGenerator[Message | Gap, None], **news: Any) -> Any:
    """Read until something with these fields comes."""
    while True:
        data = await told(messages)
        if not isinstance(data, Gap) and news.items() <= data.items():
            return data


def ids(members: list[dict[str, Any]]) -> list[str]:
    return [member["user_id"] for member in members]


async def settled(room: str, *users: str) -> None:
    async with asyncio.timeout(5):
        while sorted(member.user_id for member in nitro.presence(room)) != sorted(users):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("overflow", ["disconnect", "drop_oldest", "latest"])
def test_the_lists_of_many_rooms_end_nobody_and_cost_no_time(hub_with: Callable[..., Hub], overflow: Overflow) -> None:
    hub_with(presence_leave_seconds=0.05)
    rooms = [f"room-{n}" for n in range(30)]

    async def scenario() -> None:
        await nitro.presence.ready()
        with Client(user_id="ann", topics=["a"], presence=rooms, state="x" * 900):
            await settled("room-29", "ann")
            watched = [f"presence.{room}" for room in rooms]
            with Client(topics=watched, max_messages=10, max_bytes=5_000, overflow=overflow) as client:
                began = time.process_time()
                await asyncio.sleep(0.3)
                assert time.process_time() - began < 0.2, "nothing goes round in circles"
                messages = client.messages()
                lists = [await told(messages) for _ in rooms]
                assert sorted(each["room"] for each in lists) == sorted(rooms)
                assert {each["count"] for each in lists} == {1}
                await messages.aclose()
                assert client.is_connected

    asyncio.run(scenario())


def test_who_loses_a_right_or_mutes_a_room_gets_the_list_anew_with_it(hub_with: Callable[..., Hub]) -> None:
    hub_with(presence_leave_seconds=0)

    async def scenario() -> None:
        await nitro.presence.ready()
        bob = Client(user_id="bob", topics=["x"], presence="a").connect()
        await settled("a", "bob")
        with Client(topics=["presence.a", "x"], allowed=ANY) as client:
            messages = client.messages()
            assert ids((await told(messages))["members"]) == ["bob"]
            for leave, come_back in ((client.revoke, client.grant), (client.mute, client.unmute)):
                leave("presence.a")
                bob.disconnect()
                await settled("a")
                carl = Client(user_id="carl", topics=["x"], presence="a").connect()
                await settled("a", "carl")
                client.subscribe("presence.b")
                assert (await told(messages))["room"] == "b", "a isn't shown"
                client.unsubscribe("presence.b")
                come_back("presence.a")
                assert ids((await until(messages, room="a"))["members"]) == ["carl"]
                carl.disconnect()
                assert (await until(messages, room="a"))["left"] == ["carl"]
                bob.connect()
                assert ids((await until(messages, room="a"))["joined"]) == ["bob"]
            await messages.aclose()
        with Client(topics=["presence.a", "x"], muted_topics=["presence.a"]) as client:
            client.send("hello")
            messages = client.messages()
            assert await told(messages) == "hello"
            await messages.aclose()
        bob.disconnect()

    asyncio.run(scenario())


def test_who_is_in_a_room_is_told_on_one_line_whatever_the_state_says(hub_with: Callable[..., Hub]) -> None:
    """As each event is: some readers end lines at these characters, too."""
    hub_with(presence_leave_seconds=0)
    name = "ann\u2028event: forged\x85data: 1\u2029"

    async def scenario() -> None:
        await nitro.presence.ready()
        with Client(topics=["presence.a"]) as watcher:
            messages = watcher.messages()
            await told(messages)
            with Client(user_id="ann", topics=["x"], presence="a", state={"name": name}):
                joined = await anext(messages)
                assert isinstance(joined, Message)
                assert joined.json.splitlines() == [joined.json]
                assert joined.data["joined"][0]["state"] == {"name": name}
                with Client(topics=["presence.a"]) as late:
                    others = late.messages()
                    whole = await anext(others)
                    assert isinstance(whole, Message)
                    assert whole.json.splitlines() == [whole.json]
                    await others.aclose()
            await messages.aclose()

    asyncio.run(scenario())


def test_no_change_comes_before_the_list(hub_with: Callable[..., Hub]) -> None:
    hub_with(presence_leave_seconds=0, max_connects_per_second_per_user=10_000)
    is_over = threading.Event()

    def churn() -> None:
        n = 0
        while not is_over.is_set():
            n += 1
            with Client(user_id=f"user-{n % 7}", topics=["x"], presence="a", state=n):
                time.sleep(0.001)

    async def scenario() -> None:
        await nitro.presence.ready()
        threads = [threading.Thread(target=churn) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(300):
                with Client(topics=["presence.a"]) as client:
                    messages = client.messages()
                    assert "members" in await told(messages)
                    await messages.aclose()
        finally:
            is_over.set()
            for thread in threads:
                await asyncio.to_thread(thread.join)

    asyncio.run(scenario())


def test_reports_are_shorter_than_what_the_log_takes(hub_with: Callable[..., Hub], tmp_path: Path) -> None:
    hub = hub_with(max_payload_bytes=8192, broker_url=f"sqlite:///{tmp_path / 'log.db'}", presence_leave_seconds=0)

    async def scenario() -> None:
        names = [f"user-{n}" for n in range(300)]
        clients = [Client(user_id=name, topics=["x"], presence="a", state="\x00" * 60).connect() for name in names]
        await settled("a", *names)
        assert all(client.is_connected for client in clients)
        assert nitro.statistics().skipped_entries == 0
        for client in clients:
            client.disconnect()
        await settled("a")

    asyncio.run(scenario())
    hub.close(1)


def test_what_cant_be_told_now_is_told_later(hub_with: Callable[..., Hub]) -> None:
    hub_with(presence_leave_seconds=0, max_pending_bytes=100_000)
    ended = threading.Event()

    def flood() -> None:
        with pytest.raises(nitro.NitroError):  # Overloaded
            for _ in range(100):
                nitro.emit("flood", result="x" * 5000)
        ended.set()

    async def scenario() -> None:
        with Client(topics=["flood"]):
            ann = Client(user_id="ann", topics=["x"], presence="a").connect()
            await settled("a", "ann")
            thread = threading.Thread(target=flood)
            thread.start()
            assert ended.wait(5)  # the loop is blocked, and what waits for it is too much
            ann.disconnect()
            time.sleep(0.3)  # noqa: ASYNC251 - so that who left can't be told
            thread.join()
            await settled("a")

    asyncio.run(scenario())


def test_bad_rooms_users_and_states_are_refused_where_they_enter(hub_with: Callable[..., Hub]) -> None:
    deep: Any = 0
    for _ in range(198):
        deep = [deep]
    for error, options in (
        (TopicTypeError, {"presence": 5}),
        (InvalidTopic, {"presence": "a.*"}),
        (InvalidTopic, {"presence": ["a", "nitro"]}),
        (InvalidTopic, {"presence": "x" * 250}),
        (ConfigurationError, {"presence": "a", "user_id": None}),
        (ConfigurationError, {"state": 1}),
        (PayloadTooLarge, {"presence": "a", "state": "x" * 1025}),
        (PayloadTooLarge, {"presence": "a", "user_id": "x" * 257}),
        (InvalidPayload, {"presence": "a", "state": deep}),
        (InvalidPayload, {"presence": "a", "state": float("nan")}),
    ):
        named: dict[str, Any] = {"user_id": "ann", **options}
        with pytest.raises(error):
            Client(topics=["x"], **named)
    with pytest.raises(ConfigurationError, match="in no room"):
        Client(topics=["x"], user_id="ann").set_state(1)
    for topic in ("presence.*", "presence.a*"):
        with pytest.raises(InvalidTopic, match="exact name"):
            Client(topics=[topic])
    with pytest.raises(InvalidTopic, match="reserved"):
        nitro.event("presence.a")
    hub_with(max_payload_bytes=1000)
    with pytest.raises(ConfigurationError, match="8192"):
        nitro.presence("a")


def test_rooms_are_events_of_their_own_in_every_format() -> None:
    message = Message("presence.a", None, b'{"room":"a"}', None)
    for wire_format in (unnamed, named, text, text_named, datastar):
        assert wire_format(message) == b'event: nitro.presence\ndata: {"room":"a"}\n\n', wire_format
    assert envelope(message) == b'data: presence.a\ndata: {"room":"a"}\n\n'
