"""Topics and patterns: what is refused, and what matches what."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nitro.errors import InvalidTopic, NitroError, TopicTypeError
from nitro.messages.topics import check_pattern, check_patterns, check_topic, matches

NAMES = st.text("ab_-:1", min_size=1, max_size=3)
TOPICS = st.lists(NAMES, min_size=1, max_size=4).map(".".join)
PATTERNS = st.lists(st.text("ab*", min_size=1, max_size=4), min_size=1, max_size=4).map(".".join)


@pytest.mark.parametrize("name", ["", ".", ".a", "a.", "a..b"])
def test_an_empty_segment_is_refused_in_topics_and_patterns(name: str) -> None:
    for check in (check_topic, check_pattern):
        with pytest.raises(InvalidTopic):
            check(name)


def outcome_of(check: Callable[[], Sequence[str]]) -> list[str] | str:
    try:
        return list(check())
    except InvalidTopic as error:
        return str(error)


@given(
    st.lists(
        st.text("a*.,-é\n", max_size=4) | st.sampled_from(["ANY", "nitro", "nitro.a", "anitro", "a" * 256]), max_size=4
    )
)
@example(["a,b"])
@example(["a", ""])
@example(["a.", ".b"])
@example(["a*", "*b"])
def test_many_patterns_are_checked_as_each_is(patterns: list[str]) -> None:
    each = outcome_of(lambda: [check_pattern(pattern) for pattern in patterns])
    assert outcome_of(lambda: check_patterns(patterns)) == each


@pytest.mark.parametrize(
    "name",
    ["a b", "a\tb", "a\0", "a\r", "a\n", "a\u2028b", "a\u202eb", "a\u200bb", "\ufeffa", "é", "\ud800", "１"],
)
def test_a_character_outside_the_grammar_is_refused_by_its_place(name: str) -> None:
    for check in (check_topic, check_pattern):
        with pytest.raises(InvalidTopic, match=r"at character \d+") as caught:
            check(name)
        assert str(caught.value).isascii(), "what a stranger sends stays escaped"


@pytest.mark.parametrize("name", ["#", "+", ">", "[a]", "(a+)+$", "?", "!a"])
def test_the_wildcards_of_other_systems_are_refused(name: str) -> None:
    for check in (check_topic, check_pattern):
        with pytest.raises(InvalidTopic):
            check(name)


def test_errors_are_value_errors_under_the_one_root() -> None:
    with pytest.raises(ValueError, match="character 2") as caught:
        check_topic("a b")
    assert isinstance(caught.value, NitroError)


@pytest.mark.timed
@pytest.mark.parametrize("length", [256, 10_000, 10_000_000])
def test_a_name_over_255_characters_is_refused_at_once(length: int) -> None:
    name = "a" * length
    began = time.perf_counter()
    with pytest.raises(InvalidTopic, match="255"):
        check_topic(name)
    assert time.perf_counter() - began < 0.5
    assert check_topic("a" * 255) == "a" * 255


@pytest.mark.parametrize("name", [b"todo", 1, None, ["todo"], {"a": 1}, object()])
def test_what_is_no_string_is_a_type_error(name: object) -> None:
    for check in (check_topic, check_pattern):
        with pytest.raises(TopicTypeError):
            check(name)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            check(name)  # type: ignore[arg-type]


def test_a_pattern_names_no_event() -> None:
    with pytest.raises(InvalidTopic, match="pattern"):
        check_topic("todo.*")


def test_any_names_no_event_and_as_a_pattern_means_every_topic() -> None:
    with pytest.raises(InvalidTopic, match="every topic"):
        check_topic("ANY")
    assert check_pattern("ANY") == "*"
    assert check_topic("ANY.thing") == "ANY.thing"


@pytest.mark.parametrize("name", ["nitro", "nitro.x", "nitro.x.y"])
def test_names_under_nitro_are_reserved(name: str) -> None:
    with pytest.raises(InvalidTopic, match="reserved"):
        check_topic(name)
    assert check_topic("nitrogen.low") == "nitrogen.low"


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("*", "a", True),
        ("*", "a.b.c", True),
        ("todo.*", "todo.created", True),
        ("todo.*", "todo.item.created", True),
        ("todo.*", "todo", False),
        ("todo.*", "todos.created", False),
        ("todo.*", "TODO.created", False),
        ("*.created", "todo.created", True),
        ("*.created", "a.b.created", True),
        ("*.created", "created", False),
        ("order-*", "order-7", True),
        ("order-*", "order-7.paid", True),
        ("order-*", "order-", False),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.c", False),
        ("a*a", "aa", False),
        ("a*a", "aba", True),
        ("todo.created", "todo.created", True),
        ("todo.created", "todo.create", False),
    ],
)
def test_a_star_stands_for_one_or_more_characters_dots_included(pattern: str, topic: str, expected: bool) -> None:
    assert matches(pattern, topic) is expected


@given(PATTERNS, TOPICS)
@example("*a*a*", "aaaaa")
@example("a*b*ab", "aab.ab")
def test_matching_agrees_with_a_naive_reference(pattern: str, topic: str) -> None:
    naive = "".join(".+" if char == "*" else re.escape(char) for char in pattern)
    assert matches(pattern, topic) == (re.fullmatch(naive, topic) is not None)


@pytest.mark.parametrize("name", ["**", "todo.**", "a.***.b", "*" * 200 + "b"])
def test_two_stars_side_by_side_are_refused_with_what_one_means(name: str) -> None:
    with pytest.raises(
        InvalidTopic, match=r"'\*\*' at character \d+; write '\*', which stands for one or more characters"
    ):
        check_pattern(name)
    assert check_pattern(name.replace("*" * name.count("*"), "*")).count("*") == 1


@pytest.mark.parametrize("pattern", ["a*" * 100 + "b", "*a" * 100 + "b", "a*" * 127 + "b"])
def test_a_hostile_pattern_is_decided_in_under_a_millisecond(pattern: str) -> None:
    topic = "a" * 255
    took = []
    for _ in range(5):
        began = time.perf_counter()
        assert not matches(pattern, topic)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.001
