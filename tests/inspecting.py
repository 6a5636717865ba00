"""A page of the inspector, as far as the server sees it: it reads the reports, and changes what it shows."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx

from tests.sse import Stream

__all__ = ["ADMIN", "Looking"]

ADMIN = {"x-admin": "ada"}
ITS_OWN = {**ADMIN, "x-nitro-inspector": "1"}


Wanted = Callable[[dict[str, Any]], object]
"""Whether a report is the one that is waited for."""


class Looking:
    """One page that looks at a server's inspector."""

    def __init__(self, url: str, mount: str = "/inspector") -> None:
        self.url = url + mount
        self.stream = Stream(int(url.rpartition(":")[2]), f"{mount}/events", "x-admin: ada\r\n").read_head()
        assert self.stream.head.startswith("HTTP/1.1 200"), self.stream.head
        self._read = 0
        self.hello = self._next("hello")

    def report(self, wanted: Wanted = lambda _: True, seconds: float = 20) -> dict[str, Any]:
        """The next report that is as wanted."""
        deadline = time.monotonic() + seconds
        while True:
            report = self._next("report")
            if wanted(report):
                return report
            assert time.monotonic() < deadline, report

    def show(self, **view: Any) -> None:
        """See other clients."""
        self.post("view", viewer=self.hello["viewer"], **view).raise_for_status()

    def post(self, path: str, **body: Any) -> httpx.Response:
        """What the page sends."""
        return httpx.post(f"{self.url}/{path}", json=body, headers=ITS_OWN, timeout=20, verify=False)

    def _next(self, name: str) -> dict[str, Any]:
        while True:
            events = self.stream.body.split(b"\n\n")[:-1]
            while self._read < len(events):
                lines = events[self._read].decode().split("\n")
                self._read += 1
                if f"event: {name}" in lines:
                    return dict(json.loads(next(line[6:] for line in lines if line.startswith("data: "))))
            self.stream.body, self._read = self.stream.body.rpartition(b"\n\n")[2], 0
            self.stream.read_more()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stream.socket.close()
