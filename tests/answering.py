"""A server that is none of Nitro's: it answers each request with bytes that a test has written."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["answering"]


@contextmanager
def answering(answer: Callable[[str], bytes], *, ends: bool = False) -> Iterator[str]:
    """The server's URL, without a slash at its end.

    Args:
        answer: what is sent for a request's first line.
        ends: whether the connection ends behind it; if not, it stays open until the client closes it.
    """

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline().decode()
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answer(line))
            if not ends:
                self.rfile.read()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
