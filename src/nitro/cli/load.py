"""Load: connects the clients of `nitro bench`, emits at the offered rate, and lets `Figures` count.

The load is open: each connect and each event has its time, whatever became of those before, and is measured from the
time at which it was due. So a server that stops for a second is seen in all events of that second (no coordinated
omission).
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final
from urllib.parse import unquote_to_bytes

import h11
import httpx

import nitro
from nitro.cli.figures import Figures
from nitro.cli.load_stream import LoadStream, reason_of
from nitro.client.asking import CONNECT_SECONDS
from nitro.client.session import Session
from nitro.errors import BrokerUnavailable, Overloaded, StreamRefused

__all__ = ["Load", "Offer"]

_LOOK_SECONDS: Final = 0.02
_OVERTIME_SECONDS: Final = 1.0
"""So long it goes on to emit what was due before the end."""
_FLUSH_SECONDS: Final = 5.0
_SILENT_SECONDS: Final = 2.0
_SETTLE_SECONDS: Final = 10.0
"""So long it waits for what was emitted last, and `_SILENT_SECONDS` if nothing comes meanwhile."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What is offered to a server; URL, headers and topics are those that `nitro.listen` takes.

    Attributes:
        topics: what clients ask for; None leaves it to the server.
        emits: the topic of the events that are emitted; None if there are none.
        rate: events a second.
        connect_rate: connects a second.
    """

    url: str
    headers: Mapping[str, str]
    topics: list[str] | None
    emits: str | None
    clients: int
    seconds: float
    rate: float
    connect_rate: float


class Load:
    """One measurement.

    Attributes:
        figures: what was counted so far.
        refusal: why the first client without a stream has none.
        broker_error: why not all events were emitted or acknowledged.
    """

    def __init__(self, offer: Offer) -> None:
        self.figures: Figures = Figures(offer.clients)
        self.refusal: Exception | None = None
        self.broker_error: BrokerUnavailable | Overloaded | None = None
        self._offer = offer
        self._run = secrets.token_hex(8)
        self._url = httpx.URL(offer.url)
        self._request = _request(self._url, *Session(offer.topics).begin(offer.headers))
        self._tls = httpx.create_ssl_context() if self._url.scheme == "https" else None
        self._streams: list[LoadStream] = []

    async def run(self) -> None:
        """Measure until the time is over. If the task is cancelled, it ends early with what it has."""
        looking = asyncio.create_task(self._look(), name="nitro-bench-lag")
        try:
            try:
                await self._connect()
                if self.figures.connected:
                    await self._measure()
            except asyncio.CancelledError:
                self.figures.is_interrupted = True
            if self.figures.emitted:
                await self._settle()
        finally:
            looking.cancel()
            for stream in self._streams:
                stream.close()
            await asyncio.sleep(0)  # until the transports have closed their sockets

    async def _connect(self) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for n in range(self._offer.clients):
                due = began + n / self._offer.connect_rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                group.create_task(self._open(due), name=f"nitro-bench-{n}")

    async def _open(self, due: float) -> None:
        session = Session(self._offer.topics, text=True)
        stream = LoadStream(session, self._request, self._run, self.figures, _nanoseconds(due))
        self._streams.append(stream)
        host, port = self._url.host, self._url.port or (443 if self._tls else 80)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().create_connection(lambda: stream, host, port, ssl=self._tls)
                await stream.is_open
        except (OSError, StreamRefused, h11.RemoteProtocolError) as failure:
            error = stream.why_late(CONNECT_SECONDS) if isinstance(failure, TimeoutError) else failure
            self.figures.failed[reason_of(error)] += 1
            self.refusal = self.refusal or error
            stream.close()

    async def _measure(self) -> None:
        began = time.monotonic()
        self.figures.is_measuring = True
        try:
            if self._offer.emits is not None:
                await self._emit(self._offer.emits, began)
            await asyncio.sleep(max(0.0, began + self._offer.seconds - time.monotonic()))
        finally:
            self.figures.is_measuring = False
            self.figures.seconds = time.monotonic() - began

    async def _emit(self, topic: str, began: float) -> None:
        figures, rate, seconds = self.figures, self._offer.rate, self._offer.seconds
        offered = max(1, math.ceil(rate * seconds - 1e-6))
        for n in range(offered):
            due = began + n / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if time.monotonic() > began + seconds + _OVERTIME_SECONDS:
                figures.offered = offered
                return
            figures.offered = n + 1
            try:
                nitro.emit(topic, result={"nitro_bench": f"{self._run}:{_nanoseconds(due)}"})
            except (BrokerUnavailable, Overloaded) as error:
                figures.refused += 1
                self.broker_error = error
            else:
                figures.emit()

    async def _settle(self) -> None:
        """Wait until the last events were heard, or won't be."""
        try:
            await asyncio.to_thread(nitro.flush, _FLUSH_SECONDS)
        except BrokerUnavailable as error:
            self.broker_error = error
        began = changed = time.monotonic()
        delivered = self.figures.delivered
        while self.figures.lost and self.figures.open and time.monotonic() < began + _SETTLE_SECONDS:
            await asyncio.sleep(_LOOK_SECONDS)
            if self.figures.delivered != delivered:
                delivered, changed = self.figures.delivered, time.monotonic()
            elif time.monotonic() > changed + _SILENT_SECONDS:
                return

    async def _look(self) -> None:
        """How late this event loop is: what all it has to do costs, since it reads and emits alone."""
        began = time.monotonic()
        for n in count(1):
            due = began + n * _LOOK_SECONDS
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self.figures.is_measuring:
                self.figures.lags.observe(_nanoseconds(time.monotonic() - due))


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _request(url: httpx.URL, parameters: list[tuple[str, str]], headers: dict[str, str]) -> h11.Request:
    """What every client sends."""
    lines = {"Host": url.netloc.decode("ascii"), "User-Agent": f"nitro-bench/{nitro.__version__}"}
    if url.userinfo:
        lines["Authorization"] = f"Basic {b64encode(unquote_to_bytes(url.userinfo)).decode()}"
    given = {name.lower() for name in headers}
    lines = {name: value for name, value in lines.items() if name.lower() not in given} | headers
    for name, value in parameters:
        url = url.copy_add_param(name, value)
    return h11.Request(
        method="GET", target=url.raw_path, headers=[(name.encode(), value.encode()) for name, value in lines.items()]
    )
