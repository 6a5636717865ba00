"""A reader of runs for tests: it reads, is cut, comes back with its last id, and keeps what it got."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx

from tests.sse import Stream

__all__ = ["RunReading", "start_run"]


class RunReading:
    """One reader of one run.

    Attributes:
        items: what it got, in order.
        end: the data of the event `end`; None before it.
        last_id: of the newest item.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.items: list[Any] = []
        self.ids: list[str] = []
        self.end: dict[str, Any] | None = None
        self.last_id = ""
        self.writes = 0

    def read(self, port: int, *, most: int | None = None, seconds: float = 20) -> RunReading:
        """Connect and read until the end, or until there are `most` more items; then cut the connection."""
        headers = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
        stream = Stream(port, self.path, headers)
        deadline, taken = time.monotonic() + seconds, 0
        try:
            stream.read_head()
            assert stream.head.startswith("HTTP/1.1 200"), stream.head
            while self.end is None and (most is None or taken < most):
                *events, _ = stream.body.split(b"\n\n")
                for event in events:
                    stream.body = stream.body[len(event) + 2 :]
                    if self._take(event):
                        taken += 1
                    if most is not None and taken >= most:
                        return self
                if self.end is None and not events:
                    assert time.monotonic() < deadline, (self.path, len(self.items), stream.body)
                    assert not stream.is_complete, (self.path, len(self.items), stream.body)
                    stream.read_more()
                    self.writes += 1
            return self
        finally:
            stream.reset()

    def follow(self, port: int, seconds: float = 60) -> RunReading:
        """Read to the end as a browser does: whatever ends the connection before, it comes again."""
        deadline = time.monotonic() + seconds
        while self.end is None:
            assert time.monotonic() < deadline, (self.path, len(self.items))
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self.last_id} if self.last_id else {})
            lines: list[bytes] = []
            try:
                with httpx.stream(
                    "GET", f"http://127.0.0.1:{port}{self.path}", headers=headers, timeout=30, verify=False
                ) as answer:
                    assert answer.status_code == 200, answer.status_code
                    for line in answer.iter_lines():
                        if line:
                            lines.append(line.encode())
                        elif lines:
                            self._take(b"\n".join(lines))
                            lines = []
            except httpx.TransportError:
                pass
            if self.end is None:
                time.sleep(0.2)
        return self

    def _take(self, event: bytes) -> bool:
        fields = dict(line.partition(": ")[::2] for line in event.decode().splitlines())
        if fields.get("event") == "end":
            self.end = json.loads(fields["data"])
        elif "data" in fields:
            self.items.append(json.loads(fields["data"]))
            self.last_id = fields["id"]
            self.ids.append(self.last_id)
            return True
        elif "id" in fields:
            assert fields["id"] == "stop", event
        return False


def start_run(url: str, path: str = "/runs", **parameters: Any) -> str:
    """Start a run; its id."""
    answer = httpx.post(url + path, params=parameters, timeout=30, verify=False)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["run"])
