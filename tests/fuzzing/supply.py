"""Supply: values drawn from the bytes of one input, front to back. Once they are used up, zeros come."""

from __future__ import annotations

SEPARATOR = b"\xfe"
"""Between the texts of one input: no UTF-8 has it, and no header or query that means anything."""


class Supply:
    """Made anew for each input."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        return self._at >= len(self._data)

    def byte(self) -> int:
        return self.take(1)[0]

    def below(self, limit: int) -> int:
        """A number from 0 on."""
        return self.byte() % limit

    def take(self, count: int) -> bytes:
        """So many bytes."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken.ljust(count, b"\0")

    def rest(self) -> bytes:
        """All that is left."""
        taken, self._at = self._data[self._at :], len(self._data)
        return taken

    def texts(self, count: int) -> list[bytes]:
        """All that is left, in so many parts; the last one takes what has separators of its own."""
        parts = self.rest().split(SEPARATOR, count - 1)
        return parts + [b""] * (count - len(parts))


def text(data: bytes) -> str:
    """Bytes as a text that UTF-8 can hold."""
    return data.decode("utf-8", "replace")
