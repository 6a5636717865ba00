"""Readers of runs, one each, in one process: asks the server for runs, reads each to its end, and tells how long items
were on the way. `run_readers.py PORT RUNS ITEMS GAP_SECONDS BURST`; prints one line of JSON.
"""

import asyncio
import json
import re
import sys
import time
import urllib.parse
import urllib.request
from typing import Any

import uvloop

AT = re.compile(rb'"at":\s*(\d+)')


class Reader(asyncio.Protocol):
    """Takes what comes; an item that is cut between two reads is counted with the second."""

    def __init__(self, path: str, delays: list[int], ended: asyncio.Future[None]) -> None:
        self.path = path
        self.delays = delays
        self.ended = ended
        self.rest = b""
        self.items = 0
        self.opened = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        transport.write(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if not self.opened.done():
            self.opened.set_result(None)
        whole, newline, self.rest = (self.rest + data).rpartition(b"\n\n")
        found = AT.findall(whole)
        self.items += len(found)
        self.delays += [now - int(at) for at in found]
        if newline and b"event: end" in whole[-100:] and not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(error or ConnectionError(f"{self.path} ended after {self.items} items"))


async def main(port: int, runs: int, items: int, gap_seconds: float, burst: int) -> None:
    loop = asyncio.get_running_loop()
    paced = f"&gap_seconds={gap_seconds}&burst={burst}" if gap_seconds else ""
    ids = await asyncio.to_thread(_get, port, f"/start?count={runs}&items_each={items}{paced}")
    delays: list[int] = []
    readers: list[Reader] = []
    for id in json.loads(ids):
        ended = loop.create_future()
        path = f"/runs/{urllib.parse.quote(id)}"
        _, reader = await loop.create_connection(lambda p=path, e=ended: Reader(p, delays, e), "127.0.0.1", port)
        readers.append(reader)
        await reader.opened
    await asyncio.sleep(0.5)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    began = time.monotonic()
    await asyncio.to_thread(_get, port, "/go")
    await asyncio.wait_for(asyncio.gather(*(reader.ended for reader in readers)), 600)
    seconds = time.monotonic() - began
    delays.sort()
    figures = {
        "seconds": seconds,
        "items": len(delays),
        "missed": runs * items - len(delays),
        "p50 ms": delays[len(delays) // 2] / 1e6,
        "p99 ms": delays[len(delays) * 99 // 100] / 1e6,
    }
    print(json.dumps(figures), flush=True)


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=300) as answer:
        text: str = answer.read().decode()
        return text


if __name__ == "__main__":
    port, runs, items, gap_seconds, burst = sys.argv[1:]
    uvloop.run(main(int(port), int(runs), int(items), float(gap_seconds), int(burst)))
