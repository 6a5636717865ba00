"""What becomes of one client's state, and that nobody is told out of turn, twice, or never again."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest

import nitro
from nitro import Client, Gap, emit
from nitro.delivery import replay
from nitro.delivery.frame import unnamed
from nitro.delivery.lane import Lane
from nitro.delivery.outbox import Outbox
from nitro.delivery.process import get_hub
from nitro.delivery.state import (
    State,
    Todo,
    on_attached,
    on_beat,
    on_free,
    on_held,
    on_news,
    on_pause_over,
    on_resumed,
    on_turn,
)
from nitro.messages.message import Position
from tests.specification.hearing import run, until

ANSWERS = [
    dict(zip(("is_held", "is_replaying", "is_draining", "has_more"), each, strict=True))
    for each in itertools.product((False, True), repeat=4)
]


def changes() -> Iterator[tuple[State, State, Todo]]:
    for state in State:
        for change in (on_news, on_attached, on_beat, on_held, on_resumed, on_pause_over):
            yield (state, *change(state))
        for has_to_wait in (False, True):
            yield (state, *on_turn(state, has_to_wait=has_to_wait))
        for answers in ANSWERS:
            yield (state, *on_free(state, **answers))


def test_no_change_revives_who_has_ended_or_asks_for_anything_there() -> None:
    after = [(new, todo) for state, new, todo in changes() if state is State.ENDED]
    assert set(after) == {(State.ENDED, Todo.NOTHING)}


def test_a_sink_is_told_only_where_it_was_free_and_is_busy_then() -> None:
    told = {(state, new) for state, new, todo in changes() if todo is Todo.NOTIFY}
    assert told == {(State.IDLE, State.BUSY), (State.REPLAYING, State.BEHIND), (State.HELD, State.BEHIND)}


def test_who_waits_for_a_turn_or_for_its_pace_is_queued_for_it() -> None:
    queued = {
        new: todo for state, new, todo in changes() if new is not state and new in (State.REPLAYING, State.PAUSED)
    }
    assert queued == {State.REPLAYING: Todo.QUEUE_PAGE, State.PAUSED: Todo.PAUSE}


@pytest.mark.parametrize("answers", ANSWERS)
def test_who_is_free_while_all_are_ended_is_ended_unless_there_is_something_that_no_log_has(
    answers: dict[str, bool],
) -> None:
    if answers["is_draining"]:
        is_kept = answers["has_more"] and not (answers["is_held"] or answers["is_replaying"])
        assert on_free(State.BUSY, **answers)[1] is (Todo.QUEUE if is_kept else Todo.END)


def lane_here() -> Lane:
    return get_hub()._lanes[asyncio.get_running_loop()]


def hold(client: Client) -> Position:
    """Let it be one whose id is one message ahead of this process, while the log is being asked; returns that id."""
    lane = lane_here()
    ahead = lane.position._replace(sequence=lane.position.sequence + 1)
    lane.resumption._is_asking = True
    lane.resumption.hold(client.open_outbox(), ahead)
    lane.resumption._looked_at = lane.position
    lane.resumption._next = ahead.sequence
    return ahead


async def heard(client: Client, count: int) -> list[object]:
    messages: list[object] = []
    async with asyncio.timeout(10):
        async for message in client.messages():
            messages.append(message.reason if isinstance(message, Gap) else message.data)
            if len(messages) == count:
                break
    return messages


def test_who_is_held_and_then_comes_with_an_id_that_is_known_gets_what_it_missed_once() -> None:
    async def scenario() -> None:
        emit("todo", result=0)
        start = nitro.position()
        emit("todo", result=1)
        with Client(topics=["todo"]) as client:
            hold(client)
            client.resume(start)
            emit("todo", result=2)
            await asyncio.sleep(0)
            emit("todo", result=3)
            assert await heard(client, 3) == [1, 2, 3]

    run(scenario)


def test_what_was_sent_to_a_client_that_is_held_comes_behind_what_it_missed_and_stays_where_it_is_too_much() -> None:
    async def scenario() -> None:
        with Client(topics=["todo"], max_messages=10, overflow="drop_oldest") as client:
            hold(client)
            reading = asyncio.create_task(heard(client, 6))
            for n in range(12):
                client.send(n)
            await asyncio.sleep(0)
            assert not reading.done()
            emit("todo", result="the place it waits for")
            assert await reading == [6, 7, 8, 9, 10, 11]

    run(scenario)


def test_who_is_over_its_limit_and_hears_something_else_from_now_on_is_looked_at_though_its_replay_waits() -> None:
    async def scenario() -> None:
        emit("todo", result=0)
        start = nitro.position()
        client = Client(topics=["todo"], last_event_id=start, max_messages=10).connect()
        for n in range(11):
            emit("todo", result=n)
        await asyncio.sleep(0)
        assert client.is_connected, "what came in one tick is no arrears"
        emit("todo", result="one more")
        client.mute("*")
        await until(lambda: not client.is_connected)

    run(scenario)


class Counts:
    """A sink that takes all that there is, and counts how often it was told."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.told = 0
        self.bodies: list[bytes] = []
        outbox.attach(self)

    def ready(self) -> bool:
        self.told += 1
        while (body := self.outbox.take_body(unnamed)) is not None:
            self.bodies.append(body)
        return True

    def ended(self) -> None:
        """Nothing to do."""


def test_a_page_of_a_replay_comes_in_its_turn_and_whatever_else_happens_takes_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replay, "_PAGE_SECONDS", 10.0)  # else a busy machine makes two pages of one

    async def scenario() -> None:
        start = nitro.position()
        for n in range(1_000):
            emit("todo", result=n)
        with Client(topics=["todo"], last_event_id=start) as client:
            outbox = client.open_outbox()
            sink = Counts(outbox)
            outbox.free()
            assert outbox.state is State.REPLAYING
            lane_here().schedule.notify(outbox)
            assert sink.told == 0
            await until(lambda: outbox.state is State.IDLE)
            assert sink.told == len(sink.bodies) == 4

    run(scenario)


def test_a_client_that_replays_is_ended_at_once_with_all_the_others() -> None:
    async def scenario() -> None:
        start = nitro.position()
        for n in range(1_000):
            emit("todo", result=n)
        client = Client(topics=["todo"], last_event_id=start).connect()
        outbox = client.open_outbox()
        sink = Counts(outbox)
        outbox.free()
        lane_here().drain()
        assert (outbox.state, outbox.is_ended, sink.told) == (State.ENDED, True, 0)
        await until(lambda: not client.is_connected)

    run(scenario)


@pytest.mark.parametrize("count", [15, 16, 32])
def test_clients_of_no_loop_that_are_ended_together_stop_nobody_else(count: int) -> None:
    with Client(topics=["other"], max_messages=100) as other:
        slow = [Client(topics=["loud"], max_messages=16).connect() for _ in range(count)]
        for n in range(40):
            emit("loud", result=n)
        assert not any(client.is_connected for client in slow)
        with Client(topics=["other"]) as late:
            emit("other", result="still there")
            waiting = [
                each._membership.outbox.waiting[0] for each in (other, late) if each._membership.outbox is not None
            ]
            assert waiting == [1, 1]
