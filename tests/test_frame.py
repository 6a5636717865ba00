"""Frames: what a parser that follows the standard reads is what was sent."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nitro.delivery.frame import (
    Beat,
    Frame,
    WireFormat,
    encode_event,
    encode_opening,
    encode_retry,
    named,
    unnamed,
)
from nitro.errors import InvalidField, InvalidTopic
from nitro.messages.message import Gap, Message, Position
from nitro.messages.topics import check_pattern, check_topic
from nitro.sse.wire_formats import text_named


@dataclass
class Parser:
    """The WHATWG HTML standard's section 9.2.6, step by step."""

    events: list[tuple[str, str, str]] = field(default_factory=list)  # type, data, last id
    retry: int | None = None
    last_id: str = ""
    _buffer: bytes = b""
    _data: list[str] = field(default_factory=list)
    _type: str = ""
    _started: bool = False

    def feed(self, chunk: bytes) -> None:
        self._buffer += chunk
        while (found := re.search(rb"\r\n|\r(?!\Z)|\n", self._buffer)) is not None:
            line, self._buffer = self._buffer[: found.start()], self._buffer[found.end() :]
            text = line.decode()
            if not self._started:
                text = text.removeprefix("\ufeff")
                self._started = True
            self._line(text)

    def _line(self, line: str) -> None:
        if not line:
            self._dispatch()
            return
        name, colon, value = line.partition(":")
        if colon and not name:
            return
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry = int(value)

    def _dispatch(self) -> None:
        if self._data:
            self.events.append((self._type or "message", "\n".join(self._data), self.last_id))
        self._data, self._type = [], ""


def parsed(stream: bytes, cuts: list[int]) -> Parser:
    parser = Parser()
    places = sorted({cut % (len(stream) + 1) for cut in cuts})
    for start, end in zip([0, *places], [*places, len(stream)], strict=True):
        parser.feed(stream[start:end])
    return parser


def as_read(text: str) -> str:
    """Line ends become `\\n`; nothing else changes."""
    return re.sub(r"\r\n|\r|\n", "\n", text)


TEXT = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("\r\n\0: \u2028\x85\v\f\ufeff")))
NAME = st.text("abc._-:", min_size=1, max_size=9)
EVENTS = st.lists(st.tuples(TEXT, st.none() | NAME, st.none() | NAME), max_size=5)


@given(EVENTS, st.lists(st.integers(0, 10_000), max_size=8))
def test_a_standard_parser_reads_what_was_sent_under_any_chunking(
    events: list[tuple[str, str | None, str | None]], cuts: list[int]
) -> None:
    stream = encode_opening(Position("e", 0), 10)
    expected = []
    last_id = "e-0"
    for text, name, id_ in events:
        stream += encode_event(text.encode(), id=id_, event=name)
        last_id = last_id if id_ is None else id_
        expected.append((name or "message", as_read(text), last_id))
    assert parsed(stream, cuts).events == expected


@pytest.mark.parametrize(
    "text",
    ["a\r\nb", "a\rb", "a\nb", "a\n", "a\u2028b", "a\x85b", "a\vb", " a", "\ufeffa", "", "\n", ":a", "data: x"],
)
def test_text_with_line_ends_and_lookalikes_arrives_as_it_was(text: str) -> None:
    assert parsed(encode_event(text.encode()), []).events == [("message", as_read(text), "")]


def test_a_payload_cannot_start_a_second_event() -> None:
    sent = "x\n\nevent: admin\ndata: y"
    assert parsed(encode_event(sent.encode()), []).events == [("message", sent, "")]


@pytest.mark.parametrize("bad", ["a\rb", "a\nb", "a\0b", "\n"])
def test_cr_lf_and_nul_never_reach_id_or_event(bad: str) -> None:
    with pytest.raises(InvalidField):
        encode_event(b"1", id=bad)
    with pytest.raises(InvalidField):
        encode_event(b"1", event=bad)


def test_an_id_is_ascii() -> None:
    with pytest.raises(InvalidField):
        encode_event(b"1", id="é")


@pytest.mark.parametrize("bad", [-1, 1.5, True, "1e3", None, 2**31, 10**400])
def test_retry_is_a_whole_number_of_milliseconds(bad: object) -> None:
    with pytest.raises(InvalidField):
        encode_retry(bad)  # type: ignore[arg-type]


def test_the_opening_moves_the_last_id_and_dispatches_nothing() -> None:
    parser = parsed(encode_opening(Position("e", 7), 1500), [])
    assert (parser.events, parser.last_id, parser.retry) == ([], "e-7", 1500)


def test_a_heartbeat_moves_the_last_id_and_dispatches_nothing() -> None:
    parser = parsed(Beat(Position("e", 8), is_known=False).encode(named), [])
    assert (parser.events, parser.last_id) == ([], "e-8")


def test_a_heartbeat_that_moves_nothing_is_a_comment_and_no_block() -> None:
    assert Beat(Position("e", 8), is_known=True).encode(named) == b":\n"


def test_a_frame_is_unnamed_or_carries_its_topic() -> None:
    frame = Frame(Message("todo.created", "me", b'{"a":1}', Position("e", 3)))
    assert frame.encode(unnamed) == b'id: e-3\ndata: {"a":1}\n\n'
    assert frame.encode(named) == b'id: e-3\nevent: todo.created\ndata: {"a":1}\n\n'
    assert frame.encode(named) is frame.encode(named), "framed once"


@pytest.mark.parametrize("form", [named, text_named])
@pytest.mark.parametrize("topic", ["gap", "error", "open", "message"])
def test_a_topic_that_pages_hear_other_news_under_has_a_name_that_no_other_topic_has(
    form: WireFormat, topic: str
) -> None:
    check_topic(topic)
    frames = [Frame(Message(name, "me", b"1", Position("e", 1))) for name in (topic, f"{topic}.a", topic.title())]
    sent = b"".join(frame.encode(form) for frame in [*frames, Frame(Gap("epoch", Position("e", 2)))])
    assert [kind for kind, _, _ in parsed(sent, []).events] == [f".{topic}", f"{topic}.a", topic.title(), "gap"]
    for check in (check_topic, check_pattern):
        with pytest.raises(InvalidTopic):
            check(f".{topic}")


def test_the_sender_never_reaches_the_wire() -> None:
    frame = Frame(Message("a.b", "secret-sender", b"1", Position("e", 1)))
    assert b"secret" not in frame.encode(named) + frame.encode(unnamed)
