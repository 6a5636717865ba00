"""The flood: strangers who want what they may not have, send garbage and stop reading, beside clients that go on.

`python -m tests.flood --strangers 5000 --good 500`. The server, the good clients and the strangers are a process each.
The server has a core of its own, and the strangers the lowest priority, since they would come from other machines.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import os
import random
import resource
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.servers import ROOT, Server

ENVIRONMENT = {
    "NITRO_MAX_CLIENTS_PER_ADDRESS": "5",
    "NITRO_SEND_TIMEOUT_SECONDS": "2",
    "NITRO_CLIENT_MAX_BYTES": "65536",
    "NITRO_HISTORY_MESSAGES": "100",  # so that it is full before memory is compared
    "NITRO_RETRY_MILLISECONDS": "100",
}
OPTIONS = ("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error")
STRANGERS_PER_ADDRESS = 50
KINDS = {
    "no user": b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
    "another's topic": b"GET /events?topic=user.good.mail HTTP/1.1\r\nHost: x\r\nX-User: stranger\r\n\r\n",
    "every topic": b"GET /events?topic=* HTTP/1.1\r\nHost: x\r\nX-User: stranger\r\n\r\n",
    "no topic at all": b"GET /events?topic=%00&topic[]=a HTTP/1.1\r\nHost: x\r\nX-User: stranger\r\n\r\n",
    "a name that is a pattern": b"GET /events HTTP/1.1\r\nHost: x\r\nX-User: *\r\n\r\n",
    "a foreign id": b"GET /events HTTP/1.1\r\nHost: x\r\nX-User: stranger\r\nLast-Event-ID: "
    + b"9" * 8000
    + b"\r\n\r\n",
    "stops reading": b"GET /events?topic=loud.* HTTP/1.1\r\nHost: x\r\nX-User: stranger\r\n\r\n",
    "publishes": b"POST /publish/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Length: 99999\r\n\r\n{",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 40,
    "half a head": b"GET /events HTTP/1.1\r\nHost: x\r\nX-Us",
}


@dataclass
class Figures:
    """What the good clients saw in one phase, and what was left of it."""

    events: int
    wrong: list[str]
    p50_ms: float
    p99_ms: float
    plain_p99_ms: float


def leave_the_first_core_to_the_server() -> None:
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others or {first})


# --- the good clients, a process


class Good(asyncio.Protocol):
    """One stream. It counts, and measures from emit to here; both on the clock that all processes share."""

    def __init__(self, number: int, latencies: list[float], wrong: list[str]) -> None:
        self._number = number
        self._latencies = latencies
        self._wrong = wrong
        self._rest = b""
        self.newest = -1
        self.is_open = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        transport.write(b"GET /events?topic=public.* HTTP/1.1\r\nHost: x\r\nX-User: good%d\r\n\r\n" % self._number)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data: {"):
                event = json.loads(line[6:])
                if "n" not in event or (self.newest >= 0 and event["n"] != self.newest + 1):
                    self._wrong.append(f"{event} after {self.newest}")
                self.newest = event.get("n", self.newest)
                self._latencies.append((now - event["t"]) / 1e6)
            elif line.startswith(b"id: ") and not self.is_open.done():
                self.is_open.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wrong.append(f"the stream was ended: {exc}")


async def ask_plainly(port: int, latencies: list[float]) -> None:
    """A request that has nothing to do with streams, each 20 ms, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        began = time.monotonic()
        writer.write(b"GET /plain HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        await reader.readexactly(4)
        latencies.append((time.monotonic() - began) * 1000)
        await asyncio.sleep(0.02)


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values) or [0.0]
    return ordered[int(share * (len(ordered) - 1))]


async def be_good(port: int, count: int) -> None:
    """Print a line when all are open, and one of figures for each line that is read."""
    leave_the_first_core_to_the_server()
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    plain: list[float] = []
    wrong: list[str] = []
    for n in range(count):
        make, local = partial(Good, n, latencies, wrong), (f"127.9.{n // 4 // 250}.{n // 4 % 250 + 1}", 0)
        _, stream = await loop.create_connection(make, "127.0.0.1", port, local_addr=local)
        await asyncio.wait_for(stream.is_open, 10)
        await asyncio.sleep(0.055)  # they keep to the rate that is allowed
    asking = loop.create_task(ask_plainly(port, plain))
    print("open", flush=True)
    while not asking.done() and await asyncio.to_thread(sys.stdin.readline) != "":
        p50, p99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
        print(json.dumps([len(latencies), wrong[:5], p50, p99, quantile(plain, 0.99)]), flush=True)
        latencies.clear()
        plain.clear()
    await asking  # raises why it ended


# --- the strangers, a process


async def be_a_stranger(port: int, number: int, kind: str, until: float, outcomes: collections.Counter[str]) -> None:
    """Send what one of this kind sends, look at the answer, and stay, reading nothing more."""
    address = number // STRANGERS_PER_ADDRESS
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        connection.bind((f"127.8.{address // 250}.{address % 250 + 1}", 0))
        await loop.sock_connect(connection, ("127.0.0.1", port))
        await loop.sock_sendall(connection, KINDS[kind].replace(b"X-User: stranger", b"X-User: stranger%d" % number))
        if kind != "half a head":
            answer = await loop.sock_recv(connection, 200)
            outcomes[f"{kind}: {answer[9:12].decode('latin-1') or 'hung up'}"] += 1
        await asyncio.sleep(until - time.monotonic())
    except OSError as error:
        outcomes[f"{kind}: {type(error).__name__}"] += 1
    finally:
        connection.close()


