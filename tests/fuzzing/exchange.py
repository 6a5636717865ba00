"""A process of its own for each input: a hub with an empty log, an event loop, and the server's side of one request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from starlette.responses import Response

from nitro.clients.client import active_clients
from nitro.delivery import process
from nitro.delivery.hub import Hub
from nitro.settings import Settings
from tests.wire import Wire

SECONDS = 5
"""How long anything may take that takes no time."""


@contextmanager
def own_hub(**settings: Any) -> Iterator[Hub]:
    """A fresh hub, in which nobody is left at the end."""
    before, process._hub = process._hub, process.make_hub(_settings(**settings))
    try:
        yield process._hub
        left = [client for client in active_clients.values() if client.is_connected]
        seen = process._hub.statistics()
        assert (seen.clients, seen.feeds, seen.loops, left) == (0, 0, 0, [])
    finally:
        for client in list(active_clients.values()):
            client.disconnect()
        process._hub = before


@cache
def _settings(**settings: Any) -> Settings:
    return Settings(heartbeat_seconds=3600, **settings)


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run it to its end in an event loop, in which nothing is left at the end."""
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(asyncio.wait_for(coroutine, SECONDS))
        loop.run_until_complete(asyncio.sleep(0))
        assert not asyncio.all_tasks(loop), "tasks are left running"
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
            loop.run_until_complete(asyncio.wait([task]))
        loop.close()


def is_probe(query: bytes) -> bool:
    """Whether the greeting alone is asked for, which is no stream."""
    return {b"envelope=1", b"probe=1"} <= set(query.split(b"&"))


class Exchange(Wire):
    """A request and what was answered; made in a running loop.

    Attributes:
        start: the head of the response.
        opening: what was sent first of its body.
    """

    def __init__(self, query: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(query, headers)
        self.start: dict[str, Any] = {}
        self.opening = b""
        self._more = asyncio.Event()

    async def send(self, message: Any) -> None:
        assert not self.is_complete, "it goes on behind its end"
        if message["type"] == "http.response.start":
            assert not self.start, "it began twice"
            self.start = message
        else:
            self.body += message["body"]
            self.opening = self.opening or message["body"]
            self.is_complete = not message.get("more_body", False)
        self._more.set()

    async def body_with(self, wanted: bytes) -> bytes:
        """The body, as soon as it has that, or as it is at the end of the response."""
        while wanted not in self.body and not self.is_complete:
            self._more.clear()
            await self._more.wait()
        return self.body

    def begin(self, response: Response) -> asyncio.Task[None]:
        return asyncio.create_task(response(self.scope, self.receive, self.send))

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.start["headers"])

    def check_problem(self, status: int) -> None:
        """The answer is JSON that says so, in ASCII and on one line."""
        assert self.is_complete
        assert self.headers[b"content-type"] == b"application/problem+json"
        problem = json.loads(self.body)
        assert (self.start["status"], problem["status"]) == (status, status), problem
        assert set(problem) == {"type", "title", "status", "detail"}
        for line in (self.body, *self.headers.values()):
            assert line.isascii()
            assert not any(char in line for char in b"\r\n\0")
        assert (b"retry-after" in self.headers) == (status == 429)
