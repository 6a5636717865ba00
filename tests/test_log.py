"""The memory broker's log: positions, retention, and what can be read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nitro.brokers.base import PositionLost, Retention
from nitro.brokers.memory import MemoryBroker
from nitro.messages.message import Message, Position
from nitro.testing.conformance import Heard


def log(
    *, max_messages: int = 100, max_bytes: int = 10_000, max_age_seconds: float = 60
) -> tuple[MemoryBroker, list[Message]]:
    heard = Heard()
    broker = MemoryBroker(Retention(max_messages, max_bytes, max_age_seconds))
    broker.start(heard)
    return broker, heard.messages


def test_messages_are_delivered_and_read_in_the_order_of_their_positions() -> None:
    broker, delivered = log()
    start = broker.head
    for n in range(5):
        broker.publish("a.b", None, str(n).encode())
    assert [message.payload for message in delivered] == [b"0", b"1", b"2", b"3", b"4"]
    assert list(broker.read(start, 1_000)) == delivered
    assert [message.position.sequence for message in delivered if message.position] == [1, 2, 3, 4, 5]
    assert broker.read(broker.head, 1_000) == []


def test_retention_by_count_forgets_the_oldest_and_says_so() -> None:
    broker, delivered = log(max_messages=3)
    start = broker.head
    for _ in range(5):
        broker.publish("a.b", None, b"1")
    with pytest.raises(PositionLost) as caught:
        broker.read(start, 1_000)
    assert caught.value.reason == "expired"
    assert broker.read(Position(start.epoch, 2), 1_000) == delivered[2:]


def test_retention_by_bytes_forgets_the_oldest() -> None:
    broker, delivered = log(max_bytes=100)
    for _ in range(5):
        broker.publish("a.b", None, b"x" * 40)
    assert broker.read(Position(broker.head.epoch, 3), 1_000) == delivered[3:]
    with pytest.raises(PositionLost):
        broker.read(Position(broker.head.epoch, 2), 1_000)


def test_retention_by_age_forgets_what_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("nitro.brokers.history.monotonic", lambda: now)
    broker, _ = log(max_age_seconds=60)
    start = broker.head
    broker.publish("a.b", None, b"1")
    now += 59
    assert len(broker.read(start, 1_000)) == 1
    now += 2
    with pytest.raises(PositionLost):
        broker.read(start, 1_000)


def test_another_epoch_and_a_future_position_are_refused() -> None:
    broker, _ = log()
    other, _ = log()
    with pytest.raises(PositionLost, match="epoch"):
        broker.read(other.head, 1_000)
    with pytest.raises(PositionLost, match="invalid"):
        broker.read(Position(broker.head.epoch, 1), 1_000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "$",
        ">",
        "-",
        "+",
        "１-1",
        "a-1_0",
        "a-+5",
        " a-5",
        "a-5 ",
        "a-5\n",
        "a-05",
        "a-" + "9" * 30,
        "A-1",
        "é-1",
    ],
)
def test_what_is_no_position_is_none_and_never_an_error(text: str) -> None:
    assert Position.parse(text) is None


@given(st.text("0123456789abcdef", min_size=1, max_size=16), st.integers(0, 10**18))
def test_a_position_survives_its_text(epoch: str, sequence: int) -> None:
    position = Position(epoch, sequence)
    assert str(position).isascii()
    assert Position.parse(str(position)) == position


def test_a_page_is_the_oldest_of_what_is_wanted() -> None:
    broker, delivered = log()
    start = broker.head
    for _ in range(5):
        broker.publish("a.b", None, b"1")
    assert broker.read(start, 2) == delivered[:2]
    assert broker.read(Position(start.epoch, 2), 2) == delivered[2:4]
    assert broker.read(Position(start.epoch, 4), 2) == delivered[4:]
