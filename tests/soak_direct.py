"""The soak of direct streams: thousands that are killed, frozen, reset and half-closed at random, and what is left.

`python -m tests.soak_direct --minutes 10 --streams 10000 --seed 7`. One real server; a stream that went is replaced.
Those that read hear the events in order and none twice. Three times, after each third, all go: the server has to have
as many descriptors, tasks, clients and objects as after a first such crowd, and in the end no more memory in use.
"""

from __future__ import annotations

import argparse
import random
import resource
import selectors
import socket
import struct
import sys
import time
from contextlib import suppress
from typing import Any

import httpx

from tests.servers import Server

APP = "tests.apps.direct:app"
OPTIONS = ("--http", "nitro.uvicorn:HttpProtocol", "--no-access-log", "--backlog", "4096")
ENVIRONMENT = {
    "NITRO_CLIENT_MAX_BYTES": "65536",
    "NITRO_SEND_TIMEOUT_SECONDS": "5",
    "NITRO_HEARTBEAT_SECONDS": "5",
    "NITRO_MAX_CLIENTS": "100000",
}
REQUEST = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
CONNECTS_A_TURN = 50
FAULTS = ("close", "reset", "half", "freeze", "talk")


class Page:
    """One stream, and what it heard."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(REQUEST)
        self.socket.setblocking(False)
        self.is_frozen = False
        self.newest = -1
        self._rest = b""

    def read(self) -> bool:
        """Read what has come; False if the stream is over."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return True
        except OSError:
            return False
        *lines, self._rest = (self._rest + data).split(b'"n":')
        for line in [*lines[1:], self._rest] if lines else []:
            number, comma, _ = line.partition(b",")
            if comma:
                assert int(number) > self.newest, f"{int(number)} came after {self.newest}"
                self.newest = int(number)
        if b"," in self._rest:
            self._rest = b""
        return bool(data)

    def end(self, *, reset: bool = False) -> None:
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class Soak:
    def __init__(self, server: Server, streams: int, seed: int) -> None:
        self._server = server
        self._streams = streams
        self._chance = random.Random(seed)
        self._selector = selectors.DefaultSelector()
        self._pages: dict[int, Page] = {}
        self.counts: dict[str, int] = {}
        self._emitted = 0

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        emits_at = 0.0
        while time.monotonic() < until:
            for _ in range(min(CONNECTS_A_TURN, self._streams - len(self._pages))):
                self._open()
            for key, _ in self._selector.select(0.01):
                if not key.data.read():
                    self._drop(key.data, "ended by the server")
            for _ in range(self._chance.randrange(1 + len(self._pages) // 500)):
                self._hurt(self._chance.choice(list(self._pages.values())))
            if time.monotonic() > emits_at and self._pages:
                emits_at = time.monotonic() + 1
                pad = self._chance.choice((10, 10, 10, 10, 1_000, 10_000))
                url = f"{self._server.url}/emit?start={self._emitted}&pad={pad}"
                httpx.post(url, timeout=60, trust_env=False, verify=False).raise_for_status()
                self._emitted += 1

    def end(self) -> None:
        for page in list(self._pages.values()):
            self._drop(page, "left at the end")

    def _open(self) -> None:
        page = Page(self._server.port)
        self._pages[page.socket.fileno()] = page
        self._selector.register(page.socket, selectors.EVENT_READ, page)
        self._count("opened")

    def _hurt(self, page: Page) -> None:
        fault = self._chance.choice(FAULTS)
        self._count(fault)
        if fault == "half":
            with suppress(OSError):
                page.socket.shutdown(socket.SHUT_WR)
        elif fault == "talk":
            with suppress(OSError):
                page.socket.sendall(b"x" * 5_000)
        elif fault == "freeze":
            if not page.is_frozen:
                page.is_frozen = True
                self._selector.unregister(page.socket)
        else:
            self._drop(page, "gone", reset=fault == "reset")

    def _drop(self, page: Page, why: str, *, reset: bool = False) -> None:
        del self._pages[page.socket.fileno()]
        if not page.is_frozen:
            self._selector.unregister(page.socket)
        page.end(reset=reset)
        self._count(why)

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def settled(server: Server) -> dict[str, Any]:
    """What is left once all clients are gone."""
    deadline = time.monotonic() + 30
    while (left := server.get("/left").json())["clients"] or left["objects"]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    return left  # type: ignore[no-any-return]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with Server(APP, options=OPTIONS, environment=ENVIRONMENT) as server:
        first = Soak(server, options.streams, options.seed)
        first.run(min(60.0, options.minutes * 20))
        first.end()
        lefts = [settled(server)]
        for part in range(1, 4):
            soak = Soak(server, options.streams, options.seed + part)
            soak.run(options.minutes * 20)
            soak.end()
            lefts.append(settled(server))
            print(f"seed {options.seed}, part {part}: {soak.counts}; ended by the server: {lefts[-1]['ended']}")
    kept = ("clients", "direct", "objects", "tasks", "fds", "resident_kib")
    for left in lefts:
        print({name: left[name] for name in kept})
    before, *_, after = lefts
    wrong = [name for name in kept[:-1] if after[name] > before[name]]
    if after["resident_kib"] > before["resident_kib"] * 1.1:
        wrong.append("resident_kib")
    if "Traceback" in server.output:
        wrong.append(f"errors in the log:\n{server.output[-3000:]}")
    print(f"LEFT BEHIND: {wrong}" if wrong else "Nothing is left behind.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
