"""The tail of a JetStream stream: a buffer for the entries that the server sends from a sequence on."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Final

from nitro.brokers.base import Entry

__all__ = ["Tail"]

_MOST_WAITING: Final = 5_000
_MOST_WAITING_BYTES: Final = 16 * 1024 * 1024
_PAGE_BYTES: Final = 4 * 1024 * 1024


class Tail:
    """The entries that the server sends from a sequence on. It unsubscribes when its buffer is full.

    Attributes:
        after: the sequence of the last entry taken, or -1 when it has stopped and is empty.
        is_stopped: further entries are dropped.
    """

    def __init__(self, after: int, longest_body: int) -> None:
        self.after: int = after
        self.subscription: Any = None
        self._longest_body = longest_body
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self.is_stopped: bool = False
        self._news = asyncio.Event()

    async def came(self, message: Any) -> None:
        if self.is_stopped or not message.reply:  # status messages have no reply
            return
        # $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<consumer's>.<nanoseconds>.<pending>, or with a domain
        # and an account before the stream
        fields = message.reply.split(".")
        sequence, came = fields[-4 if len(fields) == 9 else 7], fields[-2 if len(fields) == 9 else 9]
        body = message.data
        age = max(0.0, time.time() - int(came) / 1e9)
        self._entries.append(Entry(int(sequence), body if len(body) <= self._longest_body else None, age))
        self._bytes += len(body)
        self._news.set()
        if len(self._entries) > _MOST_WAITING or self._bytes > _MOST_WAITING_BYTES:
            await self.stop()

    async def take(self, limit: int, wait_seconds: float) -> list[Entry]:
        """Take the oldest entries; waits up to `wait_seconds` if there are none."""
        if not self._entries and wait_seconds and not self.is_stopped:
            self._news.clear()
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._news.wait()
            except TimeoutError:
                return []
        entries: list[Entry] = []
        size = 0
        while self._entries and len(entries) < limit and size <= _PAGE_BYTES:
            entry = self._entries.popleft()
            entries.append(entry)
            size += len(entry.body or b"")
        self._bytes -= size
        if entries:
            self.after = entries[-1].sequence
        if self.is_stopped and not self._entries:
            self.after = -1
        return entries

    async def stop(self) -> None:
        if not self.is_stopped and self.subscription is not None:
            await self.subscription.unsubscribe()
        self.is_stopped = True
