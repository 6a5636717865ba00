"""Two thousand clients that are cut at once and come back at once: all complete, little memory, a loop that answers."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Iterator

import pytest

from tests.servers import Server

CLIENTS = 2_000
BEHIND = 100


@pytest.fixture
def server() -> Iterator[Server]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, CLIENTS + 1_000), hard))
    options = ("--loop", "uvloop", "--http", "httptools", "--no-access-log")
    with Server("tests.apps.streams:app", options=options) as server:
        yield server
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Returner:
    """One client: a connection, the id that it has, and the numbers that it got."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.last_id = ""
        self.numbers: list[int] = []
        self.writer: asyncio.StreamWriter

    async def connect(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        header = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
        self.writer.write(f"GET /events HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())

    async def read_until(self, number: int) -> None:
        while not self.numbers or self.numbers[-1] < number:
            line = await self.reader.readline()
            assert line, "the server ended the stream"
            assert not line.startswith(b"event: gap")
            if line.startswith(b"id: "):
                self.last_id = line[4:].strip().decode()
                if number < 0:
                    return
            elif line.startswith(b"data: "):
                self.numbers.append(int(line.split(b'"n":')[1].split(b",")[0]))

    def cut(self) -> None:
        self.writer.transport.abort()


@pytest.mark.alone
def test_two_thousand_clients_come_back_at_once(server: Server) -> None:
    async def scenario() -> None:
        clients = [Returner(server.port) for _ in range(CLIENTS)]
        for some in (clients[n : n + 100] for n in range(0, CLIENTS, 100)):
            await asyncio.gather(*(client.connect() for client in some))
            await asyncio.gather(*(client.read_until(-1) for client in some))
        server.post("/emit?count=10&pad=200")
        await asyncio.gather(*(client.read_until(9) for client in clients))
        for client in clients:
            client.cut()
        while server.get("/left").json()["clients"]:
            await asyncio.sleep(0.05)
        server.post(f"/emit?count={BEHIND}&start=10&pad=200")
        server.get("/lag")
        before = server.get("/left").json()
        began = time.monotonic()
        for some in (clients[n : n + 200] for n in range(0, CLIENTS, 200)):
            await asyncio.gather(*(client.connect() for client in some))
        await asyncio.gather(*(client.read_until(9 + BEHIND) for client in clients))
        took = time.monotonic() - began
        lag = server.get("/lag").json()
        after = server.get("/left").json()
        server.post(f"/emit?count=1&start={10 + BEHIND}")
        await asyncio.gather(*(client.read_until(10 + BEHIND) for client in clients))
        for client in clients:
            client.cut()
        wrong = [client.numbers for client in clients if client.numbers != list(range(11 + BEHIND))]
        assert wrong == []
        grown = after["peak_kib"] - before["peak_kib"]
        print(f"back in {took:.1f} s, loop lag {lag * 1000:.0f} ms, peak memory grown {grown / 1024:.1f} MiB")
        assert lag < took / 4, "others get their answers while they come back, whatever this machine takes for it"
        assert grown < 64 * 1024

    asyncio.run(asyncio.wait_for(scenario(), 90))
