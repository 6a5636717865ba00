"""The oracle sees what is wrong: over brokers that lose, double and reorder on purpose, and over logs by hand."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest

from nitro import Client, Gap, emit
from nitro.brokers.base import Receiver, Retention
from nitro.brokers.memory import MemoryBroker
from nitro.delivery import process
from nitro.delivery.hub import Hub
from nitro.messages.message import Message
from nitro.testing.oracle import Listener, Sent, check

Deliver = Callable[[Message], None]


class Faulty(MemoryBroker):
    """A memory broker that hands on what `fault` makes of each message."""

    def __init__(self, fault: Callable[[Message, Deliver], None]) -> None:
        super().__init__(Retention(100_000, 1 << 30, 60))
        self._fault = fault

    def start(self, receiver: Receiver) -> None:
        self._deliver = lambda message: self._fault(message, receiver.deliver)


class Drops:
    def __call__(self, message: Message, deliver: Deliver) -> None:
        assert message.position is not None
        if message.position.sequence % 1_000 != 500:
            deliver(message)


class Doubles:
    def __call__(self, message: Message, deliver: Deliver) -> None:
        deliver(message)
        assert message.position is not None
        if message.position.sequence % 1_000 == 500:
            deliver(message)


class Reorders:
    def __init__(self) -> None:
        self.held: Message | None = None

    def __call__(self, message: Message, deliver: Deliver) -> None:
        assert message.position is not None
        if message.position.sequence % 1_000 == 500:
            self.held = message
            return
        deliver(message)
        if self.held is not None:
            deliver(self.held)
            self.held = None


class Faultless:
    def __call__(self, message: Message, deliver: Deliver) -> None:
        deliver(message)


@pytest.mark.parametrize(
    ("fault", "found"),
    [(Faultless, None), (Drops, "lost"), (Doubles, "doubled"), (Reorders, "reordered")],
    ids=["faultless", "drops", "doubles", "reorders"],
)
def test_a_broker_with_one_fault_in_a_thousand_is_found_out(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, fault: type, found: str | None
) -> None:
    faulty = Hub(hub.settings, Faulty(fault()))
    faulty.start()
    monkeypatch.setattr(process, "_hub", faulty)
    sent: list[Sent] = []

    async def scenario() -> list[Listener]:
        with Client(topics=["a"], max_messages=100_000) as client:
            listener = Listener("client")
            listening = asyncio.create_task(listen(client, listener))
            for n in range(4_000):
                sent.append(Sent(f"p{n % 3}", n))
                emit("a", result=[f"p{n % 3}", n])
                if n % 100 == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(0.1)
            client.disconnect()
            await listening
            return [listener]

    verdict = check(sent, asyncio.run(scenario()))
    assert verdict.is_clean == (found is None), str(verdict)
    if found is not None:
        assert len(getattr(verdict, found)) == 4, str(verdict)
        assert sum(len(getattr(verdict, kind)) for kind in ("lost", "doubled", "reordered", "invented")) == 4


async def listen(client: Client, listener: Listener) -> None:
    async for message in client.messages():
        if isinstance(message, Gap):
            listener.told_of_gap(message.id)
        else:
            assert message.id is not None
            listener.heard(message.id, *message.data)


def sent(count: int) -> list[Sent]:
    return [Sent("p", n, at=float(n)) for n in range(1, count + 1)]


def listener(*ids: int, since: float = 0.0) -> Listener:
    made = Listener("l", since=since)
    for n in ids:
        made.heard(f"e-{n}", "p", n)
    return made


def test_what_came_before_the_stream_was_open_is_not_missed() -> None:
    assert check(sent(5), [listener(4, 5, since=3.5)]).is_clean
    assert len(check(sent(5), [listener(4, 5, since=2.5)]).lost) == 1


def test_a_gap_announces_what_lies_before_it_and_nothing_behind() -> None:
    away = listener(1, 2)
    away.told_of_gap("e-4")
    away.heard("e-6", "p", 6)
    verdict = check(sent(6), [away, listener(1, 2, 3, 4, 5, 6)])
    assert verdict.lost == ["l never heard p 5 (e-5)"]
    assert verdict.gaps == 1


def test_an_older_message_behind_a_gap_is_out_of_order() -> None:
    back = listener(1)
    back.told_of_gap("e-4")
    back.heard("e-3", "p", 3)
    assert len(check(sent(4), [back, listener(1, 2, 3, 4)]).reordered) == 1


def test_a_new_epoch_begins_anew() -> None:
    away = listener(1, 2)
    away.told_of_gap("f-0")
    away.heard("f-1", "p", 4)
    assert check(sent(4), [away]).is_clean


def test_what_was_never_emitted_or_failed_or_is_not_for_it_is_invented() -> None:
    failed = [*sent(1), Sent("p", 2, "failed", at=2.0), Sent("p", 3, "unknown", at=3.0)]
    assert len(check(failed, [listener(1, 2, 3, 4)]).invented) == 2
    assert check(failed, [listener(1)]).is_clean
    deaf = listener(1)
    deaf.hears = lambda message: message.n != 1
    assert len(check(sent(1), [deaf]).invented) == 1


def test_no_single_change_of_a_clean_log_goes_unseen() -> None:
    rng = random.Random(1)
    for _ in range(300):
        ids = list(range(1, 20))
        place = rng.randrange(18)
        match rng.randrange(3):
            case 0:
                del ids[place]
            case 1:
                ids.insert(rng.randrange(place + 1, 19), ids[place])
            case _:
                ids[place], ids[place + 1] = ids[place + 1], ids[place]
        assert not check(sent(19), [listener(*ids), listener(*range(1, 20))]).is_clean


def test_a_gap_excuses_nothing_that_is_older_than_what_was_heard_before_it() -> None:
    away = listener(1, 2, 4, 5)
    away.told_of_gap("e-9")
    verdict = check(sent(9), [away, listener(1, 2, 3, 4, 5, 6, 7, 8, 9)])
    assert verdict.lost == ["l never heard p 3 (e-3)"]
    away.told_of_gap("f-0")
    assert len(check(sent(9), [away, listener(1, 2, 3, 4, 5, 6, 7, 8, 9)]).lost) == 1
    assert len(check(sent(9), [away]).lost) == 1, "nor when nobody else heard it"


def test_a_message_has_to_be_heard_at_each_place_where_it_stood_or_be_announced_there() -> None:
    """Its emitter was not told that the old log had it, so it is in the new one, too."""
    there = listener(1, 2)
    there.told_of_gap("f-0")
    there.heard("f-1", "p", 2)
    there.heard("f-2", "p", 3)
    verdict = check(sent(3), [there])
    assert verdict.is_clean
    assert verdict.repeated == 1
    away = listener(1)
    away.told_of_gap("f-0")
    away.heard("f-2", "p", 3)
    assert check(sent(3), [there, away]).lost == ["l never heard p 2 (e-2 and f-1)"]


def test_what_comes_again_in_another_epoch_without_a_gap_or_in_the_same_one_is_doubled() -> None:
    silent = listener(1, 2)
    silent.heard("f-1", "p", 2)
    assert len(check(sent(2), [silent]).doubled) == 1
    assert len(check(sent(2), [silent]).unannounced) == 1
    back = listener(1, 2)
    back.told_of_gap("e-1")
    back.heard("e-2", "p", 2)
    assert len(check(sent(2), [back]).doubled) == 1


def told(*entries: tuple[str, float]) -> Listener:
    """Who heard one message that was emitted at 1.0, late, and was told of gaps then."""
    made = Listener("l", since=0.0)
    made.heard("e-1", "p", 1, at=4.0)
    for resumed_at, at in entries:
        made.told_of_gap(resumed_at, at=at)
    return made


def test_a_gap_is_right_while_something_may_have_been_lost_since_the_last_news() -> None:
    for losses, is_right in [([(2.0, 3.0)], True), ([(0.0, 1.5)], True), ([(0.0, 0.5)], False), ([(7.0, 8.0)], False)]:
        verdict = check(sent(1), [told(("f-0", 5.0))], losses=losses)
        assert verdict.is_clean == is_right, (losses, verdict)
        assert len(verdict.false_gaps) == (not is_right)
    again = told(("f-0", 5.0))
    again.heard("f-1", "p", 2, at=6.0)
    again.told_of_gap("g-0", at=9.0)
    assert len(check([*sent(1), Sent("p", 2, at=5.5)], [again], losses=[(2.0, 3.0)]).false_gaps) == 1
    assert check(sent(1), [told(("f-0", 5.0), ("g-0", 9.0))]).is_clean, "nobody said when something was lost"


def test_a_gap_comes_first_and_is_right_where_a_stream_began_at_no_place() -> None:
    for has_place, false in [(True, ["f-0", "g-0"]), (False, ["g-0"])]:
        begun = Listener("l", since=4.0, has_place=has_place)
        begun.told_of_gap("f-0", at=5.0)
        begun.told_of_gap("g-0", at=9.0)
        verdict = check(sent(1), [begun], losses=[])
        assert [text.split()[8] for text in verdict.false_gaps] == false, verdict


def test_a_gap_that_leads_back_into_an_epoch_that_was_left_is_false() -> None:
    losses = [(2.0, 20.0)]
    assert check(sent(1), [told(("f-0", 5.0), ("f-3", 6.0), ("g-0", 7.0))], losses=losses).is_clean
    assert len(check(sent(1), [told(("f-0", 5.0), ("e-3", 6.0))], losses=losses).false_gaps) == 1
    assert len(check(sent(1), [told(("f-0", 5.0), ("e-3", 6.0), ("f-0", 7.0))], losses=losses).false_gaps) == 2


PRODUCERS, EACH, LISTENERS = 5, 50_000, 4


@pytest.fixture(scope="module")
def million() -> tuple[list[Sent], list[Listener]]:
    """A million messages that were heard as they should be."""
    emitted = [Sent(f"p{n % PRODUCERS}", n, at=float(n)) for n in range(1, PRODUCERS * EACH + 1)]
    listeners = [Listener(f"l{place}", since=0.0) for place in range(LISTENERS)]
    for made in listeners:
        for message in emitted:
            made.heard(f"e-{message.n}", message.producer, message.n, at=message.at)
    return emitted, listeners


@pytest.mark.slow
@pytest.mark.parametrize("found", [None, "lost", "doubled", "reordered"])
def test_one_message_in_a_million_is_found_out(million: tuple[list[Sent], list[Listener]], found: str | None) -> None:
    emitted, listeners = million
    log = listeners[2]._log
    whole, place = list(log), len(log) // 3
    match found:
        case "lost":
            del log[place]
        case "doubled":
            log.insert(place, log[place])
        case "reordered":
            log[place], log[place + 1] = log[place + 1], log[place]
    try:
        verdict = check(emitted, listeners, losses=[])
    finally:
        log[:] = whole
    assert verdict.messages == 1_000_000 + {"lost": -1, "doubled": 1}.get(found or "", 0)
    assert {name: len(wrong) for name, wrong in verdict.wrong.items() if wrong} == ({found: 1} if found else {})
