"""What a heartbeat says: a comment, and the id if it moved; so every quiet client's place is the newest in the end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nitro
from nitro import Client, emit
from nitro.delivery import process
from nitro.delivery.frame import unnamed
from nitro.delivery.hub import Hub
from nitro.messages.message import Position
from nitro.settings import Settings

COMMENT = b":\n"
NEVER = 3600


class Browser:
    """A client's sink; it knows its last id, as a browser does, and may take nothing for a while."""

    def __init__(self, client: Client, last_id: str = "") -> None:
        self.client = client.connect()
        if last_id:
            self.client.resume(last_id)
        self.outbox = self.client.open_outbox()
        self.last_id = last_id if self.outbox.starts_at is None else str(self.outbox.starts_at)
        self.is_stopped = False
        self.new = b""
        self.sequences: list[int] = []
        self.outbox.attach(self)
        self.outbox.free()

    def ready(self) -> bool:
        if self.is_stopped:
            return False
        while (body := self.outbox.take_body(unnamed)) is not None:
            self.new += body
            for last_id in re.findall(rb"^id: (.*)$", body, re.MULTILINE):
                position = Position.parse(last_id.decode())
                assert position is not None
                self.sequences.append(position.sequence)
                self.last_id = str(position)
        return True

    def go_on(self) -> None:
        self.is_stopped = False
        if not self.outbox.is_ended and self.ready():
            self.outbox.free()

    def ended(self) -> None:
        """Nothing to do."""

    def take(self) -> bytes:
        """What came since the last time."""
        new, self.new = self.new, b""
        return new


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


async def beat() -> None:
    """What the timer does, now."""
    lane = process.get_hub()._lanes.get(asyncio.get_running_loop())
    if lane is not None:  # it goes with its last client
        lane._beat()
    await settle()


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 20))


@pytest.fixture
def quiet(hub_with: Callable[..., Hub]) -> Hub:
    return hub_with(heartbeat_seconds=NEVER)


@pytest.mark.usefixtures("quiet")
def test_heartbeats_of_a_stream_whose_id_does_not_move_are_comments_alone() -> None:
    async def scenario() -> None:
        emit("a", result=0)
        first, second = Browser(Client(topics=["a"])), Browser(Client(topics=["a"]))
        for _ in range(3):
            await beat()
            assert (first.take(), second.take()) == (COMMENT, COMMENT)
        emit("a", result=1)
        await settle()
        assert first.take() == f"id: {nitro.position()}\ndata: 1\n\n".encode()
        await beat()
        assert first.take() == COMMENT
        for each in (first, second):
            each.client.disconnect()

    run(scenario)


@pytest.mark.usefixtures("quiet")
def test_an_id_that_moved_without_an_event_is_told_once_to_each_feed() -> None:
    async def scenario() -> None:
        quiet, lively = Browser(Client(topics=["a"])), Browser(Client(topics=["b"]))
        emit("b", result=1)
        await settle()
        lively.take()
        for news in (f":\nid: {nitro.position()}\n\n".encode(), COMMENT):
            await beat()
            assert quiet.take() == news
            assert lively.take() == COMMENT
        for each in (quiet, lively):
            each.client.disconnect()

    run(scenario)


@pytest.mark.usefixtures("quiet")
def test_one_that_comes_late_with_an_old_id_is_told_the_newest_by_the_next_heartbeat() -> None:
    async def scenario() -> None:
        old = nitro.position()
        for n in range(3):
            emit("b", result=n)
        early = Browser(Client(topics=["a"]))
        await beat()
        assert early.take() == COMMENT
        late = Browser(Client(topics=["a"]), last_id=old)
        await settle()
        assert late.last_id == old
        await beat()
        assert late.last_id == nitro.position()
        early.take()
        late.take()
        await beat()
        assert (early.take(), late.take()) == (COMMENT, COMMENT)
        for each in (early, late):
            each.client.disconnect()

    run(scenario)


