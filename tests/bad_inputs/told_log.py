"""A log that hands out whatever entries it is told to, as a broken broker would: real to everything that reads it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Sequence

from nitro.brokers import codec
from nitro.brokers.base import Entry, Extent

__all__ = ["ToldLog", "entry"]


def entry(sequence: int, body: bytes | None = None) -> Entry:
    """An entry at this place, with its sequence as its payload."""
    return Entry(sequence, codec.encode("told", None, b"%d" % sequence, None) if body is None else body, 0.0)


class ToldLog:
    """See `nitro.brokers.base.Log`; for one process.

    Attributes:
        asked: behind which sequences it was read, each time that it had an answer.
    """

    name = "told://"
    max_body_bytes: int | None = None

    def __init__(self) -> None:
        self.asked: list[int] = []
        self._answers: deque[list[Entry]] = deque()
        self._newest = 0
        self._lock = threading.Lock()

    def tell(self, *entries: Entry) -> None:
        """Answer the next read, or the one after what it was told before, with these entries."""
        with self._lock:
            self._newest = max(self._newest, *(told.sequence for told in entries))
            self._answers.append(list(entries))

    async def open(self) -> Extent:
        return Extent("told", 1, 0)

    async def append(self, producer: str, first: int, bodies: Sequence[bytes]) -> int:
        for body in bodies:
            self.tell(entry(self._newest + 1, body))
        return self._newest

    async def newest(self) -> int:
        return self._newest

    async def read(self, after: int, limit: int, wait_seconds: float) -> Sequence[Entry]:
        deadline = time.monotonic() + wait_seconds
        while not self._answers and time.monotonic() < deadline:
            await asyncio.sleep(0.002)
        if not self._answers:
            return []
        self.asked.append(after)
        return self._answers.popleft()

    async def renew(self) -> None:
        raise NotImplementedError("it never loses anything by itself")

    async def close(self) -> None:
        """It has no connection."""
