"""Requests as the very bytes that a stranger sends."""

from __future__ import annotations

import socket

from tests.sse import Stream

__all__ = ["RawStream", "get"]


class RawStream(Stream):
    """A stream that is asked for by these bytes, whatever they are."""

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.sendall(request)
        self.head = ""
        self.body = b""
        self.is_complete = False
        self._raw = bytearray()

    @property
    def status(self) -> int:
        """Of the answer, whose head is read for it if need be."""
        if not self.head:
            self.read_head()
        return int(self.head.split()[1])


def get(path: bytes, *headers: bytes) -> bytes:
    """A GET of HTTP/1.1 with these header lines."""
    return b"\r\n".join([b"GET %b HTTP/1.1" % path, b"Host: localhost", *headers, b"", b""])
