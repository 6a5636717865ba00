"""Witnesses: who is connected beside a bad input, and tells whether everybody else lives on."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from types import TracebackType
from typing import Any, Final, Self

import httpx

from nitro import Client, Gap, emit
from nitro.testing.conformance import eventually
from tests.servers import Server
from tests.specification.hearing import run
from tests.sse import Stream

__all__ = ["APP", "HISTORY", "OF_ONE_USER", "Bystander", "Neighbour"]

APP: Final = "tests.apps.bad_inputs:app"
HISTORY: Final = 40
"""How many messages the server retains that these tests share."""
OF_ONE_USER: Final = 3
"""How many clients of one user it takes."""

_ROOMY: Final = 1 << 26
_SECONDS: Final = 10


class Bystander:
    """Another client of this process, which hears everything from before the bad input to after it."""

    def __init__(self) -> None:
        self._client = Client(topics=["*"], max_bytes=_ROOMY)

    def lives_on(self, *results: Any) -> None:
        """It heard these, and a gap as its reason, and nothing else; and it hears the next event."""
        last = f"next {secrets.token_hex(4)}"
        emit("bystander.next", result=last)
        heard: list[Any] = []

        async def scenario() -> None:
            with contextlib.suppress(TimeoutError):  # what was heard until then says more
                async with asyncio.timeout(_SECONDS):
                    async for message in self._client.messages():
                        heard.append(message.reason if isinstance(message, Gap) else message.data)
                        if heard[-1] == last:
                            return

        run(scenario)
        assert heard == [*results, last]

    def __enter__(self) -> Self:
        self._client.connect()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._client.disconnect()


class Neighbour:
    """Another stream of a server, open from before the bad input to after it."""

    _numbers = itertools.count()

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.url, trust_env=False, verify=False, timeout=10)
        eventually(lambda: self.clients() == 0, "those of the test before are gone")
        self._stream = Stream(server.port, "/everything?muted=t.big").read_until(b"id: ")

    def clients(self) -> int:
        """How many are connected to the server."""
        return int(self.http.get("/clients").text)

    def emit(self, *events: tuple[str, Any]) -> str:
        """Let the server emit these results under these topics; where its log stands then."""
        answer = self.http.post("/emit", json=events)
        assert answer.status_code == 200
        return str(answer.json()["position"])

    def lives_on(self) -> None:
        """It hears the next event, the server answers, and nothing was raised in it."""
        text = f"next {next(self._numbers)}"
        self.emit(("neighbour.next", text))
        self._stream.read_until(f'data: "{text}"\n'.encode())
        assert self.http.get("/clients").status_code == 200
        assert "Traceback" not in self.server.output, self.server.output

    def is_alone_within(self, seconds: float) -> None:
        """Nobody else is connected any more, after so many seconds at most."""
        eventually(lambda: self.clients() == 1, "the others are cleaned up", seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.socket.close()
        self.http.close()
