"""Warns if the server has several workers, each of which has something of its own that they should share.

Called when a log in memory is made, and when metrics of one process are read. The server's options are not read, as
they may be in files; instead, workers with the same parent and the same command line compete for one lock file.
"""

from __future__ import annotations

import atexit
import hashlib
import logging
import os
import sys
import tempfile
import threading
from contextlib import suppress
from typing import Final

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["warn_of_other_workers"]

_SERVERS: Final = ("gunicorn", "uvicorn", "granian", "hypercorn")
_SECOND_LOOK_SECONDS: Final = 2.0
"""Delay of the second attempt: a worker may still be running while its replacement starts."""


def warn_of_other_workers(log: logging.Logger, warning: str) -> None:
    """Log a warning if this process is one of several workers of a server, after a second attempt at the lock.

    Args:
        log: where it is logged.
        warning: its text, with `%s` for the server. Each has a lock file of its own.
    """
    server = _server()
    if fcntl is None or server is None:
        return
    key = repr((os.getuid(), os.getppid(), os.getcwd(), sys.argv, warning))
    path = os.path.join(tempfile.gettempdir(), f"nitro-{hashlib.sha256(key.encode()).hexdigest()[:16]}.lock")
    if not _take(path):
        timer = threading.Timer(_SECOND_LOOK_SECONDS, _look_again, (path, log, warning, server))
        timer.daemon = True
        timer.start()


def _server() -> str | None:
    """The server that this process is one of several workers of; None if it is not."""
    process = sys.modules.get("multiprocessing.process")
    is_child = (process is not None and process.parent_process() is not None) or "gunicorn.arbiter" in sys.modules
    return next((name for name in _SERVERS if is_child and name in sys.modules), None)


def _look_again(path: str, log: logging.Logger, warning: str, server: str) -> None:
    if not _take(path):
        log.warning(warning, server)


def _take(path: str) -> bool:
    """Take the lock for the lifetime of this process; whether it succeeded, or the file can't be opened."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return False
    atexit.register(_remove, path, os.getpid())
    return True


def _remove(path: str, pid: int) -> None:
    if os.getpid() == pid:  # a forked child inherits this handler
        with suppress(OSError):
            os.unlink(path)
