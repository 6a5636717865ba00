"""Queries that ask for topics: an answer that says why not, or a stream of what was asked for and may be heard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from nitro import ANY, Client, EventSourceResponse
from nitro.clients.event_stream import event_stream
from nitro.clients.grant import Grant
from nitro.delivery.hub import Hub
from nitro.errors import NitroError
from tests.fuzzing import grammar
from tests.fuzzing.exchange import Exchange, is_probe, own_hub, run
from tests.fuzzing.standard import pairs, read
from tests.fuzzing.supply import Supply, text

_MAX_TOPICS = 6
_MAX_MESSAGES = 60
_SENDERS = (None, "s1", "s2")
_FILLED, _NOBODY, _EXPIRED = 1, 2, 4
_NOT_ASKED_FOR = "not.asked.for"

Patterns = dict[str, list[str] | None]
"""Senders by pattern; None for all of them."""


@dataclass
class Rights:
    """A grant as this file understands it: `todo.*,user.7@s1,!todo.secret`."""

    allowed: Patterns = field(default_factory=dict)
    denied: Patterns = field(default_factory=dict)

    @classmethod
    def parse(cls, written: str) -> Rights:
        found = cls()
        for part in filter(None, written.split(",")):
            pattern, _, sender = part.removeprefix("!").partition("@")
            patterns = found.denied if part.startswith("!") else found.allowed
            pattern = "*" if pattern == "ANY" else pattern
            senders = patterns.setdefault(pattern, [])
            if senders is not None:
                patterns[pattern] = [*senders, sender] if sender else None
        return found

    def permits(self, topic: str, sender: str | None) -> bool:
        return _has(self.allowed, topic, sender) and not _has(self.denied, topic, sender)

    def cover(self, pattern: str) -> bool:
        """Whether all of it is allowed and not all of it denied, with a letter of nobody's for each star."""
        hardest = pattern.replace("*", "\0")
        is_denied = any(senders is None and grammar.matches(each, hardest) for each, senders in self.denied.items())
        return not is_denied and any(grammar.matches(each, hardest) for each in self.allowed)

    def grant(self, *, expires_at: float | None) -> Grant:
        def written(patterns: Patterns) -> dict[str, Any]:
            return {pattern: ANY if senders is None else senders for pattern, senders in patterns.items()}

        return Grant(written(self.allowed), written(self.denied), user_id="7", expires_at=expires_at)


def query(data: bytes) -> None:
    """Options, then what is granted, and last the query."""
    supply = Supply(data)
    options = supply.byte()
    written, asked = supply.texts(2)
    rights = Rights.parse(text(written))
    try:
        grant = rights.grant(expires_at=1.0 if options & _EXPIRED else None)
    except NitroError:
        assert not all(map(grammar.is_pattern, [*rights.allowed, *rights.denied])), "refused without a reason"
        return
    with own_hub(max_topics_per_client=_MAX_TOPICS, max_clients=1) as hub:
        run(_ask(hub, rights, None if options & _NOBODY else grant, asked, options))


async def _ask(hub: Hub, rights: Rights, grant: Grant | None, asked: bytes, options: int) -> None:
    other = Client(topics=["other"])
    if options & _FILLED:
        other.connect()
    exchange = Exchange(asked)
    # The names of events would be in the way of an envelope's, and of nothing else.
    response = event_stream(exchange, grant, response=partial(EventSourceResponse, named=bool(options & 8)))
    task = exchange.begin(response)
    status = _status(rights, grant, asked, options)
    if status != 200:
        await task
        exchange.check_problem(status)
    else:
        await exchange.body_with(b"\n\n")
        assert isinstance(response, EventSourceResponse)
        client = response.client
        assert isinstance(client, Client)
        if not is_probe(asked):
            await _listen(hub, rights, client, exchange, asked)
        exchange.gone.set()
        await task
    other.disconnect()


def _status(rights: Rights, grant: Grant | None, asked: bytes, options: int) -> int:
    """What has to be answered."""
    patterns = _asked_for(asked)
    if grant is None:
        return 401
    if patterns is None:
        return 422
    if options & _EXPIRED:
        return 401
    for place, pattern in enumerate(patterns or rights.allowed):
        if patterns and not rights.cover(pattern):
            return 403
        if place == _MAX_TOPICS:
            return 422
    return 429 if options & _FILLED and not is_probe(asked) else 200


def _asked_for(asked: bytes) -> list[str] | None:
    """The patterns, each once; None if one of them is none."""
    names = pairs(asked)
    patterns = ["*" if value == "ANY" else value for name, value in names if name == "topic"]
    is_right = all(map(grammar.is_pattern, patterns)) and not any(name.startswith("topic[") for name, _ in names)
    return list(dict.fromkeys(patterns)) if is_right else None


async def _listen(hub: Hub, rights: Rights, client: Client, exchange: Exchange, asked: bytes) -> None:
    patterns = _asked_for(asked) or list(rights.allowed)
    assert list(client.topics) == patterns
    for pattern in patterns:
        for topic in grammar.topics_of(pattern):
            assert any(grammar.matches(each, topic) for each in rights.allowed), f"{topic} is outside of the grant"
    expected = []
    for n, (topic, sender) in enumerate(islice(_messages(patterns, rights), _MAX_MESSAGES), 1):
        hub.publish(topic, sender, b'{"n":%d}' % n)
        if any(grammar.matches(each, topic) for each in patterns) and rights.permits(topic, sender):
            expected.append(n)
    assert client.send({"n": 0})
    stream = await exchange.body_with(b'{"n":0}\n\n')
    data = [event.data.rpartition("\n")[2] for event in read(stream).events if event.type != "gap"]
    numbers = [json.loads(each)["n"] for each in data if "n" in json.loads(each)]
    assert numbers == [*expected, 0]


def _messages(patterns: list[str], rights: Rights) -> Iterator[tuple[str, str | None]]:
    """What is asked for, allowed and denied, each tried with some topics; and one that nobody asked for."""
    yield _NOT_ASKED_FOR, None
    for pattern in dict.fromkeys([*patterns, *rights.denied, *rights.allowed]):
        for topic in grammar.topics_of(pattern):
            for sender in _SENDERS:
                yield topic, sender


def _has(patterns: Patterns, topic: str, sender: str | None) -> bool:
    return any(
        grammar.matches(pattern, topic) and (senders is None or sender in senders)
        for pattern, senders in patterns.items()
    )
