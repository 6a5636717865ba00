"""Hearing: what a client got, without waiting for what doesn't come. For the tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any, Final

from nitro.infrastructure.events import Client, emit, event

__all__ = ["Emit", "heard_by", "run", "topics_heard_by", "until"]

_LAST: Final = "that was the last one"
Emit = str | tuple[str, Any]
"""A topic, or a topic and a sender."""


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `scenario` in a loop of its own; it fails if it takes more than 20 seconds."""
    asyncio.run(asyncio.wait_for(scenario(), 20))


async def heard_by(client: Client) -> list[Any]:
    """All that waits for a connected client. Its end is sent to it, in order behind all that was emitted."""
    assert client.send(_LAST)
    heard: list[Any] = []
    async with aclosing(client.stream()) as stream:
        async for data in stream:
            if data == _LAST:
                return heard
            heard.append(data)
    raise AssertionError(f"{client!r} was disconnected before it got all; it heard {heard}")


async def topics_heard_by(client: Client, *emits: Emit) -> list[Any]:
    """Which of these a client hears, connected for as long as that takes.

    Args:
        emits: topics, or pairs of a topic and a sender; what is heard comes back in the same form.
    """
    with client:
        for item in emits:
            topic, *sender = (item,) if isinstance(item, str) else item
            emit(event(topic), *sender, result=item)
        return [tuple(item) if isinstance(item, list) else item for item in await heard_by(client)]


async def until(condition: Callable[[], object], seconds: float = 5) -> None:
    """Wait for what other tasks or threads bring about.

    Raises:
        TimeoutError: it did not come true.
    """
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)
