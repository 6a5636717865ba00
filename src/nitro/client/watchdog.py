"""Watchdog: cuts the connection of a thread that reads from it, when nothing has come for too long or it is closed.

An event loop cancels what takes too long; a thread that waits in `recv` has to be woken by the socket's end.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, Self

__all__ = ["Watchdog"]

_NEVER: Final = math.inf


class Watchdog:
    """Watches one connection, in a thread of its own, while it is entered as a context.

    Attributes:
        was_silent: whether it has cut the connection, because nothing came for too long.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.was_silent: bool = False
        self._socket = connection
        self._changed = threading.Condition()
        self._due = _NEVER
        self._wakes_at = _NEVER
        self._is_over = False
        self._thread = threading.Thread(target=self._watch, name="nitro-watchdog", daemon=True)

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Cut the connection if what is inside takes longer."""
        self._due = time.monotonic() + seconds
        if self._due < self._wakes_at:
            with self._changed:
                self._changed.notify()
        try:
            yield
        finally:
            self._due = _NEVER

    def cut(self) -> None:
        """End the connection, from any thread: whoever reads from it is at its end."""
        with suppress(OSError):  # it has ended already
            socket.socket.shutdown(
                self._socket, socket.SHUT_RDWR
            )  # the method of a TLS socket is not for other threads

    def _watch(self) -> None:
        with self._changed:
            while not self._is_over:
                rest = self._due - time.monotonic()
                if rest <= 0:
                    self.was_silent = True
                    self.cut()
                    return
                self._wakes_at = time.monotonic() + rest
                self._changed.wait(None if rest == _NEVER else rest)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._thread.join()
