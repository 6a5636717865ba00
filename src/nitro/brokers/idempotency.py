"""Idempotency: which idempotency keys the log has, so that what was published twice with one key is delivered once.

Filled in the log's order, and decided from what stands in the log alone, so every process decides the same.
"""

from __future__ import annotations

import time
from typing import NamedTuple

__all__ = ["IdempotencyKey", "IdempotencyKeys"]


class IdempotencyKey(NamedTuple):
    """What makes a publish the same as another.

    Attributes:
        key: digest of who publishes and its idempotency key.
        content: digest of what is published; another one under the same key is a mistake.
        at: when it was published, in seconds since 1970.
    """

    key: str
    content: str
    at: float


class IdempotencyKeys:
    """The marks of the newest entries.

    Args:
        max_entries: how far behind the newest one an entry may be for its key to count.
        max_age_seconds: how much older it may be.
    """

    def __init__(self, max_entries: int, max_age_seconds: float) -> None:
        self._max_entries = max_entries
        self._max_age_seconds = max_age_seconds
        self._keys: dict[str, tuple[int, IdempotencyKey]] = {}  # the oldest entry first

    def is_new(self, idempotency_key: IdempotencyKey, sequence: int) -> bool:
        """Whether no entry shortly before this one, with that sequence, has its key; it is remembered.

        Shortly before is as counted from the last one with that key, new or not. So it depends on nothing but the
        entries before this one, wherever a process began to read them.
        """
        while self._keys and next(iter(self._keys.values()))[0] <= sequence - self._max_entries:
            del self._keys[next(iter(self._keys))]
        found = self._keys.pop(idempotency_key.key, None)
        is_new = found is None or idempotency_key.at - found[1].at >= self._max_age_seconds
        self._keys[idempotency_key.key] = (
            sequence,
            idempotency_key if is_new or found is None else found[1]._replace(at=idempotency_key.at),
        )
        return is_new

    def content_of(self, key: str) -> str | None:
        """What was published under that key; None if nothing was that counts any more."""
        found = self._keys.get(key)
        if found is None or time.time() - found[1].at >= self._max_age_seconds:
            return None
        return found[1].content

    def clear(self) -> None:
        """The log is another one, and has none of them."""
        self._keys.clear()

    def __repr__(self) -> str:
        return f"<IdempotencyKeys: {len(self._keys)} keys>"
