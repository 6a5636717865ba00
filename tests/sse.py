"""A reader of server-sent events over a raw socket, for tests that need to see the bytes or to misbehave."""

from __future__ import annotations

import json
import socket
import struct
import time
from types import TracebackType
from typing import Any, Self


class Stream:
    """One GET on a socket of its own; the body is read as chunked, without any library."""

    def __init__(
        self, port: int | str, path: str, headers: str = "", method: str = "GET", receive_buffer: int = 0
    ) -> None:
        place = port if isinstance(port, str) else ("127.0.0.1", port)  # a Unix socket's, or a port
        self.socket = socket.socket(socket.AF_UNIX if isinstance(port, str) else socket.AF_INET)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10)
        try:
            self.socket.connect(place)
            self.socket.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode())
        except OSError:  # a server that ends may take the connection and not the request
            self.socket.close()
            raise
        self.head = ""
        self.body = b""
        self.is_complete = False
        self._raw = bytearray()

    def read_head(self) -> Self:
        while b"\r\n\r\n" not in self._raw:
            self._raw += self._receive()
        end = self._raw.find(b"\r\n\r\n")
        self.head = self._raw[:end].decode()
        del self._raw[: end + 4]
        return self

    def forget(self) -> None:
        """Read what comes from now on as the answer to another request on this connection."""
        self.head, self.body, self._raw = "", b"", bytearray()

    def read_until(self, wanted: bytes, seconds: float = 10) -> Self:
        """Read until `wanted` is in the body."""
        deadline = time.monotonic() + seconds
        while wanted not in self.body:
            if time.monotonic() > deadline or self.is_complete:
                raise AssertionError(f"{wanted!r} did not come: {self.body[-300:]!r}")
            self.read_more()
        return self

    def read_more(self) -> None:
        """Until another chunk is in the body; to look at all of it at each read would cost more than to read it."""
        if not self.head:
            self.read_head()
        while not self._parse():  # it may have come with the head already
            self._raw += self._receive()

    def read_to_end(self) -> Self:
        while not self.is_complete:
            self.read_more()
        return self

    def events(self, count: int) -> list[Any]:
        """The data of the first `count` events."""
        deadline = time.monotonic() + 30
        while len(found := self.data()) < count:
            if time.monotonic() > deadline or self.is_complete:
                raise AssertionError(f"{len(found)} of {count} events came")
            self.read_more()
        return found[:count]

    def data(self) -> list[Any]:
        events = self.body.split(b"\n\n")[:-1]
        return [json.loads(line[6:]) for event in events for line in event.split(b"\n") if line.startswith(b"data: ")]

    def reset(self) -> None:
        """Go with a TCP reset, as a client that crashed."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _parse(self) -> bool:
        """Move whole chunks to the body; whether there was one."""
        found = False
        while not self.is_complete and (end := self._raw.find(b"\r\n")) >= 0:
            size = int(self._raw[:end], 16)
            begin = end + 2
            if len(self._raw) < begin + size + 2:
                break
            self.body += self._raw[begin : begin + size]
            del self._raw[: begin + size + 2]
            self.is_complete = size == 0
            found = True
        return found

    def _receive(self) -> bytes:
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError(f"the server closed the connection after {self.body[-200:]!r}")
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()
