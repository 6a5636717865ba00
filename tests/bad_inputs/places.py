"""Each place that takes a topic or a pattern, and what it says about one that is none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from nitro import Client, Grant, emit, emit_async, event, on
from nitro.errors import InvalidTopic, NitroError
from tests.specification.hearing import heard_by, run

__all__ = ["heard_alone", "refusals"]

_PLACES: Final[dict[str, Callable[[Any], object]]] = {
    "emit": lambda name: emit(name, result=1),
    "emit_async": lambda name: asyncio.run(emit_async(name, result=1)),
    "event": event,
    "on": on,
    "topics, alone": lambda name: Client(topics=name),
    "topics, one of them": lambda name: Client(topics=["a", name]),
    "topics, with senders": lambda name: Client(topics={name: ["me"]}),
    "muted_topics": lambda name: Client(muted_topics=[name]),
    "allowed": lambda name: Client(topics=[], allowed=[name]),
    "denied": lambda name: Client(topics=[], denied=[name]),
    "Grant": lambda name: Grant([name]),
    "subscribe": lambda name: Client(topics=[]).subscribe(name),
    "unsubscribe": lambda name: Client(topics=[]).unsubscribe(name),
    "mute": lambda name: Client(topics=[]).mute(name),
    "unmute": lambda name: Client(topics=[]).unmute(name),
    "grant": lambda name: Client(topics=[]).grant(name),
    "revoke": lambda name: Client(topics=[]).revoke(name),
}


def refusals(name: Any, kind: type[NitroError]) -> list[str]:
    """What each place says about a name: none takes it, and each raises this very kind of error."""
    refused: dict[str, NitroError] = {}
    for place, use in _PLACES.items():
        try:
            use(name)
        except NitroError as error:
            refused[place] = error
    assert {place: type(error) for place, error in refused.items()} == dict.fromkeys(_PLACES, kind)
    assert issubclass(kind, ValueError if kind is InvalidTopic else TypeError)
    return [str(error) for error in refused.values()]


def heard_alone(client: Client, *topics: str) -> list[Any]:
    """Which of these topics a client hears, connected as long as that takes."""
    heard: list[Any] = []

    async def scenario() -> None:
        with client:
            for topic in topics:
                emit(topic, result=topic)
            heard.extend(await heard_by(client))

    run(scenario)
    return heard
