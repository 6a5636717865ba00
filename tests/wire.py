"""The server's side of one ASGI request, whose bytes are kept: for tests that need no server."""

from __future__ import annotations

import asyncio
from typing import Any

from nitro import Client, EventSourceResponse


class Wire:
    """Made in a running loop; the client is gone once `gone` is set."""

    def __init__(self, query: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.scope = {"type": "http", "method": "GET", "headers": headers, "query_string": query}
        self.body = b""
        self.is_complete = False
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.body += message.get("body", b"")
        self.is_complete = message["type"] == "http.response.body" and not message["more_body"]

    async def until(self, wanted: bytes) -> bytes:
        async with asyncio.timeout(5):
            while wanted not in self.body:
                await asyncio.sleep(0.001)
        return self.body

    def answer(self, response: EventSourceResponse | Client) -> asyncio.Task[None]:
        if isinstance(response, Client):
            response = EventSourceResponse(response)
        return asyncio.create_task(self._run(response))

    async def play(self, response: EventSourceResponse, wanted: bytes) -> list[tuple[str, ...]]:
        """The frames up to `wanted`, each as its lines."""
        task = self.answer(response)
        body = await self.until(wanted)
        self.gone.set()
        await task
        return [tuple(frame.split("\n")) for frame in body.decode().split("\n\n") if frame]

    async def _run(self, response: EventSourceResponse) -> None:
        await response(self.scope, self.receive, self.send)
