"""Grants of patterns with many stars, of few letters: nobody may subscribe to, or hears, what is outside of them."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from typing import Any, NamedTuple

from nitro import ANY, Client, EventSourceResponse, Grant
from nitro.access.permissions import Permissions
from nitro.clients.event_stream import event_stream
from nitro.delivery.hub import Hub
from nitro.errors import AccessDenied
from nitro.messages.topics import matches
from tests.containment import contains
from tests.fuzzing import grammar
from tests.fuzzing.exchange import Exchange, own_hub, run
from tests.fuzzing.standard import read
from tests.fuzzing.supply import SEPARATOR, Supply

_LETTERS = "*a*b*."
_FOREIGN = "c"
"""A letter that no pattern here has."""
_MAX_CHARS = 9
_SENDERS = ("s1", "s2", "s3")
_BY_NUMBER: tuple[frozenset[str] | None, ...] = (
    None,
    None,
    frozenset(["s1"]),
    frozenset(["s2"]),
    frozenset(["s1", "s2"]),
    frozenset(),
)
_BY_QUERY, _SUBSCRIBES, _REVOKES = 1, 2, 4
_TOPICS = [
    topic
    for length in range(1, 4)
    for topic in map("".join, itertools.product(f"ab{_FOREIGN}.", repeat=length))
    if grammar.is_topic(topic)
]

Patterns = dict[str, frozenset[str] | None]
"""Keys of senders by pattern; None for all of them."""


class _Input(NamedTuple):
    """Attributes:
    last: a pattern that is subscribed to, or revoked, while the stream is open.
    """

    options: int
    allowed: Patterns
    denied: Patterns
    asked: Patterns
    last: str

    @classmethod
    def drawn(cls, data: bytes) -> _Input:
        supply = Supply(data)
        options = supply.byte()
        counts = 1 + supply.below(4), supply.below(3), 1 + supply.below(3)
        parts = [Supply(part) for part in supply.rest().split(SEPARATOR)]
        allowed, denied, asked = (dict(_drawn(_next(parts)) for _ in range(count)) for count in counts)
        return cls(options, allowed, denied, asked, _drawn(_next(parts))[0])


def _next(parts: list[Supply]) -> Supply:
    return parts.pop(0) if parts else Supply(b"")


def _drawn(supply: Supply) -> tuple[str, frozenset[str] | None]:
    """A number of senders, then letters; what is left of them if they are no pattern."""
    senders = _BY_NUMBER[supply.below(len(_BY_NUMBER))]
    text = ""
    for byte in supply.rest():
        letter = _LETTERS[byte % len(_LETTERS)]
        if len(text) < _MAX_CHARS and not (letter in "*." and text.endswith(letter)):
            text += letter
    return text.strip(".") or "*", senders


def grants(data: bytes) -> None:
    """Options and how many of each there are; then what is allowed, denied and asked for, and one pattern more."""
    given = _Input.drawn(data)
    for pattern, other in itertools.product([*given.allowed, *given.denied], [*given.asked, given.last]):
        assert contains(pattern, other) == (grammar.outside(other, [pattern]) is None)
    _check_permissions(given)
    with own_hub() as hub:
        run(_listen(hub, given))


def _check_permissions(given: _Input) -> None:
    permissions = Permissions.of(given.allowed, given.denied)
    for pattern in (*given.asked, given.last):
        for senders in _BY_NUMBER:
            assert permissions.cover(pattern, senders) == _covers(given, pattern, senders)
    for topic in _TOPICS:
        for sender in (*_SENDERS, None):
            assert permissions.permits(topic, sender) == _permits(given, topic, sender)


def _covers(given: _Input, pattern: str, senders: frozenset[str] | None) -> bool:
    """Whether every topic of the pattern is allowed, of each of these senders, and one is not denied."""
    if grammar.outside(pattern, [each for each, keys in given.denied.items() if keys is None]) is None:
        return False
    if grammar.outside(pattern, list(given.allowed)) is not None:
        return False
    return all(
        grammar.outside(pattern, [each for each, keys in given.allowed.items() if keys is None or sender in keys])
        is None
        for sender in senders or ()
    )


def _permits(given: _Input, topic: str, sender: str | None) -> bool:
    return _has(given.allowed, topic, sender) and not _has(given.denied, topic, sender)


def _has(patterns: Patterns, topic: str, sender: str | None) -> bool:
    return any(
        (keys is None or sender in keys) and grammar.matches(pattern, topic) for pattern, keys in patterns.items()
    )


async def _listen(hub: Hub, given: _Input) -> None:
    asked: Patterns = dict.fromkeys(given.asked) if given.options & _BY_QUERY else given.asked
    query = "&".join(f"topic={pattern}" for pattern in asked) if given.options & _BY_QUERY else ""
    exchange = Exchange(query.encode())
    topics = None if given.options & _BY_QUERY else _as_given(asked)
    grant = Grant(_as_given(given.allowed), _as_given(given.denied), user_id=7)
    response = event_stream(exchange, grant, topics=topics)
    task = exchange.begin(response)
    if not all(_covers(given, pattern, keys) for pattern, keys in asked.items()):
        await task
        exchange.check_problem(403)
        return
    await exchange.body_with(b"\n\n")
    assert isinstance(response, EventSourceResponse)
    client = response.client
    assert isinstance(client, Client)
    if given.options & _SUBSCRIBES:
        is_covered = _covers(given, given.last, None)
        with suppress(AccessDenied):
            client.subscribe(given.last)
            assert is_covered, "it hears what is outside of the grant"
            asked = {**asked, given.last: None}
        assert is_covered == (asked.get(given.last, ()) is None), "refused without a reason"
    if given.options & _REVOKES:
        client.revoke(given.last)
        given = given._replace(denied={**given.denied, given.last: None})
    await _check_what_is_heard(hub, given, asked, client, exchange)
    exchange.gone.set()
    await task


async def _check_what_is_heard(hub: Hub, given: _Input, asked: Patterns, client: Client, exchange: Exchange) -> None:
    expected = []
    for n, (topic, sender) in enumerate(itertools.product(_topics_near(given), (*_SENDERS, None)), 1):
        hub.publish(topic, sender, b'{"n":%d}' % n)
        if _has(asked, topic, sender) and _permits(given, topic, sender):
            expected.append(n)
    assert client.send({"n": 0})
    events = read(await exchange.body_with(b'{"n":0}\n\n')).events
    assert [json.loads(event.data) for event in events] == [{"n": n} for n in (*expected, 0)]


def _topics_near(given: _Input) -> list[str]:
    """Of each pattern the topics that are the furthest from all others, and some short ones."""
    patterns = [*given.allowed, *given.denied, *given.asked, given.last]
    found = _TOPICS[:12]
    for pattern in patterns:
        for others in ([*given.allowed], [*given.denied], [*given.asked]):
            topic = grammar.outside(pattern, others)
            if topic is not None:
                assert matches(pattern, topic)
                found.append(topic)
        found.append(pattern.replace("*", _FOREIGN))
    return list(dict.fromkeys(found))


def _as_given(patterns: Patterns) -> dict[str, Any]:
    return {pattern: ANY if keys is None else sorted(keys) for pattern, keys in patterns.items()}
