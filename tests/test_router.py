"""The router finds what a look at each interest would find, and forgets what left."""

from __future__ import annotations

import gc
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from nitro.delivery.interest import Interest
from nitro.delivery.router import Router
from nitro.messages.message import Message

SEGMENT = st.sampled_from(["a", "b", "ab", "c"])
TOPIC = st.lists(SEGMENT, min_size=1, max_size=4).map(".".join)
PATTERN = st.one_of(
    TOPIC, st.lists(st.sampled_from(["a", "b", "*", "a*", "*b", "ab"]), min_size=1, max_size=4).map(".".join)
)
SENDERS = st.one_of(st.none(), st.frozensets(st.sampled_from("xyz"), max_size=2))
INTERESTS = st.builds(
    lambda topics, mutes: Interest.of(topics, set(mutes)),
    st.dictionaries(PATTERN, SENDERS, max_size=4),
    st.lists(PATTERN, max_size=2),
)


@dataclass(eq=False)
class Listener:
    interest: Interest


def message(topic: str, sender: str | None = None) -> Message:
    return Message(topic, sender, b"1", None)


@settings(max_examples=300)
@given(st.lists(INTERESTS, max_size=8), st.lists(st.tuples(TOPIC, st.sampled_from(["x", "y", None])), max_size=5))
def test_routing_agrees_with_asking_every_interest(
    interests: list[Interest], emitted: list[tuple[str, str | None]]
) -> None:
    router: Router[Listener] = Router()
    listeners = [Listener(interest) for interest in interests]
    for listener in listeners:
        router.add(listener)
    gone = listeners[::3]
    for listener in gone:
        router.remove(listener)
    for topic, sender in emitted:
        sent = message(topic, sender)
        expected = {id(each) for each in listeners if each not in gone and each.interest.hears(sent)}
        found = [id(each) for each in router.route(sent)]
        assert len(found) == len(set(found)), "each feed once"
        assert set(found) == expected


@given(st.lists(INTERESTS, max_size=8))
def test_when_all_have_left_the_index_is_empty(interests: list[Interest]) -> None:
    router: Router[Listener] = Router()
    listeners = [Listener(interest) for interest in interests]
    for listener in listeners:
        router.add(listener)
    for listener in reversed(listeners):
        router.remove(listener)
    assert repr(router) == repr(Router())
    assert not router._index


def test_topics_and_senders_are_never_joined_into_one_key() -> None:
    router: Router[Listener] = Router()
    first = Listener(Interest.of({"a_b": frozenset({"c"})}, set()))
    second = Listener(Interest.of({"a": frozenset({"b_c"})}, set()))
    router.add(first)
    router.add(second)
    assert list(router.route(message("a_b", "c"))) == [first]
    assert list(router.route(message("a", "b_c"))) == [second]
    assert list(router.route(message("a_b", "b_c"))) == []
    assert first.interest != second.interest


def test_a_topic_that_one_feed_hears_takes_no_object_of_its_own() -> None:
    interest = Interest.of({f"room.{n}": None for n in range(1_000)}, set())
    router: Router[Listener] = Router()
    gc.collect()
    before = len(gc.get_objects())
    router.add(listener := Listener(interest))
    assert len(gc.get_objects()) - before < 20
    assert list(router.route(message("room.7"))) == [listener]
