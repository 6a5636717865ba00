"""A reader of one server-sent event stream over HTTP/2 without TLS, that can stop to open its window."""

from __future__ import annotations

import json
import socket
from types import TracebackType
from typing import Any, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, WindowUpdated


class H2Stream:
    """One GET on a connection of its own, by prior knowledge.

    Attributes:
        body: what came so far.
        is_complete: whether the stream has ended, well or by a reset.
        opens_window: acknowledge what comes, so that more may come.
    """

    def __init__(self, port: int, path: str, *, last_event_id: str = "", opens_window: bool = True) -> None:
        self.opens_window = opens_window
        self.body = b""
        self.is_complete = False
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._connection = H2Connection(H2Configuration(header_encoding=None))
        self._connection.initiate_connection()
        headers = [(":method", "GET"), (":path", path), (":scheme", "http"), (":authority", f"127.0.0.1:{port}")]
        if last_event_id:
            headers.append(("last-event-id", last_event_id))
        self._connection.send_headers(1, headers, end_stream=True)
        self._flush()

    def read_until(self, wanted: bytes) -> Self:
        while wanted not in self.body:
            if self.is_complete:
                raise AssertionError(f"{wanted!r} did not come: {self.body[-300:]!r}")
            self.read_more()
        return self

    def read_to_end(self) -> Self:
        while not self.is_complete:
            self.read_more()
        return self

    def read_more(self) -> None:
        """What comes next."""
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError(f"the server closed the connection after {self.body[-200:]!r}")
        for event in self._connection.receive_data(data):
            if isinstance(event, DataReceived):
                self.body += event.data
                if self.opens_window:
                    self._connection.acknowledge_received_data(event.flow_controlled_length, 1)
            elif isinstance(event, ResponseReceived):
                assert dict(event.headers)[b":status"] == b"200", event.headers
            elif isinstance(event, StreamEnded | StreamReset):
                self.is_complete = True
            else:
                assert not isinstance(event, WindowUpdated) or not event.stream_id
        self._flush()

    def data(self) -> list[Any]:
        events = self.body.split(b"\n\n")[:-1]
        return [json.loads(line[6:]) for event in events for line in event.split(b"\n") if line.startswith(b"data: ")]

    @property
    def last_event_id(self) -> str:
        """The id that a browser would come back with."""
        whole = self.body.rpartition(b"\n\n")[0]
        ids = [line[4:] for line in whole.split(b"\n") if line.startswith(b"id: ")]
        return ids[-1].decode() if ids else ""

    def _flush(self) -> None:
        self.socket.sendall(self._connection.data_to_send())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.socket.close()
