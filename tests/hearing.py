"""What a test hears, and the engine by which it writes: for events in the transactions of a database."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.orm import Session

import nitro
from nitro.live.reading import _THREADS, _threads
from nitro.testing.conformance import eventually

__all__ = ["Events", "Hearing", "engine_on", "readings_end"]

Events = list[tuple[str, str | None, Any]]
"""Topics, senders and data."""


class Hearing:
    """A client in a loop of its own thread, and what it has heard.

    Attributes:
        heard, ids, events: the data, the ids, and topics, senders and data of what it has heard so far.
    """

    def __init__(self, *topics: str) -> None:
        self._topics = list(topics)
        self.heard: list[Any] = []
        self.ids: list[str] = []
        self.events: Events = []
        self._taken = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._hear()))
        self._is_listening = threading.Event()

    async def _hear(self) -> None:
        with nitro.Client(topics=self._topics, client_id="hearing") as client:
            self._is_listening.set()
            async for message in client.messages():
                if isinstance(message, nitro.Message):
                    self.heard.append(message.data)
                    self.ids.append(str(message.id))
                    self.events.append((message.topic, message.sender, message.data))

    def new_events(self, bind: Engine | Connection) -> Events:
        """The events since the last call, once it has heard all that was committed there; it has to hear `end`, too."""
        with Session(bind) as session:
            nitro.emit("end", result=0, session=session)
            session.commit()
        eventually(lambda: self.events[self._taken :][-1:] == [("end", None, 0)], "the end is heard")
        new = self.events[self._taken : -1]
        self._taken = len(self.events)
        return new

    def __enter__(self) -> Hearing:
        nitro.connect_broker()
        self._thread.start()
        assert self._is_listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        nitro.active_clients["hearing"].disconnect()
        self._thread.join(10)


@contextmanager
def engine_on(url: str) -> Iterator[Engine]:
    """An engine whose connections are closed with it."""
    engine = create_engine(url)
    try:
        yield engine
    finally:
        readings_end()
        engine.dispose()


def readings_end() -> None:
    """Wait for the live queries that are being read, though their clients have left: a connection that is in use when
    its engine is disposed of is never closed.
    """
    all_are_free = threading.Barrier(_THREADS + 1)
    for _ in range(_THREADS):
        _threads(os.getpid()).submit(all_are_free.wait, 20)
    all_are_free.wait(20)
