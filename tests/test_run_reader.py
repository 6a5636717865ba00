"""A reader of a run whose store answers late: what is stored meanwhile reaches it, whichever it hears of first."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4

from nitro.runs.frames import Framing
from nitro.runs.reader import RunReader, RunResponse
from nitro.runs.record import PREFIX, RunRecord, new_id
from nitro.streams.base import Stored
from nitro.streams.decisions import Append, Creation
from nitro.streams.items import JSON
from nitro.streams.stores.memory import MemoryStore
from nitro.streams.streams import Streams

SCOPE = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [], "http_version": "1.1"}


class LateStore(MemoryStore):
    """A store whose answers are on their way for a while."""

    def __init__(self, url: str, namespace: str) -> None:
        super().__init__(url, namespace)
        self.has_loaded, self.may_answer = asyncio.Event(), asyncio.Event()

    async def load(self, key: str) -> Stored | None:
        stored = await super().load(key)
        self.has_loaded.set()
        await self.may_answer.wait()
        return stored


def test_a_run_that_ends_while_it_is_looked_up_reaches_its_reader() -> None:
    asyncio.run(asyncio.wait_for(_end_while_it_is_looked_up(), 20))


async def _end_while_it_is_looked_up() -> None:
    namespace, key = uuid4().hex, PREFIX + new_id(None, time.time())
    store = LateStore("memory://", namespace)
    here, elsewhere = Streams(store), Streams(MemoryStore("memory://", namespace))
    record = RunRecord(time.time(), keep_seconds=60, lease_seconds=60, max_items=10, max_bytes=1000).to_json()
    await elsewhere.create(key, Creation(JSON, run=record, alarm_at=time.time() + 60))
    sent = bytearray()

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.extend(message.get("body", b""))

    response = RunResponse(RunReader(here, key, Framing(), None))
    reading = asyncio.ensure_future(response(SCOPE, receive, send))
    await store.has_loaded.wait()
    ended = {**record, "state": "done", "ended_at": time.time()}
    await elsewhere.append(key, Append([b"1"], closes=True, run=ended, alarm_at=time.time() + 60))
    while (tail := here.access.tail(key)) is None or not tail.is_doubtful:
        await asyncio.sleep(0.001)
    store.may_answer.set()
    await reading
    assert b"data: 1\n\nevent: end\n" in sent
    await asyncio.gather(here.close(), elsewhere.close())
