"""Requests to a publisher: an event that its key may publish, once, or an answer that says why not."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from nitro import Client, Grant
from nitro.publisher import Publisher
from tests.fuzzing import grammar
from tests.fuzzing.exchange import Exchange, own_hub, run
from tests.fuzzing.supply import Supply

_KEY = b"a key of sixteen letters"
_STATUSES = (400, 401, 403, 409, 413, 415, 422)
_CHUNKS, _WRONG_KEY, _FORM, _MARKED, _AGAIN = 1, 2, 4, 8, 16


def publish(data: bytes) -> None:
    """Options, an idempotency key, and the body."""
    supply = Supply(data)
    options = supply.byte()
    mark, body = supply.texts(2)
    with own_hub(max_payload_bytes=2000):
        run(_publish(options, mark, body))


async def _publish(options: int, mark: bytes, body: bytes) -> None:
    publisher = Publisher({_KEY.decode(): Grant({"todo.*": ["s1"], "open.*": ["s1", "s2"]}, user_id="x")})
    client = Client(topics=["*"]).connect()
    answers = [await _ask(publisher, options, mark, body) for _ in range(2 if options & _AGAIN else 1)]
    client.send("last")
    messages = [message async for message in _until_last(client)]
    client.disconnect()
    if answers[0] != 200:
        assert messages == []
        return
    event = json.loads(body)
    assert grammar.is_topic(event["topic"])
    assert (event["topic"].split(".")[0], event["sender"]) in {("todo", "s1"), ("open", "s1"), ("open", "s2")}
    assert set(event) <= {"topic", "result", "sender"}
    is_once = options & _MARKED
    assert answers == [200] * len(answers)
    assert [message.topic for message in messages] == [event["topic"]] * (1 if is_once else len(answers))


async def _until_last(client: Client) -> Any:
    async for message in client.messages():
        if message.json == '"last"':
            return
        yield message


async def _ask(publisher: Publisher, options: int, mark: bytes, body: bytes) -> int:
    kind = b"text/plain" if options & _FORM else b"application/json"
    key = b"another one of the letters" if options & _WRONG_KEY else _KEY
    headers = [(b"authorization", b"Bearer " + key), (b"content-type", kind)]
    if options & _MARKED:
        headers.append((b"idempotency-key", mark))
    exchange = _Post(tuple(headers), body, size=7 if options & _CHUNKS else len(body) or 1)
    await publisher(exchange.scope, exchange.receive, exchange.send)
    status = int(exchange.start["status"])
    if status == 200:
        assert json.loads(exchange.body) == {"published": True}
    else:
        assert status in _STATUSES
        exchange.check_problem(status)
    return status


class _Post(Exchange):
    def __init__(self, headers: tuple[tuple[bytes, bytes], ...], body: bytes, size: int) -> None:
        super().__init__(b"", headers)
        self.scope |= {"method": "POST", "path": "/"}
        self._chunks = [body[start : start + size] for start in range(0, len(body), size)] or [b""]

    async def receive(self) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": self._chunks.pop(0), "more_body": bool(self._chunks)}
