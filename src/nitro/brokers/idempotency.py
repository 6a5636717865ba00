"""Idempotency: the idempotency keys in the log, so that messages published twice with one key are delivered once.

Filled in the log's order. Decisions depend on the log's contents alone, so every process decides the same.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import NamedTuple
from weakref import WeakValueDictionary

__all__ = ["IdempotencyKey", "IdempotencyKeys"]


class IdempotencyKey(NamedTuple):
    """Identifies repeated publishes of one message.

    Attributes:
        key: digest of the publisher and its idempotency key.
        content: digest of what is published; another one with the same key is a mistake.
        at: when it was published, in seconds since 1970.
    """

    key: str
    content: str
    at: float


class IdempotencyKeys:
    """The idempotency keys of the newest entries.

    Args:
        max_entries: how many entries back a key counts.
        max_age_seconds: how long a key counts.
    """

    def __init__(self, max_entries: int, max_age_seconds: float) -> None:
        self._max_entries = max_entries
        self._max_age_seconds = max_age_seconds
        self._keys: dict[str, tuple[int, IdempotencyKey]] = {}  # the oldest entry first
        self._awaited: WeakValueDictionary[str, Future[str | None]] = WeakValueDictionary()

    def is_new(self, idempotency_key: IdempotencyKey, sequence: int) -> bool:
        """Record the key of the entry at `sequence`; whether no entry within the limits before it has the same key.

        The limits count from the last entry with that key, whether it was new or not. So the answer depends only on
        the entries before this one, wherever a process began to read them.
        """
        while self._keys and next(iter(self._keys.values()))[0] <= sequence - self._max_entries:
            del self._keys[next(iter(self._keys))]
        found = self._keys.pop(idempotency_key.key, None)
        is_new = found is None or idempotency_key.at - found[1].at >= self._max_age_seconds
        self._keys[idempotency_key.key] = (
            sequence,
            idempotency_key if is_new or found is None else found[1]._replace(at=idempotency_key.at),
        )
        awaited = self._awaited.pop(idempotency_key.key, None) if self._awaited else None
        if awaited is not None:
            awaited.set_result(self.content_of(idempotency_key.key))
        return is_new

    def content_of(self, key: str) -> str | None:
        """The content published with this key; None if there is none within the limits."""
        found = self._keys.get(key)
        if found is None or time.time() - found[1].at >= self._max_age_seconds:
            return None
        return found[1].content

    def content_when_seen(self, key: str) -> Future[str | None]:
        """The same, as a future that completes once an entry has the key. Nobody else keeps that future."""
        content = self.content_of(key)
        future = self._awaited.get(key) if content is None else None
        if future is None:
            future = Future()
            future.set_running_or_notify_cancel()  # whoever gives up cancels it for nobody else
            if content is None:
                self._awaited[key] = future
            else:
                future.set_result(content)
        return future

    def clear(self) -> None:
        """Forget all keys: the log was replaced."""
        self._keys.clear()

    def __repr__(self) -> str:
        return f"<IdempotencyKeys: {len(self._keys)} keys>"
