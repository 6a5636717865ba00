"""The readers: clients over raw sockets, which reconnect with their last id after every failure.

Started by the run in its loop; each records what it hears in a journal of its own, for the judge.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from nitro.brokers.base import NOWHERE
from nitro.testing.nemesis.journal import Journal

__all__ = ["HABITS", "LAST", "Habit", "Reader"]

LAST: Final = "nemesis.last"
"""The topic of the run's last message, to which every reader subscribes."""
_HEAD_SECONDS: Final = 15.0
_SILENCE_SECONDS: Final = 20.0
"""How long a reader waits for data, heartbeats included, before it reconnects."""
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Habit:
    """How a reader behaves.

    Attributes:
        topics: the patterns that it subscribes to, in addition to `LAST`.
        stream_seconds: how long it reads a stream, on average, before it resets the connection; None never does.
        away_seconds: minimum and maximum pause before it reconnects.
        stall_seconds: maximum pause in reading; 0 never pauses.
        buffer_bytes: its socket's receive buffer; 0 is the system's default.
        is_new: it reconnects as a new client each time, without an id, and so begins at the log's head.
        stays: it stays at one worker, and measures that worker's outages.
    """

    topics: tuple[str, ...] = ("nemesis.*",)
    stream_seconds: float | None = None
    away_seconds: tuple[float, float] = (0.1, 0.2)
    stall_seconds: float = 0.0
    buffer_bytes: int = 0
    is_new: bool = False
    stays: bool = False


HABITS: Final = (
    Habit(stream_seconds=4.0),
    Habit(("nemesis.*.a", "nemesis.*.b"), stream_seconds=2.0, away_seconds=(0.0, 4.0)),
    Habit(stream_seconds=8.0, away_seconds=(2.0, 6.0)),
    Habit(("nemesis.burst*",), stream_seconds=6.0, stall_seconds=3.0),
    Habit(stream_seconds=15.0, stall_seconds=8.0, buffer_bytes=4096),
    Habit(stream_seconds=5.0, is_new=True),
    Habit(("nemesis.*.c",)),
)
"""The habits of the readers that change workers; used in turn."""


class Reader:
    """One reader, over all its streams.

    Args:
        name: for the verdict.
        ports: of the workers that it connects to.
        folder: for its journal, or one for each visit.
        seed: of its random choices.

    Attributes:
        newest_emit: when the newest emit began whose message it heard, in seconds.
        last_heard: the number of the run's last message, if it was heard; else 0.
        is_open: its first stream has opened; for each visit, if its habit `is_new`.
        is_reading: a stream is open now.
    """

    def __init__(self, name: str, habit: Habit, ports: Sequence[int], folder: Path, seed: object) -> None:
        self.name = name
        self.newest_emit: float = float("-inf")
        self.last_heard: int = 0
        self.is_reading: bool = False
        self._calm = asyncio.Event()
        self._habit = habit
        self._ports = ports
        self._folder = folder
        self._rng = random.Random(f"{seed} {name}")  # noqa: S311 - no secret
        self._path = "/events?topics=" + ",".join(quote(topic, safe="*") for topic in (*habit.topics, LAST))
        self._visits = 0
        self._begin()

    def _begin(self) -> None:
        self._visits += 1
        name = f"{self.name}-{self._visits}" if self._habit.is_new else self.name
        self._journal = Journal(self._folder / f"{name}.jsonl")
        self._journal.write("reader", name, [*self._habit.topics, LAST], self._habit.stays)
        self._last_id = ""
        self.is_open: bool = False

    async def live(self) -> None:
        """Read one stream after the other, until cancelled."""
        while True:
            port = self._rng.choice(self._ports)
            try:
                why = await self._read_stream(port)
            except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
                why = f"{type(error).__name__}: {error}"
            self.is_reading = False
            self._journal.write("ended", why)
            if self._habit.is_new and self.is_open:
                self._journal.write("left")
                self._journal.close()
                self._begin()
            if self._calm.is_set():
                await asyncio.sleep(0.1)
            else:
                await self._pause(self._rng.uniform(*self._habit.away_seconds))

    def calm_down(self) -> None:
        """From now on, reconnect at once and keep reading."""
        self._calm.set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._calm.wait()

    async def _read_stream(self, port: int) -> str:
        """Read a stream to its end; returns why it ended."""
        reader, writer = await self._connect(port)
        try:
            header = f"Last-Event-ID: {self._last_id}\r\n" if self._last_id else ""
            writer.write(f"GET {self._path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n".encode())
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise ValueError(head.split(b"\r\n")[0].decode(errors="replace"))
            mean = self._habit.stream_seconds
            ends_at = time.monotonic() + self._rng.expovariate(1 / mean) if mean else float("inf")
            async for fields in events(_body(reader)):
                self._take(fields, port)
                if self._calm.is_set():
                    continue
                if time.monotonic() > ends_at:
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    return "cut by itself"
                if self._habit.stall_seconds and self._rng.random() < 0.005:
                    await self._pause(self._rng.uniform(0, self._habit.stall_seconds))
            return "ended by the server"
        finally:
            writer.transport.abort()

    async def _connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = socket.socket()
        try:
            if self._habit.buffer_bytes:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._habit.buffer_bytes)
            connection.setblocking(False)
            async with asyncio.timeout(_HEAD_SECONDS):
                await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
            return await asyncio.open_connection(sock=connection)
        except BaseException:
            connection.close()
            raise

    def _take(self, fields: dict[str, str], port: int) -> None:
        self._last_id = fields.get("id", self._last_id)
        self.is_reading = True
        if not self.is_open:
            self.is_open = True
            self._journal.write("open", port, self._last_id not in ("", str(NOWHERE)))
        if fields.get("event") == "gap":
            self._journal.write("gap", self._last_id, json.loads(fields["data"])["reason"], port)
        elif "data" in fields:
            data = json.loads(fields["data"])
            self._journal.write("message", self._last_id, data["producer"], data["n"])
            self.newest_emit = max(self.newest_emit, data["at"])
            if data["producer"] == "last":
                self.last_heard = data["n"]

    def __repr__(self) -> str:
        return f"<Reader {self.name} at {self._last_id or 'no position yet'}>"


async def events(body: AsyncIterator[bytes]) -> AsyncIterator[dict[str, str]]:
    """The fields of each server-sent event; includes comments and openings, which have no data."""
    fields: dict[str, str] = {}
    rest = b""
    async for piece in body:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            if not line:
                yield fields
                fields = {}
                continue
            name, _, value = line.decode().partition(":")
            if name:
                fields[name] = value.removeprefix(" ")


async def _body(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The chunks of a response."""
    while True:
        async with asyncio.timeout(_SILENCE_SECONDS):
            size = int(await reader.readuntil(b"\r\n"), 16)
            if not size:
                return
            chunk = await reader.readexactly(size + 2)
        yield chunk[:-2]


async def until(is_so: Callable[[], object], seconds: float) -> bool:
    """Wait until `is_so` returns true; whether it did within `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not is_so():  # noqa: ASYNC110 - readers and processes set no event
                await asyncio.sleep(0.02)
            return True
    return bool(is_so())
