"""Once: which idempotency keys the log has, so that what was published twice with one key is delivered once.

Filled in the log's order, so every process decides the same. It forgets a key with the message that brought it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Mark", "Once"]


class Mark(NamedTuple):
    """What makes a publish the same as another.

    Attributes:
        key: digest of who publishes and its idempotency key.
        content: digest of what is published; another one under the same key is a mistake.
    """

    key: str
    content: str


class Once:
    """The marks of the newest entries.

    Args:
        max_entries: how far behind the newest one an entry may be for its mark to count.
    """

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._marks: dict[str, tuple[int, str]] = {}  # the oldest first

    def is_new(self, mark: Mark, sequence: int) -> bool:
        """Whether the entry with this sequence is the first of its key; it is remembered."""
        for key in self._outdated(sequence):
            del self._marks[key]
        if mark.key in self._marks:
            return False
        self._marks[mark.key] = (sequence, mark.content)
        return True

    def content_of(self, key: str) -> str | None:
        """What was published under that key; None if nothing was, as far as is known."""
        found = self._marks.get(key)
        return None if found is None else found[1]

    def clear(self) -> None:
        """The log is another one, and has none of them."""
        self._marks.clear()

    def _outdated(self, sequence: int) -> Iterator[str]:
        found = []
        for key, (brought_at, _) in self._marks.items():
            if brought_at > sequence - self._max_entries:
                break
            found.append(key)
        return iter(found)

    def __repr__(self) -> str:
        return f"<Once: {len(self._marks)} keys>"
