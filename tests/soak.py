"""The soak: producers, listeners and faults at random, with one real server and a log in memory, judged by the oracle.

`python -m tests.soak --minutes 10 --seed 7`. Listeners are cut with a reset, stop reading, and come back with the
last id that they have; the server is ended with SIGTERM or killed, and started again on its port.
Workers that share a log, and what it is on, are `tests.nemesis`'s.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from functools import partial

import httpx

from nitro.testing.oracle import Listener, Outcome, Sent, Verdict, check
from tests.servers import Server

APP = "tests.apps.soak:app"
ENVIRONMENT = {"NITRO_RETRY_MILLISECONDS": "50", "NITRO_CLIENT_MAX_BYTES": "65536", "NITRO_SEND_TIMEOUT_SECONDS": "2"}
CATCH_UP_SECONDS = 20


@dataclass
class Report:
    """What a soak did and found."""

    seed: int
    sent: list[Sent] = field(default_factory=list)
    listeners: list[Listener] = field(default_factory=list)
    reconnects: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)

    def count(self, fault: str) -> None:
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def __str__(self) -> str:
        outcomes = [message.outcome for message in self.sent]
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        return (
            f"seed {self.seed}: {outcomes.count('acknowledged')} messages emitted and acknowledged, "
            f"{outcomes.count('unknown')} unknown; {self.reconnects} reconnects; faults: {faults}\n{self.verdict}"
        )


class Page:
    """A listener as a browser is: it comes back with its last id, whatever happens."""

    def __init__(self, name: str, server: Server, report: Report, rng: random.Random) -> None:
        self.log = Listener(name, since=float("inf"))  # until its first stream is open
        report.listeners.append(self.log)
        self.server = server
        self.report = report
        self.rng = rng
        self.last_id = ""
        self.newest: dict[str, int] = {}
        self.is_calm = False

    async def live(self) -> None:
        while True:
            with contextlib.suppress(OSError, EOFError, TimeoutError, ValueError):  # whatever cut it, it comes back
                await self._stream()
            self.report.reconnects += 1
            await asyncio.sleep(0.02)

    async def _stream(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=1 << 16)
        try:
            header = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
            writer.write(f"GET /events HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise ValueError(head)
            fields: dict[str, str] = {}
            body = b""
            ends_at = time.monotonic() + self.rng.expovariate(1 / 3)
            while True:
                size = int(await reader.readuntil(b"\r\n"), 16)
                if not size:
                    return
                body += (await reader.readexactly(size + 2))[:-2]
                *lines, body = body.split(b"\n")
                for line in lines:
                    name, _, value = line.decode().partition(": ")
                    if line:
                        fields[name] = value
                        continue
                    self._dispatch(fields)
                    fields = {}
                if self.is_calm:
                    continue
                if time.monotonic() > ends_at:
                    self.report.count("cuts")
                    option = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
                    return
                if self.rng.random() < 0.002:
                    self.report.count("stalls")
                    await asyncio.sleep(self.rng.uniform(0, 3))
        finally:
            writer.close()

    def _dispatch(self, fields: dict[str, str]) -> None:
        if "id" in fields:
            self.last_id = fields["id"]
        if self.log.since == float("inf"):
            self.log.since = time.monotonic()
        if fields.get("event") == "gap":
            self.log.told_of_gap(fields["id"])
        elif "data" in fields:
            data = json.loads(fields["data"])
            self.newest[data["producer"]] = data["n"]
            self.log.heard(fields["id"], data["producer"], data["n"])


class Producer:
    """Emits over HTTP, one after another, and writes down what came of each."""

    def __init__(self, name: str, server: Server, report: Report, rng: random.Random) -> None:
        self.name = name
        self.server = server
        self.report = report
        self.rng = rng
        self.n = 0

    async def live(self, until: float) -> None:
        async with httpx.AsyncClient(base_url=self.server.url, timeout=5, trust_env=False, verify=False) as http:
            while time.monotonic() < until:
                pad = self.rng.choice([0, 0, 100, 1_000, 20_000])
                for _ in range(self.rng.choice([1, 1, 1, 20])):
                    await self.emit(http, pad)
                await asyncio.sleep(self.rng.expovariate(50))

    async def emit(self, http: httpx.AsyncClient, pad: int = 0) -> bool:
        self.n += 1
        at = time.monotonic()
        outcome: Outcome = "unknown"
        try:
            answer = await http.post("/emit", params={"producer": self.name, "n": self.n, "pad": pad})
            outcome = "acknowledged" if answer.status_code == 200 else "unknown"
        except httpx.TransportError:
            await asyncio.sleep(0.05)
        self.report.sent.append(Sent(self.name, self.n, outcome, at=at))
        return outcome == "acknowledged"

    async def emit_last(self) -> None:
        async with httpx.AsyncClient(base_url=self.server.url, timeout=5, trust_env=False, verify=False) as http:
            while not await self.emit(http):
                pass


async def soak(
    seconds: float,
    seed: int,
    *,
    pages: int = 12,
    producers: int = 3,
    waits: bool = False,
) -> Report:
    """Run for so long, then let everybody catch up, and judge."""
    rng = random.Random(seed)
    report = Report(seed)
    environment = {**ENVIRONMENT, "SOAK_WAITS": "1" if waits else ""}
    options = ("--no-access-log",)
    server = Server(APP, environment=environment, options=options).wait_until_up()

    async def hit(fault: str) -> Server:
        report.count(fault)
        await asyncio.to_thread(server.kill if fault == "SIGKILL" else partial(server.end, within_seconds=15))
        again = Server(APP, environment=environment, options=options, port=server.port)
        return await asyncio.to_thread(again.wait_until_up)

    until = time.monotonic() + seconds
    listening = [Page(f"page {n}", server, report, random.Random(rng.random())) for n in range(pages)]
    emitting = [Producer(f"p{n}", server, report, random.Random(rng.random())) for n in range(producers)]
    tasks = [asyncio.create_task(page.live()) for page in listening]
    try:
        work = [asyncio.create_task(producer.live(until)) for producer in emitting]
        while (left := until - time.monotonic()) > 0:
            await asyncio.sleep(min(left, rng.uniform(2, 6)))
            if until - time.monotonic() > 2:
                server = await hit(rng.choice(["SIGTERM", "SIGKILL"]))
        await asyncio.gather(*work)
        for page in listening:
            page.is_calm = True
        await asyncio.gather(*(producer.emit_last() for producer in emitting))
        deadline = time.monotonic() + CATCH_UP_SECONDS
        wanted = {producer.name: producer.n for producer in emitting}
        while any(page.newest != {**page.newest, **wanted} for page in listening) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(server.end, signal.SIGTERM, 15)
    report.verdict = check(report.sent, report.listeners)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    options = parser.parse_args()
    report = asyncio.run(soak(options.minutes * 60, options.seed))
    print(report)
    return 0 if report.verdict.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
