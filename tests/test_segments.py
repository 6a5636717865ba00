"""Segments: any id is one segment of a topic, another for each id, and what was plain stays as it is."""

from __future__ import annotations

import re
from enum import StrEnum
from string import ascii_letters, digits
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nitro import segment
from nitro.errors import ArgumentTypeError, InvalidTopic
from nitro.messages.topics import check_pattern, check_topic, matches
from tests.cases import shown
from tests.containment import contains

PLAIN = st.text(ascii_letters + digits + "_-:", min_size=1, max_size=255).filter(
    lambda text: not text.startswith("::") and text != "ANY"
)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
TRICKY = st.text(":a2e.*é", min_size=1, max_size=8)
"""Of the characters that escapes are made of."""
IDS = st.one_of(PLAIN, NAMES, TRICKY)


class Name(StrEnum):
    ADA = "ada@example.org"


class User:
    id = 7


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("ann", "ann"),
        ("a-b_c:7", "a-b_c:7"),
        (":a", ":a"),
        ("nitro", "nitro"),
        (7, "7"),
        (-7, "-7"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("ann@example.org", "::ann:40example:2eorg"),
        ("a.b", "::a:2eb"),
        ("Jürgen", "::J:c3:bcrgen"),
        ("*", ":::2a"),
        ("ANY", "::ANY"),
        ("::a", ":::3a:3aa"),
        (" ", ":::20"),
        ("\0", ":::00"),
        (2.5, "::2:2e5"),
        (Name.ADA, "::ada:40example:2eorg"),
        ("é" * 19, "::" + ":c3:a9" * 19),
        ("é" * 20, "::::9crP-2MrtJRzBBIyZ667GGYBdzCc_LWgJQOxu_VeoxI"),
    ],
)
def test_an_id_has_this_segment(value: Any, expected: str) -> None:
    assert segment(value) == expected


@given(PLAIN)
@example("a" * 255)
def test_a_plain_id_is_itself(value: str) -> None:
    assert segment(value) == value


@given(IDS)
@example("x" * 10_000)
@example("*" * 10_000)
def test_a_segment_is_one_segment_of_a_topic_and_of_a_pattern(value: str) -> None:
    found = segment(value)
    assert not set(found) & {".", "*"}
    assert len(found) <= max(120, len(value) if found == value else 0)
    if found != "nitro":
        assert check_topic(found) == check_pattern(found) == found
        assert matches(found, found)
    assert check_topic("user.x" if len(found) > 249 else f"user.{found}")


@given(IDS, IDS)
@example("a.b", "::a:2eb")
@example("ANY", "::ANY")
@example("é" * 100, "é" * 101)
@example("é" * 100, segment("é" * 100))
@example("*", ":2a")
@example("::", ":")
def test_different_ids_have_different_segments(one: str, other: str) -> None:
    assert (segment(one) == segment(other)) == (one == other)


@given(st.one_of(NAMES, TRICKY))
def test_a_segment_that_is_no_hash_can_be_read_back(value: str) -> None:
    found = segment(value)
    if not found.startswith("::::"):
        escaped = found.removeprefix("::").encode() if found.startswith("::") else None
        plain = (
            found.encode()
            if escaped is None
            else re.sub(rb":(..)", lambda hit: bytes.fromhex(hit[1].decode()), escaped)
        )
        assert plain.decode() == value


@given(IDS)
def test_no_name_is_written_as_the_hash_of_a_longer_one(value: str) -> None:
    """`::::` begins a hash alone: behind `::` stands a plain character, or `:` and a hexadecimal digit."""
    found = segment(value)
    assert found.startswith("::::") == (found[2:4] == "::" and len(found) == 47)


@given(IDS, IDS)
def test_nobody_is_granted_what_is_anothers(one: str, other: str) -> None:
    mine, theirs = (f"u.{segment(name)}.*" for name in (one[:60], other[:60]))
    assert contains(mine, theirs) == (one[:60] == other[:60])


@pytest.mark.parametrize("value", [None, "", "\ud800", "a\udfffb"])
def test_nobody_and_what_is_no_text_have_no_segment(value: Any) -> None:
    with pytest.raises(InvalidTopic) as refusal:
        segment(value)
    assert str(refusal.value).isascii()


@pytest.mark.parametrize("value", [User(), object(), [7], {"id": 7}, b"7", True, len, User], ids=shown)
def test_what_is_no_id_has_no_segment_and_says_where_the_id_is(value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"segment\(user.id\)"):
        segment(value)
