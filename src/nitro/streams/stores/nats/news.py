"""News of the keys that are watched: what the server republishes, in the order in which it was stored.

Fed by `NatsStore.watch` and by the connection; feeds `NatsStore.news`. A key is subscribed to by a task of its own, and
who reads waits for it: so what is read is never older than what is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from typing import Any, Final

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from nitro.brokers.tasks import end
from nitro.streams.base import Change
from nitro.streams.stores.nats.link import Link
from nitro.streams.stores.nats.messages import Kind, Message
from nitro.streams.stores.nats.subjects import Subjects

__all__ = ["News"]

log: Final = logging.getLogger("nitro.streams")

_SEQUENCE: Final = "Nats-Sequence"


class News:
    """Used from one event loop.

    Attributes:
        is_watching: whether there is anything to hear.
    """

    def __init__(self, subjects: Subjects) -> None:
        self._subjects = subjects
        self._link: Link | None = None
        self._wanted: dict[str, None] = {}
        self._subscriptions: dict[str, Any] = {}
        self._settling: asyncio.Task[None] | None = None
        self._changes: deque[Change] = deque()
        self._has_missed = False
        self._event = asyncio.Event()

    def watch(self, key: str) -> None:
        """Tell news of this key."""
        self._wanted[key] = None
        self._settle()

    def unwatch(self, key: str) -> None:
        """No longer."""
        self._wanted.pop(key, None)
        self._settle()

    async def follow(self, link: Link) -> None:
        """Subscribe to all that is watched over a new connection."""
        await self._stop()
        self._subscriptions.clear()
        self._link = link
        self._settle()
        await self.settled()

    async def settled(self) -> None:
        """Wait until all that is watched is subscribed to."""
        while self._settling is not None:
            await asyncio.shield(self._settling)

    def miss(self) -> None:
        """Something may have been missed."""
        self._has_missed = True
        self._event.set()

    async def wait(self) -> None:
        """Wait until there is something to take."""
        await self._event.wait()

    def take(self) -> list[Change] | None:
        """What was heard since the last time; None if something may have been missed."""
        self._event.clear()
        changes, self._changes = list(self._changes), deque()
        if self._has_missed:
            self._has_missed = False
            return None
        return changes

    async def close(self) -> None:
        """Hear no more."""
        await self._stop()
        self._link = None
        self._subscriptions.clear()

    async def _stop(self) -> None:
        settling, self._settling = self._settling, None
        if settling is not None:
            await end([settling])

    def _settle(self) -> None:
        if self._settling is None and self._link is not None and self._wanted.keys() != self._subscriptions.keys():
            self._settling = asyncio.get_running_loop().create_task(self._subscribe(self._link), name="nitro watches")

    async def _subscribe(self, link: Link) -> None:
        """Subscribe to what is watched, and unsubscribe from what is not."""
        try:
            while not link.is_closed and self._wanted.keys() != self._subscriptions.keys():
                for key in self._wanted.keys() - self._subscriptions.keys():
                    subject = self._subjects.news_of(key)
                    self._subscriptions[key] = await link.subscribe(subject, partial(self._came, key))
                for key in self._subscriptions.keys() - self._wanted.keys():
                    await self._subscriptions.pop(key).unsubscribe()
        except (NatsError, OSError) as error:
            log.debug("nats: %r", error)  # the connection is lost: all is subscribed to over the next one
        finally:
            if self._settling is asyncio.current_task():
                self._settling = None

    async def _came(self, key: str, message: Msg) -> None:
        headers = message.headers or {}
        found = Message.of(int(headers[_SEQUENCE]), headers, message.data)
        if found.kind is Kind.ALARM or key not in self._wanted:
            return
        record = found.record
        self._changes.append(Change(key, found.previous, found.stored, record.body if record else None, True))
        self._event.set()
