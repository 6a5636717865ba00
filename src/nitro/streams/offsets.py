"""Offsets: places in a stream, as tokens that sort as the places do.

A place is the version of a record that is before it, and how many items of the next record are before it as well. A
record has the items of several appends if they came within one tick.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["BEGINNING", "Offset", "parse"]

_TOKEN: Final = re.compile(r"([0-9a-f]{14})(?:\.([0-9a-f]{6}))?", re.ASCII)
_MAX_SKIPPED: Final = 0xFFFFFF


class Offset(NamedTuple):
    """A place: behind the record `version`, and behind `skipped` items of the one that follows it."""

    version: int
    skipped: int = 0

    def __str__(self) -> str:
        assert self.skipped <= _MAX_SKIPPED
        return f"{self.version:014x}.{self.skipped:06x}" if self.skipped else f"{self.version:014x}"


BEGINNING: Final = Offset(0)


def parse(token: str) -> Offset | None:
    """The place that `token` names; None if no store would have given it."""
    found = _TOKEN.fullmatch(token)
    if found is None:
        return None
    return Offset(int(found[1], 16), int(found[2] or "0", 16))
