"""Ten thousand streams that come and go over real sockets leave the server as it was."""

from __future__ import annotations

import socket
import time
from typing import Any

from tests.servers import Server
from tests.sse import Stream

BATCH = 200


def come_and_go(server: Server, count: int) -> None:
    """Two batches at most are there at a time, on a busy machine too: more would take more, which is no leak."""
    for start in range(0, count, BATCH):
        streams = [Stream(server.port, "/events") for _ in range(BATCH)]
        for number, stream in enumerate(streams):
            stream.socket.settimeout(10)
            assert stream.socket.recv(1 << 16).startswith(b"HTTP/1.1 200"), start
            if number % 3 == 0:
                stream.reset()
            elif number % 3 == 1:
                stream.socket.shutdown(socket.SHUT_WR)
                stream.socket.close()
            else:
                stream.socket.close()
        deadline = time.monotonic() + 10
        while server.get("/left").json()["clients"] > BATCH:
            assert time.monotonic() < deadline, start
            time.sleep(0.005)


KEPT = ("clients", "lanes", "feeds", "tasks", "fds")


def settled(server: Server, before: dict[str, Any] | None = None) -> dict[str, Any]:
    """What is left, once all clients have gone, and what they had: no more than `before`, or what is left at last."""
    deadline = time.monotonic() + 10
    while True:
        left: dict[str, Any] = server.get("/left").json()
        is_settled = not left["clients"] and (before is None or all(left[what] <= before[what] for what in KEPT))
        if is_settled or time.monotonic() > deadline:
            return left
        time.sleep(0.05)


def test_ten_thousand_streams_that_come_and_go_leave_the_server_as_it_was() -> None:
    with Server("tests.apps.streams:app", options=("--no-access-log",)) as server:
        come_and_go(server, 5000)  # what is kept: pools, caches, arenas, and the room that the busiest moment took
        before = settled(server)
        come_and_go(server, 10_000)
        after = settled(server, before)
        for what in KEPT:
            assert after[what] <= before[what], (what, before, after)
        assert after["resident_kib"] - before["resident_kib"] < 10_000, "less than a KiB for each that went"
    assert "Traceback" not in server.output, server.output
