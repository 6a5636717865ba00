"""The tail: what one process knows of the end of one stream that is read here, once for all its readers.

Fed by commits of this process and by the store's news; wakes readers. It keeps the newest records, so that those who
are at the end needn't ask the store for what everybody has just been told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar, cast

from nitro.streams.base import Change, Stored
from nitro.streams.decisions import Current
from nitro.streams.state import StreamState

__all__ = ["Kept", "Tail"]

T = TypeVar("T")

_KEPT_BYTES: Final = 64 * 1024
_KEPT_RECORDS: Final = 16
"""Few: readers take a record within a moment, and what thousands of streams keep would cost the garbage collector."""


Kept: TypeAlias = tuple[int, int, bytes]
"""The version of the record before, that of this one, and its bytes. A plain tuple, which the garbage collector leaves
alone: thousands of streams keep some.
"""


class Tail:
    """One watched stream.

    Attributes:
        current: what there is, as far as it is known; None if it isn't there.
        is_doubtful: whether something may have been missed, so that `current` has to be read again.
        readers: how many read it.
        listeners: called when something changed.
    """

    __slots__ = (
        "_kept",
        "_kept_bytes",
        "_made",
        "_waiters",
        "current",
        "is_doubtful",
        "key",
        "listeners",
        "loading",
        "readers",
    )

    def __init__(self, key: str) -> None:
        self.key: str = key
        self.current: Current | None = None
        self.is_doubtful: bool = True
        self.readers: int = 0
        self.loading: asyncio.Future[None] | None = None
        self._kept: deque[Kept] = deque()
        self._kept_bytes = 0
        self._made: tuple[object, Any] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self.listeners: dict[Callable[[], None], None] = {}

    def hear(self, change: Change, state: StreamState | None) -> None:
        """A commit was stored."""
        version = self.current.stored.version if self.current is not None else 0
        if not change.is_complete:
            self.doubt()
        elif change.stored is None:
            if change.previous >= version:
                self._reset(None)
        elif change.stored.version <= version:
            return  # known already: own commits are told twice
        elif self.is_doubtful or change.previous != version or state is None:
            self.doubt()
        else:
            beginning = state.fork.version if state.fork is not None else 0
            before = self.current.stored.tail if self.current is not None else beginning
            self.current = Current(change.stored, state)
            if change.body is not None:
                self._keep((before, change.stored.version, change.body))
        self._wake()

    def learn(self, current: Current | None) -> None:
        """What there is was read, after the key was watched."""
        known = self.current
        if known is None or current is None or current.stored.version > known.stored.version:
            self._reset(current)
        elif current.is_as(known):
            self.current = current  # its alarm may be another one
        self._wake()

    def postponed(self, alarm_at: float) -> None:
        """The stream lives longer."""
        if self.current is not None:
            self.current = self.current.postponed(alarm_at)

    def doubt(self) -> None:
        """Something may have been missed."""
        self.is_doubtful = True
        self._wake()

    def behind(self, version: int) -> list[Kept] | None:
        """The records behind `version`, if all of them are kept; None if the store has to be asked."""
        if self._kept and version == self._kept[-1][0]:
            return [self._kept[-1]]
        found = [kept for kept in self._kept if kept[1] > version]
        return found if found and found[0][0] == version else None

    def shared(self, name: object, make: Callable[[], T]) -> T:
        """What one of its readers makes, if another one has just made the same; `name` says of what, and how."""
        if self._made is None or self._made[0] != name:
            self._made = name, make()
        return cast("T", self._made[1])

    async def changed(self, version: int, seconds: float) -> bool:
        """Wait until there is something newer than `version`, for at most `seconds`; whether there is."""
        if self._is_newer(version):
            return True
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        timer = loop.call_later(seconds, _resolve, waiter)
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        return self._is_newer(version)

    def _is_newer(self, version: int) -> bool:
        return self.is_doubtful or self.current is None or self.current.stored.version > version

    def _keep(self, kept: Kept) -> None:
        self._kept.append(kept)
        self._kept_bytes += len(kept[2])
        while (self._kept_bytes > _KEPT_BYTES or len(self._kept) > _KEPT_RECORDS) and len(self._kept) > 1:
            self._kept_bytes -= len(self._kept.popleft()[2])

    def _reset(self, current: Current | None) -> None:
        self.current = current
        self._kept.clear()
        self._kept_bytes = 0

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            _resolve(waiter)
        for listener in tuple(self.listeners):
            listener()

    def __repr__(self) -> str:
        stored: Stored | None = self.current.stored if self.current is not None else None
        at = "nothing" if stored is None else f"version {stored.version}"
        doubt = ", in doubt" if self.is_doubtful else ""
        return f"<Tail of {self.key!r} at {at}{doubt}, {self.readers} readers>"


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
