"""What processes of two versions may find in one log: the formats that docs/releases.md promises, byte by byte."""

from __future__ import annotations

import pytest

from nitro.brokers import codec
from nitro.brokers.idempotency import IdempotencyKey
from nitro.messages.message import Message, Position
from nitro.messages.presence import PRESENCE, Report
from nitro.messages.row_changes import ROW_CHANGES, RowChanges
from nitro.messages.user_disconnect import USER_DISCONNECT, UserDisconnect

PLACE = Position("e", 1)
PAYLOAD = '{"title":"Milch für Zoë"}'.encode()
KEY = IdempotencyKey("k", "content", 1.5)
WRITTEN: dict[bytes, tuple[str, str | None, bytes, str | None, IdempotencyKey | None]] = {
    b'[1,"todo.created","42","7"]\n' + PAYLOAD: ("todo.created", "42", PAYLOAD, "7", None),
    b'[1,"a",null,null]\n7': ("a", None, b"7", None, None),
    b'[1,"a",null,null,"k","content",1.5]\nnull': ("a", None, b"null", None, KEY),
}
"""Entries of version 0.1 behind their stamps, and what they say. They don't change: a new format has a new number."""


@pytest.mark.parametrize("written", WRITTEN, ids=["with sender and key", "bare", "with an idempotency key"])
def test_an_entry_is_written_and_read_as_version_0_1_does(written: bytes) -> None:
    topic, sender, payload, key, idempotency_key = WRITTEN[written]
    entry = codec.encode(topic, sender, payload, key, idempotency_key)
    assert entry[:1] == b"~"
    assert entry[codec.STAMP_BYTES :] == written
    for stamp in (b"~12345678", b""):
        read = codec.decode(stamp + written, PLACE, 1000)
        assert read == Message(topic, sender, payload, PLACE, key)
        assert codec.idempotency_key_of(stamp + written) == idempotency_key


@pytest.mark.parametrize("number", [0, 2, 17])
def test_an_entry_with_another_number_may_be_an_event_and_is_not_left_out_in_silence(number: int) -> None:
    """`Unreadable` is a gap for clients; `LogConformance` shows that over each broker."""
    for rest in ('"a",null,null]', '"a",null,null,{"new":true}]', "{}]"):
        with pytest.raises(codec.Unreadable, match="reads version 1"):
            codec.decode(f"~12345678[{number},{rest}\n7".encode(), PLACE, 1000)


def test_a_topic_of_nitros_own_that_a_later_version_may_have_is_no_event_of_the_application() -> None:
    with pytest.raises(ValueError, match="reserved") as raised:
        codec.decode(b'~12345678[1,"nitro.of-a-later-version",null,null]\n7', PLACE, 1000)
    assert not isinstance(raised.value, codec.Unreadable)


@pytest.mark.parametrize("text", ["1a-7", "1a-7.00ff00"])
def test_an_id_that_an_earlier_version_has_given_out_is_one(text: str) -> None:
    assert str(Position.parse(text)) == text


def test_an_order_to_disconnect_a_user_is_written_and_read_as_version_0_1_does() -> None:
    assert USER_DISCONNECT == "nitro.dismissal"
    order = UserDisconnect("7", True)
    assert order.payload == b'{"user_id":"7","for_good":true}'
    assert UserDisconnect.parse(order.payload) == order


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"of":"a later version"}', b'["of a later version"]'])
def test_what_nitro_says_to_itself_and_cannot_be_read_is_nothing(payload: bytes) -> None:
    """Its topics are those that a process knows, so that it reaches no client either way."""
    assert {USER_DISCONNECT, ROW_CHANGES, PRESENCE} == {"nitro.dismissal", "nitro.rows", "nitro.presence"}
    for kind in (UserDisconnect, RowChanges, Report):
        assert kind.parse(payload) is None
