"""The wake-ups of a SQLite log: when its reader looks at the file again.

Commits wake it: this process's, and by the wake-up pipe those of others. It also polls, for writers that wake nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from nitro.brokers.sqlite.wakeup_pipe import WakeupPipe, pipe_beside, wake

__all__ = ["Wakeups"]

log: Final = logging.getLogger("nitro.brokers")

_POLL_SECONDS: Final = 0.5
_POLL_SOON_SECONDS: Final = 0.004
_POLL_LATER_SECONDS: Final = 0.03
_LATER_AFTER_SECONDS: Final = 1.0
"""Without a pipe, an idle log is polled less often."""
_LISTEN_SECONDS: Final = 1.0


class Wakeups:
    """Part of one SQLite log; used in its event loop, unless said otherwise.

    Args:
        database: path of the file.
        namespace: of the log.
    """

    def __init__(self, database: str, namespace: str) -> None:
        self._database = database
        self._namespace = namespace
        self._path = pipe_beside(database, namespace)
        self._pipe: WakeupPipe | None = None
        self._is_woken = asyncio.Event()
        self._quiet_since = 0.0
        self._listened_at = 0.0

    def listen(self) -> None:
        """Listen to the pipe, which another process may have made anew; without one, the reader polls more often."""
        self._listened_at = time.monotonic()
        if self._pipe is not None and self._pipe.is_current():
            return
        self.close()
        self._path = pipe_beside(self._database, self._namespace)
        try:
            self._pipe = WakeupPipe(self._path, self._database)
        except OSError as error:
            log.debug("%s is polled, since commits can't wake its readers: %s", self._database, error)
        else:
            asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._take)

    def clear(self) -> None:
        """Forget the wake-ups so far, since the reader is about to look."""
        self._is_woken.clear()

    async def wait(self, seconds: float) -> None:
        """Return at a wake-up since `clear`, when it is time to poll, or after `seconds`."""
        timer = asyncio.get_running_loop().call_later(min(seconds, self._poll_seconds()), self._is_woken.set)
        try:
            await self._is_woken.wait()
        finally:
            timer.cancel()

    def wake_own(self) -> None:
        """Wake the reader of this process."""
        self._is_woken.set()

    def wake_all(self) -> None:
        """Wake the readers of all processes, after a commit. Thread-safe; doesn't block or raise."""
        wake(self._path)

    def has_read(self) -> None:
        """The reader found entries, and so may soon find more."""
        self._quiet_since = time.monotonic()
        if self._quiet_since - self._listened_at > _LISTEN_SECONDS:
            self.listen()

    def close(self) -> None:
        """Stop listening."""
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            asyncio.get_running_loop().remove_reader(pipe.fileno())
            pipe.close()

    def _take(self) -> None:
        if self._pipe is not None and self._pipe.clear():
            self._is_woken.set()

    def _poll_seconds(self) -> float:
        if self._pipe is not None:
            return _POLL_SECONDS
        is_quiet = time.monotonic() - self._quiet_since > _LATER_AFTER_SECONDS
        return _POLL_LATER_SECONDS if is_quiet else _POLL_SOON_SECONDS

    def __repr__(self) -> str:
        return f"<Wakeups by {self._pipe or 'polling'}>"
