"""Clients that connect, subscribe, mute, lose rights, stall, go and come back with ids old and new, against a model.

The model is a list, a regular expression and a limit. Whatever order hypothesis finds, each client must read exactly
what the model expects of it. `NITRO_TEST_EXAMPLES` raises the number of runs.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nitro import ANY, Client, Gap, Message, emit
from nitro.delivery import process
from nitro.delivery.feed import Feed
from nitro.delivery.state import State
from nitro.errors import AccessDenied
from nitro.settings import Settings

HISTORY = 25
LIMIT = 12
TOPICS = ["a.x", "a.y", "b.x", "c"]
PATTERNS = ["a.*", "*.x", "c", "*", "a.x"]
SENDERS = [None, "s1", "s2"]

Emitted = tuple[int, str, str | None]
"""Sequence, topic, sender."""


def matches(pattern: str, topic: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".+"), topic) is not None


@dataclass
class Listener:
    """A client and what the model says about it."""

    client: Client
    topics: dict[str, list[str] | None]
    mutes: set[str]
    drops: bool
    last_id: str
    messages: AsyncGenerator[Message | Gap, None] | None = None
    replayed: deque[Any] = field(default_factory=deque)  # sequences, or the reason of a gap
    live: deque[int] = field(default_factory=deque)  # sequences; below 0, what was sent to it alone
    dropped: bool = False
    this_tick: int = 0
    was_over_limit: bool = False
    denied: set[str] = field(default_factory=set)
    has_lost_rights: bool = False
    missed: list[Emitted] | None = None  # what is still in the log for it: which of it, is decided when it reads

    def hears(self, message: Emitted) -> bool:
        _, topic, sender = message
        if any(matches(pattern, topic) for pattern in self.mutes) or self.is_denied(topic):
            return False
        return any(
            matches(pattern, topic) and (senders is None or sender in senders)
            for pattern, senders in self.topics.items()
        )

    def is_denied(self, topic: str) -> bool:
        return any(matches(pattern, topic) for pattern in self.denied)

    def withhold(self, log: list[Emitted]) -> None:
        """What it may hear no more is gone, from what waits for it and from what it missed."""
        self.has_lost_rights = True
        if self.missed is not None:
            self.replayed = deque(n for n, topic, _ in self.missed if not self.is_denied(topic))
        for waiting in (self.replayed, self.live):
            kept = [n for n in waiting if isinstance(n, str) or n < 0 or not self.is_denied(log[n - 1][1])]
            waiting.clear()
            waiting.extend(kept)


class Delivery(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        process._hub = self.hub = process.make_hub(
            Settings(history_messages=HISTORY, client_max_messages=LIMIT, heartbeat_seconds=3600)
        )
        self.epoch = self.hub.broker.head.epoch
        self.log: list[Emitted] = []
        self.listeners: list[Listener] = []
        self.left: list[str] = []
        self.sent = 0

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 10))

    def tick(self) -> None:
        self.run(asyncio.sleep(0))
        self.run(asyncio.sleep(0))
        for listener in self.listeners:
            listener.this_tick = 0

    @initialize()
    def begin(self) -> None:
        self.emit("a.x", None, 3)

    @rule(
        topic=st.sampled_from(TOPICS), sender=st.sampled_from(SENDERS), count=st.integers(1, 6), together=st.booleans()
    )
    def emit(self, topic: str, sender: str | None, count: int, together: bool = True) -> None:
        for _ in range(count):
            message = (len(self.log) + 1, topic, sender)
            self.log.append(message)

            async def one() -> None:
                emit(topic, sender, result={"n": len(self.log)})

            self.run(one())
            self.expect(message)
            if not together:
                self.check_limits()
                self.tick()
        self.check_limits()
        self.tick()

    def expect(self, message: Emitted) -> None:
        for listener in self.listeners:
            if listener.hears(message):
                listener.live.append(message[0])
                listener.this_tick += 1

    def check_limits(self) -> None:
        self.run(asyncio.sleep(0))
        for listener in self.listeners:
            waits = len(listener.live)
            listener.was_over_limit |= waits > LIMIT
            if listener.drops or not listener.client.is_connected or not listener.this_tick:
                continue  # it is looked at when something comes
            assert waits - listener.this_tick <= LIMIT, f"{waits} wait for a client that is not ended"

    @precondition(lambda self: len(self.listeners) < 4)
    @rule(
        topics=st.dictionaries(
            st.sampled_from(PATTERNS), st.sampled_from([None, ["s1"], ["s1", "s2"]]), min_size=1, max_size=3
        ),
        mutes=st.sets(st.sampled_from(PATTERNS[:3]), max_size=1),
        drops=st.booleans(),
        came=st.sampled_from(["anew", "back", "from long ago", "from the future", "from elsewhere", "with nonsense"]),
        at=st.integers(0, HISTORY + 5),
    )
    def connect(self, topics: dict[str, list[str] | None], mutes: set[str], drops: bool, came: str, at: int) -> None:
        head = len(self.log)
        ids = {
            "anew": None,
            "back": self.left[-1] if self.left else None,
            "from long ago": f"{self.epoch}-{max(0, head - at)}",
            "from the future": f"{self.epoch}-{head + 1 + at}",
            "from elsewhere": f"other-{at}",
            "with nonsense": ["-", "x", f"{self.epoch}", f"{self.epoch}-1-", "１"][at % 5],
        }
        last_id = ids[came]
        client = Client(
            topics={pattern: ANY if senders is None else senders for pattern, senders in topics.items()},
            muted_topics=sorted(mutes),
            last_event_id=last_id,
            overflow="drop_oldest" if drops else "disconnect",
        )

        async def connect() -> None:
            client.connect()

        self.run(connect())
        listener = Listener(client, dict(topics), set(mutes), drops, last_id or f"{self.epoch}-{head}")
        self.listeners.append(listener)
        if last_id is None:
            return
        epoch, _, number = last_id.rpartition("-")
        if not re.fullmatch("[0-9a-z]+", epoch) or not re.fullmatch("[0-9]+", number, re.ASCII):
            listener.replayed.append("invalid")
        elif epoch != self.epoch:
            listener.replayed.append("epoch")
        elif int(number) > head:
            listener.replayed.append("invalid")
        elif int(number) < head - HISTORY:
            listener.replayed.append("expired")
        else:
            listener.missed = [m for m in self.log[int(number) :] if listener.hears(m)]
            listener.replayed.extend(m[0] for m in listener.missed)

    @precondition(lambda self: self.listeners)
    @rule(data=st.data(), count=st.integers(1, 30))
    def read(self, data: st.DataObject, count: int) -> None:
        listener = data.draw(st.sampled_from(self.listeners))
        for _ in range(count):
            if not listener.client.is_connected or not (listener.replayed or listener.live):
                break
            self.read_one(listener)

    def read_one(self, listener: Listener) -> None:
        outbox = listener.client._membership.outbox
        assert outbox is not None
        if listener.dropped and outbox.is_empty and all(n < 0 for n in listener.live):
            listener.live.clear()  # dropped too, though the gap can't say so
            return
        if listener.messages is None:
            listener.messages = listener.client.messages()
        message = self.run(anext(listener.messages))
        listener.missed = None
        if isinstance(message, Gap):
            listener.last_id = message.id
            if message.reason == "overflow":
                assert listener.drops
                assert listener.was_over_limit, "a gap, and no more waited than may"
                listener.replayed.clear()
                listener.dropped = True
                while any(0 < n <= message.resumed_at.sequence for n in listener.live):
                    listener.live.popleft()
            else:
                assert message.reason == listener.replayed.popleft()
                assert message.id == f"{self.epoch}-{message.resumed_at.sequence}"
            return
        waits = listener.replayed or listener.live
        if message.position is None:
            while listener.dropped and waits[0] != -message.data:
                assert waits.popleft() < 0
            assert -message.data == waits.popleft()
            return
        while listener.dropped and waits[0] < 0:  # dropped too, though the gap can't say so
            waits.popleft()
        assert message.position.sequence == waits.popleft()
        assert (message.topic, message.sender) == self.log[message.position.sequence - 1][1:]
        assert message.data == {"n": message.position.sequence}
        listener.last_id = str(message.position)

    @precondition(lambda self: self.listeners)
    @rule(data=st.data(), pattern=st.sampled_from(PATTERNS), senders=st.sampled_from([None, ["s1"]]))
    def subscribe(self, data: st.DataObject, pattern: str, senders: list[str] | None) -> None:
        listener = data.draw(st.sampled_from(self.listeners))
        if pattern in listener.topics:
            self.change(listener, "unsubscribe", pattern)
            del listener.topics[pattern]
        elif listener.is_denied(pattern):  # all of it is
            with pytest.raises(AccessDenied):
                self.change(listener, "subscribe", pattern)
        else:
            self.change(listener, "subscribe", pattern, *([] if senders is None else [senders]))
            listener.topics[pattern] = senders

    @precondition(lambda self: self.listeners)
    @rule(data=st.data())
    def subscribe_again(self, data: st.DataObject) -> None:
        listener = data.draw(st.sampled_from(self.listeners))
        for pattern, senders in listener.topics.items():
            if listener.is_denied(pattern):
                continue
            self.change(listener, "subscribe", pattern, *([] if senders is None else [senders]))

    @precondition(lambda self: self.listeners)
    @rule(data=st.data(), topic=st.sampled_from(TOPICS))
    def change_between_two_emits_of_one_tick(self, data: st.DataObject, topic: str) -> None:
        listener = data.draw(st.sampled_from(self.listeners))
        is_muted = "*" in listener.mutes

        async def act() -> None:
            emit(topic, result={"n": len(self.log) + 1})
            (listener.client.unmute if is_muted else listener.client.mute)("*")
            emit(topic, result={"n": len(self.log) + 2})

        self.run(act())
        for n in (1, 2):
            self.log.append((len(self.log) + 1, topic, None))
            self.expect(self.log[-1])
            if n == 1:
                (listener.mutes.remove if is_muted else listener.mutes.add)("*")
        self.check_limits()
        self.tick()

    @precondition(lambda self: self.listeners)
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        listener = data.draw(st.sampled_from(self.listeners))
        self.sent += 1

        async def act() -> None:
            emit("a.x", result={"n": len(self.log) + 1})
            assert listener.client.send(self.sent) or listener.was_over_limit
            emit("a.x", result={"n": len(self.log) + 2})

        self.log.append((len(self.log) + 1, "a.x", None))
        self.expect(self.log[-1])
        listener.live.append(-self.sent)
        listener.this_tick += 1
        self.log.append((len(self.log) + 1, "a.x", None))
        self.expect(self.log[-1])
        for other in self.listeners:
            other.was_over_limit |= len(other.live) > LIMIT
        self.log, ahead = self.log[:-2], self.log[-2:]
        self.run(act())
        self.log += ahead
        self.check_limits()
        self.tick()

    @precondition(lambda self: self.listeners)
    @rule(data=st.data(), pattern=st.sampled_from(PATTERNS))
    def mute(self, data: st.DataObject, pattern: str) -> None:
        listener = data.draw(st.sampled_from(self.listeners))
        if pattern in listener.mutes:
            self.change(listener, "unmute", pattern)
            listener.mutes.remove(pattern)
        else:
            self.change(listener, "mute", pattern)
            listener.mutes.add(pattern)

    @precondition(lambda self: self.listeners)
    @rule(data=st.data(), pattern=st.sampled_from(PATTERNS))
    def revoke_or_grant(self, data: st.DataObject, pattern: str) -> None:
        listener = data.draw(st.sampled_from(self.listeners))
        if pattern in listener.denied:
            self.change(listener, "grant", pattern)
            listener.denied.remove(pattern)
        else:
            self.change(listener, "revoke", pattern)
            listener.denied.add(pattern)
        listener.withhold(self.log)

    def change(self, listener: Listener, verb: str, *arguments: Any) -> None:
        async def act() -> None:
            getattr(listener.client, verb)(*arguments)

        self.run(act())

    @precondition(lambda self: self.listeners)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        listener = data.draw(st.sampled_from(self.listeners))
        self.end(listener)

    def end(self, listener: Listener) -> None:
        self.listeners.remove(listener)
        self.left.append(listener.last_id)
        self.change(listener, "disconnect")
        if listener.messages is not None:
            self.run(listener.messages.aclose())

    @invariant()
    def whoever_is_ended_was_over_the_limit(self) -> None:
        for listener in list(self.listeners):
            if not listener.client.is_connected:
                assert not listener.drops
                assert listener.was_over_limit, "ended, and no more waited than may"
                self.end(listener)

    @invariant()
    def nothing_waits_but_what_the_model_expects(self) -> None:
        for listener in self.listeners:
            outbox = listener.client._membership.outbox
            assert outbox is not None
            if not (listener.replayed or listener.live):
                # news of an overflow may wait alone, when it lost the right to all that was kept behind it
                assert outbox.waiting[0] <= (listener.drops and listener.was_over_limit and listener.has_lost_rights)

    @invariant()
    def each_is_where_its_state_says(self) -> None:
        lane = self.hub._lanes.get(self.loop)
        for outbox in lane.clients if lane is not None else ():
            assert lane is not None
            state, feed = outbox.state, outbox.chain
            assert state is not State.ENDED
            assert isinstance(feed, Feed)
            assert (outbox in feed._parked_outboxes, outbox in feed._outboxes) == (state.is_parked, not state.is_parked)
            assert (state is State.PAUSED) <= (outbox in lane.schedule._pace._lines.get(outbox.principal.user_id, ()))
            assert (state is State.REPLAYING) <= (outbox in lane.schedule._pages)
            assert (state is State.HELD) <= (outbox.held_for is not None)
            assert (outbox.held_for is not None) == (outbox in lane.resumption._held)
            if state is State.IDLE:
                assert outbox.sink is not None
                assert not outbox.is_replaying
                assert outbox.is_empty or outbox in lane.schedule._outboxes or feed in lane.schedule._feeds

    def teardown(self) -> None:
        for listener in list(self.listeners):
            while listener.client.is_connected and (listener.replayed or listener.live):
                self.read_one(listener)
            self.end(listener)
        seen = self.hub.statistics()
        assert (seen.clients, seen.feeds, seen.loops) == (0, 0, 0)
        self.loop.close()
        process._hub = None


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(
    max_examples=int(os.environ.get("NITRO_TEST_EXAMPLES", "150")),
    stateful_step_count=60,
    phases=[Phase.explicit, Phase.reuse, Phase.generate] if os.environ.get("NITRO_TEST_NO_SHRINK") else list(Phase),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