async def be_strangers(port: int, count: int, seconds: float) -> None:
    """All of them within so many seconds, in no order; the last one stays a second longer."""
    leave_the_first_core_to_the_server()
    os.nice(19)
    kinds = [kind for kind, _ in zip(list(KINDS) * (count // len(KINDS) + 1), range(count), strict=False)]
    random.Random(7).shuffle(kinds)
    outcomes: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    until = began + seconds + 1
    async with asyncio.TaskGroup() as group:
        for number, kind in enumerate(kinds):
            await asyncio.sleep(max(0.0, began + seconds * number / count - time.monotonic()))
            group.create_task(be_a_stranger(port, number, kind, until, outcomes))
    print(json.dumps(dict(sorted(outcomes.items()))), flush=True)


# --- all of it


class GoodClients:
    def __init__(self, port: int, count: int) -> None:
        command = [sys.executable, "-m", "tests.flood", "--be", "good", "--port", str(port), "--good", str(count)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._read() == "open"

    def figures(self) -> Figures:
        """Since the last time."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Figures(*json.loads(self._read()))

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def flood(server: Server, strangers: int, seconds: float) -> dict[str, int]:
    """Let them come, and wait until they are gone. How each kind was answered."""
    arguments = [
        "--be",
        "strangers",
        "--port",
        str(server.port),
        "--strangers",
        str(strangers),
        "--seconds",
        str(seconds),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.flood", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    outcomes: dict[str, int] = json.loads(done.stdout)
    return outcomes


def what_is_left(server: Server, clients: int, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """Once everybody else is gone, and everything of theirs; a server's own timers may hold that for some seconds."""
    deadline = time.monotonic() + 20
    limits = {"clients": clients} | (
        {"fds": before["fds"] + 1, "tasks": before["tasks"] + 1, "objects": before["objects"] * 1.01} if before else {}
    )
    while any((left := server.get("/left").json())[name] > limit for name, limit in limits.items()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not all are gone: {left}")
        time.sleep(0.1)
    return dict(left)


def measure(strangers: int, good: int, seconds: float, slack_ms: float = 0.0) -> str:
    """Quiet, then a flood, twice; raises AssertionError where the good clients or the memory suffer.

    `slack_ms`: what their p99 may have beside twice that of the quiet time, where that is short.
    """
    raise_file_limit(strangers + good + 500)
    with Server("tests.apps.flood:app", options=OPTIONS, environment=ENVIRONMENT) as server:
        os.sched_setaffinity(server.process.pid, {min(os.sched_getaffinity(0))})
        clients = GoodClients(server.port, good)
        try:
            flood(server, max(100, strangers // 10), 2)  # what a process takes once, it keeps
            time.sleep(6)  # until uvicorn has let go of them
            before = what_is_left(server, good)
            clients.figures()
            time.sleep(seconds / 2)
            quiet = clients.figures()
            began = time.monotonic()
            outcomes = flood(server, strangers, seconds)
            took = time.monotonic() - began
            flooded = clients.figures()
            first = what_is_left(server, good, before)
            clients.figures()
            flood(server, strangers, seconds)
            last = clients.figures()
            again = what_is_left(server, good, before)
        finally:
            clients.end()
    text = report(locals())
    for figures in (quiet, flooded, last):
        assert figures.events > 0, text
        assert figures.wrong == [], text
    assert min(flooded.p99_ms, last.p99_ms) < 2 * quiet.p99_ms + slack_ms, text
    assert again["resident_mib"] < first["resident_mib"] + 2, text
    return text


def report(seen: dict[str, Any]) -> str:
    quiet, flooded, last, before, first, again = (
        seen[name] for name in ("quiet", "flooded", "last", "before", "first", "again")
    )
    answers = "\n".join(f"  {count:5} {outcome}" for outcome, count in seen["outcomes"].items())
    return f"""{seen["good"]} good clients, {seen["strangers"]} strangers in {seen["took"]:.0f} s, twice
            events   p50 ms   p99 ms   p99 ms of a plain request
  quiet   {quiet.events:8} {quiet.p50_ms:8.1f} {quiet.p99_ms:8.1f} {quiet.plain_p99_ms:8.1f}  {quiet.wrong}
  flood   {flooded.events:8} {flooded.p50_ms:8.1f} {flooded.p99_ms:8.1f} {flooded.plain_p99_ms:8.1f}  {flooded.wrong}
  again   {last.events:8} {last.p50_ms:8.1f} {last.p99_ms:8.1f} {last.plain_p99_ms:8.1f}  {last.wrong}
memory {before["resident_mib"]:.1f} MiB, after a flood {first["resident_mib"]:.1f}, again {again["resident_mib"]:.1f}
tasks {before["tasks"]}, {again["tasks"]}; objects {before["objects"]}, {first["objects"]}, {again["objects"]}
refused {again["refused"]}; ended {again["ended"]}
answers
{answers}"""


def raise_file_limit(files: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(files, hard)), hard))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.flood", description="Flood a server with strangers.")
    parser.add_argument("--strangers", type=int, default=5000)
    parser.add_argument("--good", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--be", choices=["good", "strangers"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    raise_file_limit(options.strangers + options.good + 500)
    if options.be == "good":
        asyncio.run(be_good(options.port, options.good))
    elif options.be == "strangers":
        asyncio.run(be_strangers(options.port, options.strangers, options.seconds))
    else:
        print(measure(options.strangers, options.good, options.seconds))


if __name__ == "__main__":
    main()
