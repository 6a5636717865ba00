"""The clients of `live_queries.py`, in a process of their own that does little else: they read, and note versions.

`crowd.py PORT PATH CLIENTS`: client n asks for PATH with n in the place of {}. What is at `/rows` it asks for every
second over one connection, and at once if the answer before came late; anything else it asks for once, and reads on.
Each line on stdin is answered by what they have, the first one when all of them have begun: a client has begun with an
answer, or with the end of its snapshot; of a stream without one, at `/events`, with its first bytes.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

import uvloop

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 120.0
END, OPENING = b'"snapshot-end"', b"retry:"
TAIL_BYTES = 32
"""What is looked for may be cut in two by a read."""
VERSION = re.compile(rb'"version":(\d+)')
LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)


class Asking(asyncio.Protocol):
    """One client.

    Args:
        request: what it asks.
        polls_at: the loop's time at which it asks first, and then every second; None to ask once, at once.
        begins: called when it has begun.

    Attributes:
        known: the newest version that it had, and when it had it first.
        bytes, answers: what it has received.
    """

    def __init__(self, request: bytes, polls_at: float | None, begins: Callable[["Asking"], object]) -> None:
        self.known: list[tuple[float, int]] = []
        self.bytes = self.answers = 0
        self._loop = asyncio.get_running_loop()
        self._request = request
        self._beginning = OPENING if request.startswith(b"GET /events") else END
        self._polls_at = polls_at
        self._begins = begins
        self._text = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if self._polls_at is None:
            self._ask()
        else:
            self._loop.call_at(self._polls_at, self._ask)

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        text = self._text + data
        if self._polls_at is None:
            self._text = text[-TAIL_BYTES:]
            if self.answers or self._beginning in text:
                self._has(text)
            return
        head, _, body = text.partition(b"\r\n\r\n")
        self._text = text
        if (length := LENGTH.search(head + b"\r\n")) and len(body) >= int(length[1]):
            self._text = b""
            self._has(body)
            self._polls_at = max(self._polls_at + POLL_SECONDS, self._loop.time())
            self._loop.call_at(self._polls_at, self._ask)

    def _ask(self) -> None:
        self._transport.write(self._request)

    def _has(self, text: bytes) -> None:
        self.answers += 1
        if self.answers == 1:
            self._begins(self)
        newest = max(map(int, VERSION.findall(text)), default=0)
        if newest > (self.known[-1][1] if self.known else 0):
            self.known.append((time.monotonic(), newest))


async def have(port: int, path: str, clients: int) -> None:
    """Connect them all at once, and answer what is asked on stdin."""
    loop = asyncio.get_running_loop()
    waiting: set[Asking] = set()
    all_begun = loop.create_future()

    def begins(client: Asking) -> None:
        waiting.discard(client)
        if not waiting:
            all_begun.set_result(time.monotonic())

    crowd: list[Asking] = []
    now = loop.time()
    for n in range(clients):
        request = f"GET {path.format(n)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        crowd.append(Asking(request, now + n / clients * POLL_SECONDS if path.startswith("/rows") else None, begins))
    waiting.update(crowd)
    began = time.monotonic()
    await asyncio.gather(*[loop.create_connection(lambda each=each: each, "127.0.0.1", port) for each in crowd])  # type: ignore[misc]  # mypy knows no such lambda
    seconds = await asyncio.wait_for(all_begun, PATIENCE_SECONDS) - began
    while await asyncio.to_thread(sys.stdin.readline):
        told = {
            "seconds": seconds,
            "bytes": sum(each.bytes for each in crowd),
            "answers": sum(each.answers for each in crowd),
            "known": [each.known for each in crowd],
        }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    uvloop.run(have(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
