"""Rows 1 to 15 of docs/reference/bad-inputs.md: topics and patterns, in each place that takes one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

import nitro
from nitro import ANY, Client, Event, Gap, Grant, Message, emit, emit_async, event, on
from nitro.errors import InvalidTopic, TooManyTopics, TopicTypeError
from nitro.messages.topics import matches
from tests.bad_inputs.places import heard_alone, refusals
from tests.bad_inputs.witnesses import Bystander
from tests.specification.hearing import heard_by, run


@pytest.mark.bad_input(1)
@pytest.mark.parametrize(("name", "place"), [("", 0), (".", 1), (".a", 1), ("a.", 2), ("a..b", 3)])
def test_a_name_with_an_empty_segment_is_refused_by_its_place(name: str, place: int, bystander: Bystander) -> None:
    says = f"empty segment at character {place}; put a name" if name else "is empty; use ASCII letters"
    for text in refusals(name, InvalidTopic):
        assert says in text
    bystander.lives_on()


@pytest.mark.bad_input(2)
@pytest.mark.parametrize("char", " \t\0\r\n\u2028\u202e\u200b\ufeffé\ud800", ids=ascii)
def test_a_character_outside_the_grammar_is_refused_by_its_place_and_never_shown_raw(
    char: str, bystander: Bystander
) -> None:
    for name, place in ((f"todo{char}", 5), (f"a{char}b", 2), (char, 1)):
        for text in refusals(name, InvalidTopic):
            assert f"{char!a} at character {place}; use ASCII letters" in text
            assert text.isascii()
            assert text.isprintable()
    bystander.lives_on()


@pytest.mark.bad_input(3)
@pytest.mark.parametrize(
    ("name", "char", "place"),
    [("#", "#", 1), ("+", "+", 1), (">", ">", 1), ("[a]", "[", 1), ("(a+)+$", "(", 1), ("?", "?", 1), ("!a", "!", 1)],
)
def test_a_wildcard_of_another_system_is_refused(name: str, char: str, place: int, bystander: Bystander) -> None:
    for text in refusals(name, InvalidTopic):
        assert f"'{char}' at character {place}; use ASCII letters" in text
    bystander.lives_on()


@pytest.mark.bad_input(3)
@pytest.mark.parametrize("name", ["**", "todo.**", "a.**.b", "***"])
def test_two_stars_side_by_side_are_refused_with_what_one_means(name: str, bystander: Bystander) -> None:
    for text in refusals(name, InvalidTopic):
        is_where_no_pattern_is_taken = "an event has one exact name" in text
        assert is_where_no_pattern_is_taken or "write '*', which stands for one or more characters" in text
    bystander.lives_on()


@pytest.mark.bad_input(4)
@pytest.mark.parametrize("length", [256, 10_000])
def test_a_name_that_is_too_long_is_refused_at_once_and_in_short(length: int, bystander: Bystander) -> None:
    assert event("a" * 255).name == "a" * 255
    name, times = "a" * length, []
    for _ in range(5):
        began = time.perf_counter()
        texts = refusals(name, InvalidTopic)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.02, "in all of the places together"
    for text in texts:
        assert f"has {length} characters; at most 255 are allowed" in text
        assert len(text) < 200
    bystander.lives_on()


@pytest.mark.bad_input(5)
@pytest.mark.parametrize(
    ("topic", "is_heard"),
    [("a" * 255, False), ("a" * 254 + "b", True), ("a" * 200 + "b", True), ("a" * 199 + "b", False)],
)
def test_a_hostile_pattern_is_decided_within_a_millisecond(topic: str, is_heard: bool, bystander: Bystander) -> None:
    pattern, times = "a*" * 100 + "b", []
    for _ in range(50):
        began = time.perf_counter()
        assert matches(pattern, topic) is is_heard
        times.append(time.perf_counter() - began)
    assert min(times) < 0.001
    assert heard_alone(Client(topics=[pattern]), topic) == [topic] * is_heard
    assert heard_alone(Client(topics=["*"], muted_topics=[pattern]), topic) == [topic] * (not is_heard)
    bystander.lives_on(topic, topic)


@pytest.mark.bad_input(6)
@pytest.mark.parametrize("pattern", ["todo.*", "*", "*.created", "t*o"])
def test_an_emit_to_a_pattern_is_refused_and_calls_nobody(pattern: str, bystander: Bystander) -> None:
    called: list[object] = []
    emits: list[Callable[[], object]] = [
        lambda: emit(pattern, result=1),
        lambda: asyncio.run(emit_async(pattern, result=1)),
        lambda: emit(Event(pattern), result=1),
        lambda: emit(nitro.default_namespace.pattern(pattern), result=1),
    ]
    hear = on(pattern, condition=lambda sender, **_: sender != "system")(lambda sender, **_: called.append(sender))
    for emitting in emits:
        with pytest.raises(InvalidTopic, match=r"is a pattern.*only"):
            emitting()
    nitro.default_namespace.pattern(pattern).disconnect(hear)
    assert called == []
    bystander.lives_on()


@pytest.mark.bad_input(7)
@pytest.mark.parametrize("name", [b"todo", 1, None], ids=repr)
def test_what_is_no_string_is_a_type_error(name: Any, bystander: Bystander) -> None:
    for text in refusals(name, TopicTypeError):
        assert f"not {type(name).__name__}" in text
        assert "is a string" in text
    bystander.lives_on()


@pytest.mark.bad_input(8)
@pytest.mark.parametrize("topics", ["abc", "todo.*"])
def test_a_bare_string_is_one_topic(topics: str, bystander: Bystander) -> None:
    client = Client(topics=topics, allowed=topics)
    assert client.topics == {topics: ANY}
    assert heard_alone(client, "abc", "todo.a", "a", "b", "c", "t") == [{"abc": "abc", "todo.*": "todo.a"}[topics]]
    assert Client(muted_topics=topics).muted_topics == [topics]
    assert list(Grant(topics).allowed) == [topics]
    bystander.lives_on("abc", "todo.a", "a", "b", "c", "t")


@pytest.mark.bad_input(9)
@pytest.mark.parametrize("topics", [[], (), {}, set()], ids=repr)
def test_no_topics_hear_nothing(topics: Any, bystander: Bystander) -> None:
    for client in (Client(topics=topics), Client(topics=ANY, allowed=topics)):
        assert client.topics == {}
        assert heard_alone(client, "a", "a.b") == []
    bystander.lives_on("a", "a.b", "a", "a.b")


@pytest.mark.bad_input(10)
@pytest.mark.parametrize("topic", ["TODO.created", "Todo.created", "todO.created"])
def test_another_case_is_another_topic(topic: str, bystander: Bystander) -> None:
    assert heard_alone(Client(topics=["todo.*"]), topic, "todo.created") == ["todo.created"]
    assert heard_alone(Client(topics=[topic]), topic, "todo.created") == [topic]
    assert heard_alone(Client(topics=["*"], muted_topics=["todo.*"]), topic, "todo.created") == [topic]
    bystander.lives_on(*[topic, "todo.created"] * 3)


@pytest.mark.bad_input(11)
@pytest.mark.parametrize(
    "topics", [["todo.created", "todo.*", "*.created"], {"todo.*": ["me"], "*": ANY, "*.created": ["me", "you"]}]
)
def test_what_three_patterns_match_is_heard_once_live_and_replayed(topics: Any, bystander: Bystander) -> None:
    async def scenario() -> None:
        start = nitro.position()
        emit("todo.created", "me", result="replayed")
        with Client(topics=topics, last_event_id=start) as client:
            emit("todo.created", "me", result="live")
            assert await heard_by(client) == ["replayed", "live"]

    run(scenario)
    bystander.lives_on("replayed", "live")


@pytest.mark.bad_input(12)
@pytest.mark.parametrize(("wanted", "muted"), [("a.b", "a.b"), ("a.*", "a.b"), ("a.b", "a.*"), ("*", "*.b")])
def test_what_is_both_wanted_and_muted_is_muted(wanted: str, muted: str, bystander: Bystander) -> None:
    async def scenario() -> None:
        start = nitro.position()
        emit("a.b", result="replayed")
        clients = [
            Client(topics=[wanted], muted_topics=[muted], last_event_id=start),
            Client(topics=[wanted], last_event_id=start).mute(muted),
            Client(topics=[], last_event_id=start).mute(muted).subscribe(wanted),
        ]
        for client in clients:
            with client:
                emit("a.b", result="live")
                assert await heard_by(client) == []
                client.unmute(muted)
                emit("a.b", result="unmuted")
                assert await heard_by(client) == ["unmuted"]

    run(scenario)
    bystander.lives_on("replayed", *["live", "unmuted"] * 3)


SAID = ["a_b", "c", "a", "b_c", "x a_b", "x c", "x a", "x b_c", "a_b c", "a b_c"]
"""Topics, some with a sender behind them."""
APART: dict[str, tuple[Callable[..., dict[str, Any]], str, str]] = {
    "topics": (lambda *names: {"topics": names}, "a_b, c, a_b c", "a, b_c, a b_c"),
    "senders": (lambda *names: {"topics": {"x": names}}, "x a_b, x c", "x a, x b_c"),
    "a topic and a sender": (lambda topic, sender: {"topics": {topic: sender}}, "a_b c", "a b_c"),
    "mutes": (lambda *names: {"muted_topics": [*names, "x"]}, "a, b_c, a b_c", "a_b, c, a_b c"),
    "rights": (lambda *names: {"allowed": names}, "a_b, c, a_b c", "a, b_c, a b_c"),
    "rights to a sender": (lambda topic, sender: {"allowed": {topic: sender}}, "a_b c", "a b_c"),
}
"""What is made of two names, what is heard if they are `a_b` and `c`, and what if they are `a` and `b_c`."""


@pytest.mark.bad_input(13)
@pytest.mark.parametrize("what", APART)
def test_names_that_would_be_one_if_they_were_joined_are_kept_apart(what: str, bystander: Bystander) -> None:
    options, *expected = APART[what]

    async def scenario() -> None:
        clients = [Client(**options(*names)).connect() for names in (("a_b", "c"), ("a", "b_c"))]
        for said in SAID:
            emit(*said.split(), result=said)
        for client, heard in zip(clients, expected, strict=True):
            assert await heard_by(client) == heard.split(", ")
            client.disconnect()

    run(scenario)
    bystander.lives_on(*SAID)


@pytest.mark.bad_input(13)
def test_a_topic_and_a_key_that_would_be_one_if_they_were_joined_are_kept_apart(bystander: Bystander) -> None:
    one, other = (nitro.Event(name, latest_by="key") for name in ("a_b", "a"))
    results: list[dict[str, Any]] = [{"key": "c"}, *({"key": "b_c", "n": n} for n in range(50))]

    async def scenario() -> None:
        with Client(topics=["a_b", "a"], overflow="latest", max_messages=10) as client:
            emit("a", result="first")
            messages = client.messages()
            await anext(messages)
            for result in results:
                emit(one if result["key"] == "c" else other, result=result)
                await asyncio.sleep(0)
            gap, newest = await anext(messages), await anext(messages)
            assert isinstance(gap, Gap)
            assert isinstance(newest, Message)
            assert newest.data == {"key": "c"}, "the newest of its topic and key, however many others came"
            await messages.aclose()

    run(scenario)
    bystander.lives_on("first", *results)


@pytest.mark.bad_input(14)
@pytest.mark.parametrize(
    "make",
    [
        lambda names: Client(topics=names),
        lambda names: Client(topics={name: ["me"] for name in names}),
        lambda names: Client(topics=[], muted_topics=names),
        lambda names: Client(topics=names[:600], muted_topics=names[600:]),
        lambda names: Client(topics=ANY, allowed=names),
    ],
    ids=["topics", "topics with senders", "mutes", "both", "all that is allowed"],
)
def test_ten_thousand_topics_are_refused_by_the_limit(
    make: Callable[[list[str]], Client], bystander: Bystander
) -> None:
    with pytest.raises(TooManyTopics, match=r"1000 topics and mutes.*NITRO_MAX_TOPICS_PER_CLIENT") as refusal:
        make([f"t{n}" for n in range(10_000)])
    assert isinstance(refusal.value, ValueError)
    bystander.lives_on()


@pytest.mark.bad_input(14)
def test_one_topic_over_the_limit_leaves_the_client_as_it_was(bystander: Bystander) -> None:
    client = Client(topics=[f"t{n}" for n in range(1_000)])
    for change in (client.subscribe, client.mute):
        with pytest.raises(TooManyTopics, match="NITRO_MAX_TOPICS_PER_CLIENT"):
            change("one.more")
    assert len(client.topics) == 1_000
    assert heard_alone(client, "t0", "t999", "one.more") == ["t0", "t999"]
    bystander.lives_on("t0", "t999", "one.more")


@pytest.mark.bad_input(15)
@pytest.mark.parametrize("name", ["nitro", "nitro.x", "nitro.x.y"])
def test_a_name_of_nitros_own_is_refused(name: str, bystander: Bystander) -> None:
    for text in refusals(name, InvalidTopic):
        assert "reserved: names under 'nitro.' are Nitro's own" in text
    assert heard_alone(Client(topics=["nitrogen", "x.nitro"]), "nitrogen", "x.nitro") == ["nitrogen", "x.nitro"]
    bystander.lives_on("nitrogen", "x.nitro")


@pytest.mark.bad_input(15)
@pytest.mark.parametrize("pattern", ["*", "n*", "nitro*", "*.dismissal"])
def test_what_nitro_says_itself_reaches_no_client_and_no_handler(pattern: str, bystander: Bystander) -> None:
    called: list[object] = []
    hear = on(pattern, condition=lambda sender, **_: sender != "system")(lambda sender, **_: called.append(sender))

    async def scenario() -> None:
        start = nitro.position()
        with Client(topics=[pattern]) as live:
            nitro.disconnect_user("nobody")
            assert nitro.position() != start, "it was said"
            assert await heard_by(live) == []
        with Client(topics=[pattern], last_event_id=start) as replayed:
            assert await heard_by(replayed) == []

    run(scenario)
    nitro.default_namespace.pattern(pattern).disconnect(hear)
    assert called == []
    bystander.lives_on()
