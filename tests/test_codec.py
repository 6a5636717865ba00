"""The wire format of an entry, with and without a trace context."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from nitro.brokers import codec
from nitro.brokers.idempotency import IdempotencyKey
from nitro.messages.message import Message, Position
from nitro.otel import NitroInstrumentor

PLACE = Position("e", 1)
TEXT = st.none() | st.text(st.characters(codec="utf-8"), max_size=60)
IDS = st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1)
HEAD = b'[1,"a.b",null,null]'
TRACE = bytes(range(1, 26))


@contextmanager
def instrumented() -> Iterator[None]:
    NitroInstrumentor().instrument()
    try:
        yield
    finally:
        NitroInstrumentor().uninstrument()


def span(trace_id: int, span_id: int, flags: int) -> NonRecordingSpan:
    return NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(flags)))


@given(TEXT, TEXT, st.integers(), *IDS, st.integers(0, 255))
def test_what_is_encoded_within_a_span_is_decoded_with_it(
    sender: str | None, key: str | None, result: int, trace_id: int, span_id: int, flags: int
) -> None:
    payload = b"%d" % result
    own = IdempotencyKey("k", "content", 1.5)
    with instrumented(), use_span(span(trace_id, span_id, flags)):
        body = codec.encode("a.b", sender, payload, key, own)
    message = codec.decode(body, PLACE, len(payload))
    is_sampled = flags & 1
    trace = trace_id.to_bytes(16) + span_id.to_bytes(8) + bytes([flags]) if is_sampled else None
    assert message == Message("a.b", sender, payload, PLACE, key, trace)
    assert message.traceparent == (f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}" if is_sampled else None)
    assert codec.idempotency_key_of(body) == own
    assert len(body) <= codec.BEFORE_PAYLOAD_BYTES + len(payload)
    with use_span(span(trace_id, span_id, flags)):
        without = codec.encode("a.b", sender, payload, key, own)
    assert without[codec.STAMP_BYTES :] == body[codec.STAMP_BYTES + (26 if is_sampled else 0) :]


@pytest.mark.parametrize("stamp", [b"", b"~12345678"], ids=["without a stamp", "with a stamp"])
def test_a_trace_context_stands_between_the_stamp_and_the_line(stamp: bytes) -> None:
    for trace in (TRACE, b"\n" * 25, b"^~[\0" * 6 + b"\0"):
        body = b"%b^%b%b\n7" % (stamp, trace, HEAD)
        assert codec.decode(body, PLACE, 1) == Message("a.b", None, b"7", PLACE, None, trace)
        assert codec.idempotency_key_of(body) is None
    longest = b"%b^%b%b\n7" % (stamp, TRACE, HEAD.ljust(codec.HEAD_BYTES))
    assert len(longest) == codec.BEFORE_PAYLOAD_BYTES + 1 - (codec.STAMP_BYTES - len(stamp))
    assert codec.decode(longest, PLACE, 1).trace == TRACE
    with pytest.raises(ValueError, match="first line"):
        codec.decode(b"%b^%b%b\n7" % (stamp, TRACE, HEAD.ljust(codec.HEAD_BYTES + 1)), PLACE, 1)


SPOILS: dict[str, Callable[[bytes], bytes]] = {
    "one byte short": lambda trace: trace[1:],
    "one byte long": lambda trace: trace + b"1",
    "none": lambda trace: b"",
    "no trace": lambda trace: bytes(16) + trace[16:],
    "no span": lambda trace: trace[:16] + bytes(8) + trace[24:],
    "two": lambda trace: trace + b"^" + trace,
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_wrong_trace_context_is_no_message_and_the_error_says_why(spoil: str) -> None:
    for rest in (HEAD + b"\n7", b""):
        with pytest.raises(ValueError, match="its trace context is not 25 bytes") as raised:
            codec.decode(b"~12345678^" + SPOILS[spoil](TRACE) + rest, PLACE, 1)
        assert not isinstance(raised.value, codec.Unreadable)


def test_entries_of_one_event_share_what_was_decoded_of_their_lines() -> None:
    codec._decode_head.cache_clear()
    for number in range(100):
        codec.decode(b"~%08d^%b%b\n7" % (number, b"%025d" % (10**24 + number), HEAD), PLACE, 1)
    assert codec._decode_head.cache_info().misses == 1
