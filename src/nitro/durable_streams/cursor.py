"""Cursors: numbers that change with time, so that no cache answers the same live request for ever.

Section 10.1 of the protocol: time is cut into intervals, and a cursor is the number of one.
"""

from __future__ import annotations

import re
import time
from typing import Final

from nitro.chance import CHANCE

__all__ = ["Cursor"]

_BEGINNING: Final = 1_728_432_000
"""9 October 2024, 00:00 UTC, in seconds since 1970."""
_INTERVAL_SECONDS: Final = 20
_MOST_JITTER_SECONDS: Final = 3_600
_CURSOR: Final = re.compile(r"[0-9]{1,18}", re.ASCII)


class Cursor:
    """The cursors of one response, which never go back.

    Args:
        given: what the client had last; what no server has given is as none.
    """

    __slots__ = ("_least",)

    def __init__(self, given: str | None) -> None:
        self._least = 0
        if given is not None and _CURSOR.fullmatch(given) is not None and int(given) >= _interval():
            jitter = CHANCE.randint(1, _MOST_JITTER_SECONDS) // _INTERVAL_SECONDS
            self._least = int(given) + max(1, jitter)

    def now(self) -> str:
        """The cursor of what is sent now."""
        self._least = max(self._least, _interval())
        return str(self._least)


def _interval() -> int:
    return int(time.time() - _BEGINNING) // _INTERVAL_SECONDS
