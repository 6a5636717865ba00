"""A TCP proxy between the processes and their broker, which can delay, chop, stall or reset connections.

Started by the run in a thread of its own; forwards data in both directions.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from types import TracebackType
from typing import Final, Self

from nitro.brokers.tasks import end_all

__all__ = ["Proxy", "put_between"]

_PORTS: Final = {"redis": 6379, "nats": 4222, "postgresql": 5432, "postgres": 5432}
"""Default ports of schemes whose clients connect only to the URL's hosts."""


class Proxy:
    """A TCP proxy in a thread, which can delay, chop, stall or reset connections.

    Args:
        port: of the server.
        host: of the server.
        listen: the port to listen on; 0 takes a free one, which `port` has once it is started.

    Attributes:
        delay: seconds by which each piece is delayed.
        is_chopping: send each byte by itself.
        is_silent: don't pass on that one side has closed the connection.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", listen: int = 0) -> None:
        self.port: int = listen
        self.delay: float = 0.0
        self.is_chopping = False
        self.is_silent = False
        self._upstream = (host, port)
        self._passes = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nemesis-proxy", daemon=True)

    def stall(self) -> None:
        """Stop forwarding, without closing connections."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def go_on(self) -> None:
        """Forward again. Stalled connections are reset, as by a firewall that forgot them."""
        self._loop.call_soon_threadsafe(self._cut)
        self._loop.call_soon_threadsafe(self._passes.set)

    def switch(self, port: int) -> None:
        """Connect to another server from now on; all connections to the old one are reset."""
        self._upstream = (self._upstream[0], port)
        self.cut()

    def cut(self) -> None:
        """Reset all connections."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._passes.set()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        self._cut()
        # Let pending connects finish, and then reset them: cancelling them would leave a socket open. One that was just
        # accepted begins another task.
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            _, late = await asyncio.wait(tasks, timeout=2)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
            await asyncio.sleep(0)
        await end_all()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, up_writer}
        if self._stop.is_set():
            for one in pair:
                one.transport.abort()
            return
        self._writers |= pair
        try:
            with contextlib.suppress(asyncio.CancelledError):  # asyncio would log it as an error
                await asyncio.gather(self._pump(reader, up_writer), self._pump(up_reader, writer))
        finally:
            self._writers -= pair
            for one in pair:
                one.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._passes.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                pieces = [data[n : n + 1] for n in range(len(data))] if self.is_chopping else [data]
                for piece in pieces:
                    writer.write(piece)
                    await writer.drain()
                    if self.is_chopping:
                        await asyncio.sleep(0)
        if not self.is_silent:
            writer.transport.abort()

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError(f"the proxy to {self._upstream} did not start")
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()


def put_between(url: str, stack: contextlib.ExitStack) -> tuple[str, list[Proxy]]:
    """Start a proxy for each server of this URL; `stack` ends them.

    Returns the URL through the proxies, and the proxies. If clients learn addresses from a server, or a certificate
    names the host, there are no proxies, and the URL is unchanged.
    """
    found = re.fullmatch(r"(\w+)://((?:[^/?#]*@)?)([^/?#@]+)(.*)", url, re.DOTALL)
    if found is None or found[1] not in _PORTS or "ssl" in found[4] or "tls" in found[4]:
        return url, []
    proxies = []
    for place in found[3].split(","):
        name, _, port = place.rpartition(":") if re.search(r":\d+$", place) else (place, "", str(_PORTS[found[1]]))
        proxies.append(stack.enter_context(Proxy(int(port), name.strip("[]"))))
    places = ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies)
    return f"{found[1]}://{found[2]}{places}{found[4]}", proxies
