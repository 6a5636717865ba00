"""The wake-up pipe of a SQLite log: a named pipe beside its file, by which a commit wakes the readers in all processes.

Readers keep the pipe open and wait for edges; its content means nothing. A writer empties it and writes one byte, which
is an edge for every reader, however many there are. A process that is killed leaves nothing behind. A wake-up only
makes a reader look at the file: one that is lost costs time until the next poll, and one that is forged, one look.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import sys
from typing import Final

__all__ = ["WakeupPipe", "pipe_beside", "wake"]

_READ_BYTES: Final = 4096
_EDGE_SECONDS: Final = 0.01


class WakeupPipe:
    """One reader's end of the pipe. Not thread-safe.

    Args:
        path: of the pipe, from `pipe_beside`.
        database: path of the database file, which exists.

    Raises:
        OSError: there can be none, since the directory is not writable, its file system has no pipes, or this system is
            not Linux.
    """

    def __init__(self, path: str, database: str) -> None:
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, "only Linux has epoll")
        self._path = path
        self._epoll = select.epoll()
        self._pipe = _made(path, os.stat(database))
        with contextlib.ExitStack() as unless_woken:
            unless_woken.callback(self.close)
            self._epoll.register(self._pipe, select.EPOLLIN | select.EPOLLET)
            self.clear()
            wake(path)
            if not self._epoll.poll(_EDGE_SECONDS):  # it takes some time if another writer has just emptied it
                raise OSError(errno.ENOSYS, "a write to a pipe is no edge")
            unless_woken.pop_all()

    def fileno(self) -> int:
        """A descriptor that is readable while there are wake-ups."""
        return self._epoll.fileno()

    def clear(self) -> bool:
        """Forget the wake-ups so far; whether there were any."""
        return bool(self._epoll.poll(0))

    def is_current(self) -> bool:
        """Whether this is still the pipe that writers find."""
        try:
            return os.path.samestat(os.fstat(self._pipe), os.lstat(self._path))
        except OSError:
            return False

    def close(self) -> None:
        """Close the pipe, and delete it if nobody else has it open."""
        is_current = self.is_current()
        self._epoll.close()
        os.close(self._pipe)
        if is_current and not _has_readers(self._path):
            with contextlib.suppress(OSError):
                os.unlink(self._path)  # who opens it in this moment finds out by `is_current`

    def __repr__(self) -> str:
        return f"<WakeupPipe {self._path}>"


def pipe_beside(database: str, namespace: str) -> str:
    """Path of the pipe of a log: the same for all names of the database file."""
    return f"{os.path.realpath(database)}-wakeup-{namespace}"


def wake(path: str) -> None:
    """Wake the readers in all processes, after a commit. Thread-safe; doesn't block or raise."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        opened = _opened(path)
        try:
            with contextlib.suppress(BlockingIOError):
                os.read(opened, _READ_BYTES)  # some kernels (5.5 to 5.13) see no edge in a pipe that is not empty
            os.write(opened, b"\0")
        finally:
            os.close(opened)


def _opened(path: str) -> int:
    """Open the pipe to read and write, which never waits for another process, nor sees the pipe's end."""
    opened = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY)
    if not stat.S_ISFIFO(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EEXIST, "another file has the name of the pipe", path)
    return opened


def _made(path: str, database: os.stat_result) -> int:
    """Open the pipe, which is made if there is none, and let those use it who may write to the database."""
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    opened = _opened(path)
    writes = database.st_mode & 0o222
    with contextlib.suppress(OSError):  # another user's, who has done this; or a group that isn't ours
        os.fchown(opened, database.st_uid if os.geteuid() == 0 else -1, database.st_gid)
        os.fchmod(opened, writes << 1 | writes)
    return opened


def _has_readers(path: str) -> bool:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
    except OSError as error:
        return error.errno != errno.ENXIO
    return True
