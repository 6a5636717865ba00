"""The index of patterns finds what a look at each would find, with fewer looks, and forgets what left."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nitro.access.permissions import Permissions, without_contained
from nitro.delivery.interest import Interest
from nitro.delivery.router import Router
from nitro.messages.pattern_index import PatternIndex, compared_among
from nitro.messages.topics import matches
from tests.test_router import Listener, message

PATTERNS = st.text("ab.*", min_size=1, max_size=9).filter(
    lambda text: "**" not in text and ".." not in text and not text.startswith(".") and not text.endswith(".")
)


@settings(max_examples=500)
@given(st.sets(PATTERNS, max_size=20), st.sets(PATTERNS, max_size=5), st.lists(PATTERNS, max_size=5))
def test_it_finds_the_patterns_that_match_or_contain(kept: set[str], gone: set[str], asked: list[str]) -> None:
    index = PatternIndex.of((pattern, pattern) for pattern in kept | gone)
    for pattern in gone - kept:
        index.remove(pattern)
    assert {pattern for pattern in kept | gone if index.get(pattern)} == kept
    for each in asked:
        found = index.matching(each)
        assert sorted(found) == sorted(pattern for pattern in kept if matches(pattern, each))


@given(st.sets(PATTERNS, max_size=20))
def test_when_all_are_removed_nothing_is_left(patterns: set[str]) -> None:
    index = PatternIndex.of((pattern, 1) for pattern in patterns)
    assert bool(index) == bool(patterns)
    for pattern in patterns:
        index.remove(pattern)
    assert not index
    assert repr(index) == repr(PatternIndex[int]())
    assert not index._beginnings.lengths


def test_a_pattern_with_one_star_is_never_compared() -> None:
    index = PatternIndex.of((f"todo.{n}*{n}", n) for n in range(1000))
    assert index.matching("todo.17.of.17") == [17]
    assert index.compared == 0
    assert not compared_among([f"todo.{n}*{n}" for n in range(1000)])


def test_of_many_patterns_with_several_stars_only_those_are_compared_that_nearly_match() -> None:
    topic = "todo.order.placed.by.customer.17"
    shapes = {
        "other ends": [f"todo.*o*r*e*{n:03d}x" for n in range(900)],
        "other beginnings": [f"todo.{n:03d}*o*r*e" for n in range(900)],
        "other literals between": [f"todo.*o*{n:03d}*r*" for n in range(900)],
    }
    for name, patterns in shapes.items():
        index = PatternIndex.of((pattern, pattern) for pattern in patterns)
        assert index.matching(topic) == [], name
        assert index.compared <= 3, "to see that 900 literals aren't there costs about three comparisons"
    numbered = PatternIndex.of((f"todo.*{n:02d}*", n) for n in range(100))
    assert numbered.matching("todo.order.42.placed") == [42]
    assert numbered.compared == 2, "one, and the look for which"


@given(st.dictionaries(PATTERNS, st.sampled_from([None, frozenset({"x"})]), max_size=6), st.lists(PATTERNS, max_size=8))
def test_what_another_pattern_contains_is_left_out_and_nothing_else_is_heard(
    patterns: dict[str, frozenset[str] | None], asked: list[str]
) -> None:
    kept = dict(without_contained(patterns))
    assert kept.items() <= patterns.items()
    for each in asked:
        for sender in ("x", "y"):
            expected = any(matches(pattern, each) and (to is None or sender in to) for pattern, to in patterns.items())
            assert expected == any(
                matches(pattern, each) and (to is None or sender in to) for pattern, to in kept.items()
            )


def test_clients_who_ask_for_the_same_in_other_words_share_a_feed() -> None:
    permissions = Permissions.of({"todo.*": None, "todo.a*": None}, {})
    assert permissions == Permissions.of({"todo.*": None}, {})
    one = Interest.of({"todo.*": None, "todo.a*b": None, "*.todo.*": frozenset({"x"})}, set(), permissions)
    assert one == Interest.of({"todo.*": None, "*.todo.*": frozenset({"x"})}, set(), permissions)


def test_an_emit_beside_two_hundred_strangers_who_ask_for_all_they_may_compares_what_nearly_matches() -> None:
    router: Router[Listener] = Router()
    for stranger in range(200):
        patterns = [f"todo.*a*b*c*d{stranger:03d}{n:02d}" for n in range(50)]
        router.add(Listener(Interest.of(dict.fromkeys(patterns), set())))
    good = Listener(Interest.of({"todo.*": None}, set()))
    router.add(good)
    assert list(router.route(message("todo.aaaabbbbccccdddd"))) == [good]
    assert router.compared == 0
