"""Forks wait until no thread of Nitro is in the middle of a call of SQLite.

SQLite has mutexes that belong to the process: for its memory, for the files that it has open. A child in which a thread
that is no more holds one of them waits for ever when it first uses SQLite, even over a connection of its own. Of an
application's own threads nothing is known here: whoever uses SQLite in one and forks in another has this to look after.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Final

__all__ = ["UNFORKED"]

_LONGEST_SECONDS: Final = 1.0
"""What takes longer waits for the lock of a file, and holds no mutex of the process while it sleeps."""


class _Depth(threading.local):
    """How many calls of the running thread are going on, one inside of the other."""

    value = 0


class _Calls:
    """The calls of SQLite that are going on, as a context manager; one may be inside of another.

    While a thread waits to fork, no other thread begins one.
    """

    def __init__(self) -> None:
        self._depth = _Depth()
        self._renew()

    def _renew(self) -> None:
        self._count = self._depth.value
        self._forks = 0  # that wait or go on
        self._lock = threading.RLock()  # held while this process forks
        self._changed = threading.Condition(self._lock)

    def __enter__(self) -> None:
        with self._lock:
            if self._forks and not self._depth.value:
                self._changed.wait_for(lambda: not self._forks)
            self._count += 1
        self._depth.value += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._depth.value -= 1
        with self._lock:
            self._count -= 1
            if self._forks:
                self._changed.notify_all()

    def before_fork(self) -> None:
        self._lock.acquire()
        self._forks += 1
        self._changed.wait_for(lambda: self._count == self._depth.value, _LONGEST_SECONDS)

    def after_in_parent(self) -> None:
        self._forks -= 1
        self._changed.notify_all()
        self._lock.release()

    def after_in_child(self) -> None:
        self._renew()  # no other thread is left

    def __repr__(self) -> str:
        return f"<{self._count} calls of SQLite>"


UNFORKED: Final = _Calls()
"""`with UNFORKED:` around calls of SQLite: no child begins in the middle of them. Nothing may be awaited inside."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=UNFORKED.before_fork, after_in_parent=UNFORKED.after_in_parent, after_in_child=UNFORKED.after_in_child
    )
