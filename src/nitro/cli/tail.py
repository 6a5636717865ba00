"""`nitro tail`: prints messages as they come, from a stream over HTTP or from a broker's log."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterable

import nitro
from nitro.cli import broker
from nitro.cli.failures import WRONG, fail, failures_told
from nitro.cli.pipe import drop_output, when_closed
from nitro.cli.screen import Screen, visible
from nitro.client import Heard
from nitro.messages.message import Gap, Message

__all__ = ["from_broker", "from_url", "parsed_headers"]


def parsed_headers(headers: list[str]) -> dict[str, str]:
    """`Name: value` texts as a mapping."""
    found = {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            fail(f"--header takes 'Name: value', not {header!r}", WRONG)
        found[name.strip()] = value.strip()
    return found


def from_url(url: str, topics: list[str], headers: dict[str, str], since: str) -> int:
    """Print what a stream sends; returns the exit code."""
    _log_to_stderr()
    with failures_told():
        return _run(nitro.listen(url, topics or None, headers=headers, last_event_id=since))


def from_broker(url: str, topics: list[str], since: str, seconds: float) -> int:
    """Print what is in a broker's log from now on, or behind `since`; returns the exit code."""
    with failures_told():
        broker.connect(url, seconds)
        _log_to_stderr()
        with nitro.Client(topics=topics or ["*"], last_event_id=since or None) as client:
            return _run(client.messages())


def _run(messages: AsyncIterable[Heard | Gap] | AsyncIterable[Message | Gap]) -> int:
    try:
        asyncio.run(_show(messages))
    except KeyboardInterrupt:
        return 130
    except (BrokenPipeError, asyncio.CancelledError):
        drop_output()
    return 0


async def _show(messages: AsyncIterable[Heard | Gap] | AsyncIterable[Message | Gap]) -> None:
    screen = Screen()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    when_closed(lambda: loop.call_soon_threadsafe(task.cancel))
    async for message in messages:
        if isinstance(message, Gap):
            screen.gap(message.reason, str(message.resumed_at))
        else:
            screen.message(message.topic, message.data, message.id)


def _log_to_stderr() -> None:
    """Warnings, such as that a server is away, in lines of their own."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line("nitro: %(message)s"))
    logging.getLogger("nitro").addHandler(handler)


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))
