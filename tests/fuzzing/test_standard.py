"""The judge of everything that is sent reads the standards' own examples as they say."""

from __future__ import annotations

import itertools

import pytest

from tests.fuzzing.grammar import is_pattern, is_topic, matches, outside
from tests.fuzzing.standard import pairs, read


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "")]),
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            [("message", "first event", "1"), ("message", "second event", ""), ("message", " third event", "")],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [("message", "", ""), ("message", "\n", "")]),
        (b"data:test\n\ndata: test\n\n", [("message", "test", "")] * 2),
        (
            b"\xef\xbb\xbfevent: add\r\ndata: 1\r\rid: a\0b\n\nevent: x\n\ndata: 2\r\n\r\n",
            [("add", "1", ""), ("message", "2", "")],
        ),
    ],
)
def test_server_sent_events_are_read_as_in_the_examples_of_the_standard(
    stream: bytes, expected: list[tuple[str, str, str]]
) -> None:
    assert read(stream).events == expected


def test_an_event_without_its_empty_line_is_not_read_and_is_told_of() -> None:
    for left in (b"data: a\n", b"event: a\n", b"dat"):
        reading = read(b"data: 1\n\n" + left)
        assert (len(reading.events), reading.is_between_events) == (1, False)


def test_a_query_is_read_as_a_form() -> None:
    assert pairs(b"a=b+c&&%61=%C3%A9&d&=e&f=%zz=%") == [("a", "b c"), ("a", "é"), ("d", ""), ("", "e"), ("f", "%zz=%")]


def test_a_star_stands_for_one_character_or_more() -> None:
    assert matches("a*c", "abc")
    assert matches("*", "a.b")
    assert matches("*a*a", "aaaa")
    assert not matches("a*", "a")
    assert not matches("a**b", "acb")
    assert not matches("a.c", "abc")


def test_topics_and_patterns_are_told_from_other_texts() -> None:
    assert is_topic("todo.7:a_b-C")
    assert is_pattern("*.a*")
    for text in ("", ".", "a.", "a..b", "a b", "é", "a\n", "nitro", "nitro.a", "a" * 256):
        assert not is_topic(text)
        assert not is_pattern(text)
    assert not is_topic("a*")
    assert not is_topic("ANY")


def test_a_topic_outside_of_others_is_found_exactly_where_trying_all_short_ones_finds_it() -> None:
    texts = [text for length in range(1, 7) for text in map("".join, itertools.product("a.c", repeat=length))]
    topics = [text for text in texts if is_topic(text)]
    texts = [text for length in range(1, 5) for text in map("".join, itertools.product("a.*", repeat=length))]
    heard = {text: {topic for topic in topics if matches(text, topic)} for text in texts if is_pattern(text)}
    for pattern, other in itertools.product(heard, repeat=2):
        found = outside(pattern, [other])
        assert (found is None) == (heard[pattern] <= heard[other]), (pattern, other)
        assert found is None or found in heard[pattern] - heard[other]
    assert outside("a*", ["aa", "a*c"]) == "ac"
    assert outside("a*", ["aa", "*"]) is None
    assert outside("*", []) == "c"
