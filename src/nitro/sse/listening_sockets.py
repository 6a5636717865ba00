"""Listening sockets: the sockets on which this process takes the connections of one address.

Fed by the `server` of an ASGI scope; tells the server watch that they are closed. A server that stops by itself, after
a number of requests or on its master's order, sends no signal and tells ASGI nothing before the open responses have
ended; but every server closes its listener first.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["ListeningSockets"]

_DESCRIPTORS: Final = ("/proc/self/fd", "/dev/fd")
"""Where a POSIX system lists the process's own file descriptors. Windows has no such list, so none are found there."""


@dataclass(frozen=True, slots=True)
class ListeningSockets:
    """The listening sockets of one address, as found at one moment.

    Attributes:
        descriptors: each with its inode, since the number of a closed descriptor is reused by the next file.
    """

    descriptors: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, server: Any) -> ListeningSockets:
        """The sockets that listen at `server`: `(host, port)`, or `(path, None)` for a Unix socket."""
        try:
            host, port = server
        except (TypeError, ValueError):  # None from a server that doesn't know its address
            return cls(frozenset())
        found = [number for number in _descriptors() if _listens_at(number, host, port)]
        return cls(frozenset((number, inode) for number in found if (inode := _inode(number)) is not None))

    def are_closed(self) -> bool:
        """Whether at least one is closed. Then the server is stopping; the others may be duplicates that stay open."""
        return any(_inode(number) != inode for number, inode in self.descriptors)

    def __bool__(self) -> bool:
        return bool(self.descriptors)


def _descriptors() -> list[int]:
    for directory in _DESCRIPTORS:
        with contextlib.suppress(OSError):
            return [int(name) for name in os.listdir(directory) if name.isdigit()]
    return []


def _inode(number: int) -> int | None:
    """The inode of an open socket; None if `number` is not one."""
    try:
        status = os.fstat(number)
    except OSError:
        return None
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else None


def _listens_at(number: int, host: object, port: object) -> bool:
    if _inode(number) is None:
        return False
    try:
        found = socket.socket(fileno=number)
    except OSError:
        return False
    try:
        if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return False
        name = found.getsockname()
        return name == host if port is None else isinstance(name, tuple) and name[1] == port
    except OSError:
        return False
    finally:
        found.detach()  # the server owns it, and it stays open
