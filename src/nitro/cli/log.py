"""`nitro log`: what a broker's log holds."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final, NamedTuple

from nitro.brokers.base import ExaminableLog, Extent, Log
from nitro.brokers.codec import stamp_of
from nitro.brokers.urls import log_of
from nitro.cli import broker
from nitro.cli.failures import failures_told
from nitro.cli.screen import Screen
from nitro.messages.message import UNKNOWN_STAMP, Position
from nitro.redaction import without_secrets
from nitro.settings import get_settings

__all__ = ["run"]

_PAGE_ENTRIES: Final = 1000


class _Content(NamedTuple):
    """What was read of a log: its messages, their bytes, and stamp and age of the first and the last."""

    messages: int = 0
    bytes: int = 0
    first_stamp: str = UNKNOWN_STAMP
    last_stamp: str = UNKNOWN_STAMP
    oldest_seconds: float = 0.0
    newest_seconds: float = 0.0


def run(url: str, seconds: float) -> None:
    """Show the log's extent. It is opened as by the application, which makes it where there is none."""
    with failures_told():
        broker.connect(url, seconds)
        settings = get_settings()
        extent, content, producers = asyncio.run(_read(log_of(url, settings), seconds))
    oldest = str(Position(extent.epoch, extent.oldest, content.first_stamp)) if content.messages else None
    newest = str(Position(extent.epoch, extent.newest, content.last_stamp))
    Screen().table(
        {
            "broker": (without_secrets(url), without_secrets(url)),
            "namespace": (settings.namespace, settings.namespace),
            "epoch": (extent.epoch, extent.epoch),
            "messages": (content.messages, f"{content.messages:,}"),
            "bytes": (content.bytes, f"{content.bytes:,}"),
            "producers": (producers, "-" if producers is None else f"{producers:,}"),
            "oldest": (oldest, f"{oldest}, {_ago(content.oldest_seconds)}" if oldest else "-"),
            "newest": (newest, f"{newest}, {_ago(content.newest_seconds)}" if content.messages else newest),
            "oldest_seconds": (round(content.oldest_seconds, 3), None),
            "newest_seconds": (round(content.newest_seconds, 3), None),
        }
    )


async def _read(log: Log, seconds: float) -> tuple[Extent, _Content, int | None]:
    async with broker.opened(log, seconds) as extent:
        content, place = _Content(), extent.oldest - 1
        while place < extent.newest:
            async with asyncio.timeout(seconds):
                entries = await log.read(place, _PAGE_ENTRIES, 0)
            if not entries:
                break
            bodies = [each.body or b"" for each in entries]
            content = _Content(
                content.messages + len(entries),
                content.bytes + sum(map(len, bodies)),
                content.first_stamp if content.messages else stamp_of(bodies[0]),
                stamp_of(bodies[-1]),
                content.oldest_seconds if content.messages else entries[0].age_seconds,
                entries[-1].age_seconds,
            )
            place = entries[-1].sequence
        return extent._replace(newest=max(place, extent.newest)), content, await _producers(log, seconds)


async def _producers(log: Log, seconds: float) -> int | None:
    """How many processes have published; None if that is not to be known in time."""
    if not isinstance(log, ExaminableLog):
        return None
    try:
        async with asyncio.timeout(seconds):
            return await log.count_producers()
    except TimeoutError:
        return None


def _ago(seconds: float) -> str:
    return f"{timedelta(seconds=round(seconds))} ago"
