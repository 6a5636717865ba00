"""Two processes on one shelf, and a page that moves between them: the specification's cast, played by the real code.

Each process is a `Hub` with its `LogBroker`, whose thread runs. What happens comes from the test; the oracle judges.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Final

from nitro import Client, Gap
from nitro.delivery.outbox import Outbox
from nitro.delivery.process import make_hub
from nitro.delivery.reader import Reader
from nitro.settings import Settings
from nitro.testing.oracle import Listener, Sent, Verdict, check
from tests.model.shelf import Shelf, ShelfLog

__all__ = ["SECONDS", "Page", "Process", "World"]

SECONDS: Final = 10.0
"""How long anything may take here before it counts as never."""


class Process:
    """A hub on a connection of its own, and what it has emitted.

    Attributes:
        sent: with the future of each one's acknowledgement.
    """

    def __init__(self, shelf: Shelf, name: str) -> None:
        self.name = name
        self.log: ShelfLog = shelf.connect()
        self.hub = make_hub(Settings(history_messages=shelf.max_messages, heartbeat_seconds=3600), self.log)
        self.sent: list[tuple[Sent, Future[None] | None]] = []

    def emit(self) -> None:
        sent = Sent(self.name, len(self.sent))
        number = self.hub.publish("a.b", None, json.dumps({"p": sent.producer, "n": sent.n}).encode())
        self.sent.append((sent, self.hub.broker.acknowledgement(number)))

    def outcomes(self) -> list[Sent]:
        """What it has emitted, and what is known of it."""
        return [
            replace(sent, outcome="acknowledged" if _is_done(acknowledgement) else "unknown")
            for sent, acknowledgement in self.sent
        ]

    def crash(self) -> None:
        """It is gone at once, with what it had not published."""
        self.log.is_refused = True
        self.log.cut()
        self.hub.broker.close(0)


class Page:
    """One client over all its connections."""

    def __init__(self) -> None:
        self.id = ""
        self.gaps: list[str] = []
        self.heard: list[tuple[str, int]] = []
        self.listener = Listener("page", since=float("inf"))
        self.process: Process | None = None
        self._outbox: Outbox | None = None
        self._task: asyncio.Task[None] | None = None

    def come(self, process: Process) -> None:
        """Connect, with the id that it has."""
        hub = process.hub
        self.process = process
        self._outbox = outbox = hub.join(Client(topics=["*"]).interest, lambda: None, hub.limits)
        if self.id:
            hub.resume(outbox, self.id)
        else:
            self.id = str(outbox.starts_at)
            self.listener.since = time.monotonic()
        self._task = asyncio.create_task(self._listen(Reader(outbox)))

    async def leave(self) -> None:
        if self.process is not None and self._outbox is not None and self._task is not None:
            self.process.hub.leave(self._outbox)
            await self._task
            self.process = self._outbox = self._task = None

    @property
    def is_quiet(self) -> bool:
        """It has all that its process has."""
        outbox, process = self._outbox, self.process
        if outbox is None or process is None:
            return True
        lane = process.hub._lanes[outbox.loop]
        is_routed = lane.position == process.hub.broker.head
        return is_routed and outbox.held_for is None and outbox.is_empty and not lane.inbox

    @property
    def is_held(self) -> bool:
        """Its process doesn't know its id yet."""
        return self._outbox is not None and self._outbox.held_for is not None

    async def _listen(self, reader: Reader) -> None:
        while await reader.has_more():
            while (message := reader.take()) is not None:
                if isinstance(message, Gap):
                    self.gaps.append(message.reason)
                    self.listener.told_of_gap(message.id)
                    self.id = message.id
                elif message.id is not None:
                    self.heard.append((message.data["p"], message.data["n"]))
                    self.listener.heard(message.id, message.data["p"], message.data["n"])
                    self.id = message.id


@dataclass
class World:
    """Everything, and how to wait for it."""

    shelf: Shelf
    processes: list[Process]
    page: Page
    crashed: list[Process]

    @classmethod
    async def begin(cls, max_messages: int = 1_000) -> World:
        shelf = Shelf(max_messages)
        world = cls(shelf, [Process(shelf, "P"), Process(shelf, "Q")], Page(), [])
        await world.until(world.is_read, "both reach the log")
        return world

    def is_read(self) -> bool:
        """Both have read all that the log has."""
        return all(process.hub.broker.head[:2] == self.shelf.head for process in self.processes)

    def is_acknowledged(self) -> bool:
        return all(_is_done(acknowledgement) for process in self.processes for _, acknowledgement in process.sent)

    async def until(self, is_so: Callable[[], bool], what: str) -> None:
        """Wait until it is so.

        Raises:
            AssertionError: it is not, after `SECONDS`.
        """
        deadline = time.monotonic() + SECONDS
        while not is_so():
            assert time.monotonic() < deadline, f"{what}: not within {SECONDS} s, {self.processes[0].hub}"
            await asyncio.sleep(0.001)

    async def rest(self) -> None:
        """Until nothing more comes by itself."""
        await self.until(
            lambda: self.is_acknowledged() and self.is_read() and self.page.is_quiet and self.is_read(), "all is quiet"
        )

    def restart(self, p: int) -> None:
        """The process crashes, and another one starts in its place."""
        old = self.processes[p]
        old.crash()
        self.crashed.append(old)
        self.processes[p] = Process(self.shelf, f"{old.name}'")

    def stop_all(self) -> None:
        for process in self.processes:
            process.crash()

    def start_all(self) -> None:
        self.crashed += self.processes
        self.processes = [Process(self.shelf, f"{process.name}'") for process in self.processes]

    def pause(self) -> None:
        """Nobody reads."""
        for process in self.processes:
            process.log.is_paused = True

    def go_on(self) -> None:
        """All read, and reach the log."""
        for process in self.processes:
            process.log.is_paused = process.log.is_refused = False
            process.log.wake()

    async def end(self) -> Verdict:
        """Let all come to rest, and judge; the page has to be connected."""
        await self.rest()
        sent = [sent for process in self.processes + self.crashed for sent in process.outcomes()]
        return check(sent, [self.page.listener])

    async def close(self) -> None:
        await self.page.leave()
        for process in self.processes:
            process.crash()


def _is_done(acknowledgement: Future[None] | None) -> bool:
    return acknowledgement is None or (acknowledgement.done() and acknowledgement.exception() is None)
