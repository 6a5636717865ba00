"""The reader of a run over HTTP: a client that hears no topics, but gets the pages of one run."""

from __future__ import annotations

from typing import Final, Self

from starlette.types import Receive, Scope, Send

from nitro.clients.client import Client
from nitro.delivery.process import get_hub
from nitro.messages.identity import Identity
from nitro.runs.frames import Framing
from nitro.runs.pages import RunPages
from nitro.sse.response import EventSourceResponse
from nitro.streams.offsets import BEGINNING, parse
from nitro.streams.streams import Streams

__all__ = ["RunReader", "RunResponse"]


class RunReader(Client):
    """Counts in the limits of clients as any other, and is ended by `disconnect_user`.

    Args:
        streams, key: of which run.
        framing: how its items become events.
        user_id: who reads.
    """

    __slots__ = ("_framing", "_key", "_offset", "_pages", "_streams")

    def __init__(self, streams: Streams, key: str, framing: Framing, user_id: Identity | None) -> None:
        super().__init__(topics=_NOTHING, user_id=user_id)
        self._streams = streams
        self._key = key
        self._framing = framing
        self._offset = BEGINNING
        self._pages: RunPages | None = None

    def write_plainly(self) -> None:
        """Write each item as JSON, and the end as the event `end`, whatever the endpoint has asked for."""
        self._framing = Framing()

    def resume(self, last_event_id: str) -> None:
        """Begin behind the item with that id; from the beginning if no item has it."""
        self._offset = parse(last_event_id) or BEGINNING

    def connect(self) -> Self:
        """Begin to read; in the event loop of the run."""
        super().connect()
        outbox = self._membership.outbox
        if outbox is not None and self.is_connected and self._pages is None:
            self._pages = RunPages(self._streams, self._key, self._offset, self._framing, outbox, self._over)
            get_hub().read(outbox, self._pages)
        return self

    def disconnect(self, *, stop: bool = False) -> Self:
        """Read no more."""
        super().disconnect(stop=stop)
        if self._pages is not None:
            self._pages.close()
            self._pages = None
        return self

    def _over(self) -> None:
        self.disconnect(stop=True)


class RunResponse(EventSourceResponse):
    """Streams a run. It waits for no log, as it reads none.

    The browser client's `follow` asks with `envelope=1`. It gets heartbeats as events, and items and end in one form,
    so that no item's text is taken for an event of the stream's own.
    """

    client: RunReader
    is_endless = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if b"envelope=1" in scope.get("query_string", b"").split(b"&"):
            self.client.write_plainly()
        await super().__call__(scope, receive, send)

    async def _wait_for_log(self, *_: object, **__: object) -> None:
        return


_NOTHING: Final[list[str]] = []