@pytest.mark.usefixtures("quiet")
def test_after_a_gap_that_told_the_newest_id_heartbeats_are_comments(quiet: Hub) -> None:
    async def scenario() -> None:
        browser = Browser(Client(topics=["a"]))
        with quiet._lock:
            quiet.lose("epoch", Position("another", 7))
        await settle()
        assert b"event: gap" in browser.take()
        await beat()
        assert (browser.take(), browser.last_id) == (COMMENT, "another-7")
        browser.client.disconnect()

    run(scenario)


@pytest.mark.usefixtures("quiet")
def test_one_that_changes_to_a_feed_that_was_told_more_is_told_it_too() -> None:
    async def scenario() -> None:
        mover, other = Browser(Client(topics=["a"])), Browser(Client(topics=["a", "c"]))
        emit("c", result=1)
        await settle()
        assert mover.take() == b""
        mover.client.subscribe("c")
        await beat()
        assert mover.last_id == other.last_id == nitro.position()
        for each in (mover, other):
            each.client.disconnect()

    run(scenario)


@pytest.mark.usefixtures("quiet")
def test_one_whose_heartbeat_was_dropped_with_what_was_too_much_for_it_is_told_by_the_next() -> None:
    async def scenario() -> None:
        slow = Browser(Client(topics=["a"], max_messages=2, overflow="drop_oldest"))
        slow.is_stopped = True
        for n in range(5):
            emit("a", result=n)
            await settle()
        emit("b", result=0)
        await beat()
        slow.go_on()
        assert b"event: gap" in slow.take()
        await beat()
        assert slow.last_id == nitro.position()
        slow.client.disconnect()

    run(scenario)


TOPICS = ["a", "b", "c"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("emit"), st.sampled_from(TOPICS), st.integers(1, 4)),
        st.tuples(st.just("come"), st.sampled_from(TOPICS), st.none() | st.integers(0, 30)),
        st.tuples(st.just("change"), st.integers(0, 9), st.sampled_from(TOPICS)),
        st.tuples(st.just("send"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("stop"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("go on"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("leave"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("beat"), st.just(0), st.just(0)),
        st.tuples(st.just("turn"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(STEPS)
def test_whoever_comes_changes_stops_and_goes_on_is_told_the_newest_id_by_a_heartbeat_and_none_goes_back(
    steps: list[tuple[str, Any, Any]],
) -> None:
    before, process._hub = process._hub, process.make_hub(Settings(heartbeat_seconds=NEVER, client_max_messages=6))
    try:
        run(lambda: _live_through(steps))
    finally:
        process._hub = before


async def _live_through(steps: list[tuple[str, Any, Any]]) -> None:
    browsers: list[Browser] = []
    epoch = nitro.position().partition("-")[0]
    for step, what, more in steps:
        which = browsers[what % len(browsers)] if isinstance(what, int) and browsers else None
        if step == "emit":
            for n in range(more):
                emit(what, result=n)
        elif step == "come":
            client = Client(topics=[what], overflow="drop_oldest" if len(browsers) % 2 else "latest")
            browsers.append(Browser(client, "" if more is None else f"{epoch}-{more}"))
        elif step == "beat":
            await beat()
        elif step == "turn":
            await settle()
        elif which is not None:
            _act(which, step, more)
    for browser in browsers:
        browser.go_on()
    await settle()
    await beat()
    connected = [browser for browser in browsers if browser.client.is_connected]
    for browser in connected:
        assert browser.last_id == nitro.position()
        browser.take()
    await beat()
    assert [browser.take() for browser in connected] == [COMMENT] * len(connected)
    for browser in browsers:
        assert browser.sequences == sorted(browser.sequences)
        browser.client.disconnect()


def _act(browser: Browser, step: str, more: Any) -> None:
    if step == "change":
        browser.client.subscribe(more)
    elif step == "send":
        browser.client.send("alone")
    elif step == "stop":
        browser.is_stopped = True
    elif step == "go on":
        browser.go_on()
    elif step == "leave":
        browser.client.disconnect()
