"""Streams with an end in a store behind a line that never carries in time all that is asked of it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from nitro.brokers import tasks
from nitro.errors import BrokerUnavailable
from nitro.streams.decisions import Append, Creation
from nitro.streams.offsets import BEGINNING, Offset
from nitro.streams.streams import Streams
from nitro.streams.urls import make_store
from tests.brokers import BROKERS, Broker
from tests.services import NarrowLine

ITEMS = [b"%d %s" % (n, b"x" * 40_000) for n in range(10)]
"""400 KB, at 200 KB a second where a second is all that an answer may take."""
BYTES_PER_SECOND = 200_000


@pytest.fixture(params=["redis", "nats", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    with BROKERS[request.param](tmp_path) as broker:
        monkeypatch.setattr(tasks, "ANSWER_SECONDS", 1.0)
        yield broker


def test_a_long_stream_is_read(server: Broker) -> None:
    asyncio.run(_read(server))


async def _read(server: Broker) -> None:
    namespace = server.namespace()
    direct = Streams(make_store(server.url, namespace))
    await direct.create("a", Creation())
    for item in ITEMS:
        await direct.append("a", Append([item]))
    await direct.close()
    with NarrowLine(server.port) as line:
        streams = Streams(make_store(server.url_through(line.port), namespace))
        await streams.find("a")
        line.bytes_per_second = BYTES_PER_SECOND
        place: Offset = BEGINNING
        read: list[bytes] = []
        async with asyncio.timeout(60):
            while len(read) < len(ITEMS):
                try:
                    page = await streams.reading.page("a", place)
                except BrokerUnavailable:
                    continue
                read += page.items
                place = page.next
        assert read == ITEMS
        line.bytes_per_second = float("inf")
        await streams.close()
