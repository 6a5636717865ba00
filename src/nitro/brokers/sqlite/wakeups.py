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
        self._path: str | None = None
        self._pipe: WakeupPipe | None = None
        self._found: WakeupPipe | None = None
        self._is_woken = asyncio.Event()
        self._quiet_since = 0.0
        self._listened_at = 0.0

    def listen(self) -> None:
        """Listen to the pipe, which another process may have made anew; without one, the reader polls more often."""
        self._listened_at = time.monotonic()
        self.find()
        self.attach()

    def find(self) -> None:
        """Find the pipe, or make it; `attach` listens to it. In any thread, but not in two at once."""
        if self._pipe is not None and self._pipe.is_current():
            return
        self._path = pipe_beside(self._database, self._namespace)
        try:
            self._found = WakeupPipe(self._path, self._database)
        except OSError as error:
            log.debug("%s is polled, since commits can't wake its readers: %s", self._database, error)

    def attach(self) -> None:
        """Listen to the pipe that was found, instead of the one before."""
        found, self._found = self._found, None
        if found is not None:
            self.close()
            self._pipe = found
            asyncio.get_running_loop().add_reader(found.fileno(), self._take)

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
        if self._path is None:
            self._path = pipe_beside(self._database, self._namespace)
        wake(self._path)

    def has_read(self) -> None:
        """The reader found entries, and so may soon find more."""
        self.has_found()
        if self._quiet_since - self._listened_at > _LISTEN_SECONDS:
            self.listen()

    def has_found(self) -> None:
        """The same, of a reader that sees to listening itself."""
        self._quiet_since = time.monotonic()

    def close(self) -> None:
        """Stop listening."""
        for pipe in self.detach():
            pipe.close()

    def detach(self) -> list[WakeupPipe]:
        """Stop listening; what is left to be closed, in any thread."""
        pipe, found, self._pipe, self._found = self._pipe, self._found, None, None
        if pipe is not None:
            asyncio.get_running_loop().remove_reader(pipe.fileno())
        return [each for each in (pipe, found) if each is not None]

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
