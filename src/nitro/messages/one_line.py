"""JSON on one line, for all who read lines: an event's data is one."""

from __future__ import annotations

from typing import Final

__all__ = ["on_one_line"]

_LINE_ENDS_TO_SOME: Final = tuple((char.encode(), b"\\u%04x" % ord(char)) for char in "\x85\u2028\u2029")


def on_one_line(payload: bytes) -> bytes:
    """The same JSON with the characters escaped that some parsers treat as line ends; they only occur in strings."""
    if not payload.isascii():  # a fast check, and most payloads are ASCII
        for char, escape in _LINE_ENDS_TO_SOME:
            if payload.find(char[:1]) >= 0:  # a single byte is found much faster
                payload = payload.replace(char, escape)
    return payload
