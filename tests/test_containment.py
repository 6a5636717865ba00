"""Containment: whether a grant has all that a pattern asks for. Judged by trying, which the code never does."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nitro.access.permissions import Permissions
from nitro.errors import InvalidTopic
from nitro.messages.topics import check_pattern, matches
from tests.containment import contains, granting

FRESH = "xyz"
"""Letters that no generated pattern holds."""


def is_pattern(text: str) -> bool:
    try:
        return check_pattern(text) == text
    except InvalidTopic:
        return False


patterns = st.text("ab.*", min_size=1, max_size=7).filter(is_pattern)


def topics_of(pattern: str) -> list[str]:
    """Topics that `pattern` matches: each star as the texts that could make a difference."""
    stars = pattern.count("*")
    fillings = ["a", "b", "x", "aa", "ab", "ba", "a.b", "x.y", "xax", "xbx", "xyzxyz"]
    fillings = fillings[: {0: 1, 1: 11, 2: 11, 3: 8}.get(stars, 4)]
    found = []
    for filling in itertools.product(fillings, repeat=stars):
        parts = pattern.split("*")
        topic = parts[0] + "".join(text + part for text, part in zip(filling, parts[1:], strict=True))
        assert matches(pattern, topic)
        found.append(topic)
    return found


@settings(max_examples=1500, deadline=None)
@given(patterns, patterns)
@example("*", "**")
@example("a*", "a.*")
@example("a.*", "a*")
@example("*a*", "*a*a*")
@example("*aa*", "*a*a*")
@example("*.a", "*.*.a")
@example("a*a", "aa")
def test_a_pattern_is_contained_exactly_if_every_topic_of_it_is_granted(grant: str, pattern: str) -> None:
    assert contains(grant, pattern) == all(matches(grant, topic) for topic in topics_of(pattern))


@settings(max_examples=500, deadline=None)
@given(st.lists(patterns, max_size=4), patterns)
def test_of_several_grants_one_alone_contains_it_or_none_does(grants: list[str], pattern: str) -> None:
    expected = all(any(matches(grant, topic) for grant in grants) for topic in topics_of(pattern))
    assert [permissions.cover(pattern, None) for permissions in granting(*grants)] == [expected, expected]


@pytest.mark.alone
def test_it_takes_microseconds_for_the_worst_of_patterns() -> None:
    worst = *granting("a*" * 120 + "b"), Permissions.of(dict.fromkeys(["a*" * n + "b" for n in range(1, 50)]), {})
    for permissions in (*worst, Permissions.of(dict.fromkeys([f"{'*' * n}b" for n in range(1, 50)]), {})):
        for asked, is_covered in (("a*" * 126 + "a", False), ("user.7.*", False), ("a*" * 126 + "b", True)):
            assert permissions.cover(asked, None) is is_covered
            began = time.perf_counter()
            for _ in range(100):
                permissions.cover(asked, None)
            took = (time.perf_counter() - began) / 100
            assert took < 0.001, f"{took * 1e6:.0f} us"


@pytest.mark.parametrize(
    ("allowed", "asked", "senders", "covered"),
    [
        ({"order.*": None}, "order.placed", None, True),
        ({"order.*": None}, "order.placed", {"7"}, True),
        ({"order.*": {"7"}}, "order.placed", None, True),  # those senders that are allowed
        ({"order.*": {"7"}}, "order.placed", {"7"}, True),
        ({"order.*": {"7"}}, "order.placed", {"8"}, False),
        ({"order.*": {"7"}}, "order.placed", {"7", "8"}, False),
        ({"order.*": {"7"}, "order.placed": {"8"}}, "order.placed", {"7", "8"}, True),
        ({"order.*": {"7"}, "order.placed": {"8"}}, "order.*", {"7", "8"}, False),
        ({"order.*": {"7"}, "*": None}, "order.*", {"8"}, True),
        ({"order.*": set()}, "order.placed", None, True),
        ({}, "order.placed", None, False),
    ],
)
def test_senders_are_contained_too(
    allowed: dict[str, set[str] | None], asked: str, senders: set[str] | None, covered: bool
) -> None:
    granted = {pattern: None if keys is None else frozenset(keys) for pattern, keys in allowed.items()}
    asked_for = None if senders is None else frozenset(senders)
    assert Permissions.of(granted, {}).cover(asked, asked_for) is covered
