"""Foreign ids: ids of another process's log, sent by clients to a process whose log is in its own memory.

After a restart each client sends one, once. If they keep coming, several processes serve the same page.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Final

__all__ = ["ForeignIds"]

log: Final = logging.getLogger("nitro.delivery")

_ARE_MANY: Final = 10
_WITHIN_SECONDS: Final = 60.0
_AFTERMATH_SECONDS: Final = 20.0
"""For this long after the first clients came, foreign ids may be those of the process before a restart."""


class ForeignIds:
    """Belongs to one lane."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._seen: deque[float] = deque(maxlen=_ARE_MANY)
        self._is_told = False

    def note(self) -> None:
        """Count a client that sent one; logs a warning, once, if there were many."""
        now = time.monotonic()
        if self._is_told or now - self._since < _AFTERMATH_SECONDS:
            return
        self._seen.append(now)
        if len(self._seen) == _ARE_MANY and now - self._seen[0] < _WITHIN_SECONDS:
            self._is_told = True
            log.warning(
                "%d clients came with ids of another process's log within %d s, and were told of a gap. If several "
                "processes serve this page, memory:// is a log in each of them: set NITRO_BROKER_URL to one that they "
                "share, such as sqlite:///events.db; "
                "https://nitro-realtime.github.io/nitro/how-to/scaling/ has the others",
                *(_ARE_MANY, _WITHIN_SECONDS),
            )

    def __repr__(self) -> str:
        return f"<ForeignIds, {len(self._seen)} seen>"
