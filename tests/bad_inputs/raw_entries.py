"""Entries of a log that are no messages, and how they get into it: by the server's own means, past all of ours."""

from __future__ import annotations

import pickle
import time
from typing import Any, Final

import redis

from tests.brokers import Broker, SQLite

__all__ = ["FOREIGN", "GARBAGE", "NAMESPACE", "PERHAPS", "write_raw"]

NAMESPACE: Final = "app"
_LOG: Final = f"{{nitro:{NAMESPACE}}}"


def write_raw(broker: Broker, *bodies: Any, skipping: int = 0) -> None:
    """Put entries into the log as somebody would who knows where it is, and not what is in it."""
    if isinstance(broker, SQLite):
        with broker.connect() as connection:
            for body in bodies:
                at, body = body if isinstance(body, tuple) else (time.time(), body)
                connection.execute(
                    "UPDATE nitro_logs SET sequence = sequence + 1 + ? WHERE namespace = ?", (skipping, NAMESPACE)
                )
                connection.execute(
                    "INSERT INTO nitro_messages SELECT namespace, sequence, ?, ? FROM nitro_logs WHERE namespace = ?",
                    (at, body, NAMESPACE),
                )
    else:
        with redis.Redis.from_url(broker.url) as client:
            epoch = client.hget(_LOG, "epoch").decode()
            for body in bodies:
                (id, _), *_ = client.xrevrange(f"{_LOG}:{epoch}", count=1)
                sequence = int(id.split(b"-")[0]) + 1 + skipping
                client.xadd(f"{_LOG}:{epoch}", body if isinstance(body, dict) else {"b": body}, id=f"{sequence}-0")


GARBAGE: Final[dict[str, bytes]] = {
    "nothing": b"",
    "text": b"x",
    "JSON of another kind": b'{"topic":"a.b","data":1}',
    "no payload": b'[1,"a.b",null,null]',
    "an empty payload": b'[1,"a.b",null,null]\n',
    "invalid JSON": b'[1,"a.b",null,null]\n{"a":',
    "invalid JSON before": b'[1,"a.b",null\n1',
    "two values": b'[1,"a.b",null,null]\n1 2',
    "NaN": b'[1,"a.b",null,null]\n[NaN]',
    "a lone surrogate": b'[1,"a.b",null,null]\n"\\ud800"',
    "100,000 nested lists": b'[1,"a.b",null,null]\n' + b"[" * 100_000 + b"]" * 100_000,
    "100,000 nested lists before": b"[" * 100_000 + b"]" * 100_000 + b"\n1",
    "a number of 5,000 digits": b'[1,"a.b",null,null]\n' + b"1" * 5_000,
    "invalid UTF-8": b'[1,"a.b",null,null]\n"\xff"',
    "invalid UTF-8 before": b'[1,"a.\xff",null,null]\n1',
    "a pickle": pickle.dumps({"topic": "a.b"}),
    "a pickle that would run something": pickle.dumps(print),
    "the version as text": b'["1","a.b",null,null]\n1',
    "the version as true": b'[true,"a.b",null,null]\n1',
    "a topic of another type": b"[1,7,null,null]\n1",
    "no topic": b"[1,null,null,null]\n1",
    "a topic that is none": b'[1,"a b",null,null]\n1',
    "a pattern": b'[1,"a.*",null,null]\n1',
    "a topic of Nitro's": b'[1,"nitro.other",null,null]\n1',
    "a sender of another type": b'[1,"a.b",7,null]\n1',
    "a key of another type": b'[1,"a.b",null,{}]\n1',
    "a field more": b'[1,"a.b",null,null,5]\n1',
    "a field less": b'[1,"a.b",null]\n1',
    "an object": b'{"version":1,"topic":"a.b"}\n1',
    "a first line that is too long": b'[1,"a.b","' + b"x" * 5_000 + b'",null]\n1',
}
"""Bodies of entries."""

PERHAPS: Final[dict[str, bytes]] = {
    "the next version": b'[2,"a.b",null,null,"something new"]\n1',
    "a payload that is too long": b'[1,"a.b",null,null]\n"' + b"x" * (1 << 20) + b'"',
}
"""Bodies of entries that may be events."""

FOREIGN: Final[dict[str, dict[str, Any]]] = {
    "sqlite": {
        "text": "text",
        "an empty text": "",
        "a whole number": 7,
        "a number": 1.5,
        "a time that is text": ("yesterday", b"x"),
        "a time that is a blob": (b"\xff", b"x"),
    },
    "redis": {
        "another field": {"x": "1"},
        "a time that is text": {"b": "x", "t": "yesterday"},
        "a time that is no UTF-8": {"b": "x", "t": b"\xff"},
        "a time of 400 digits": {"b": "x", "t": "9" * 400},
        "a time of 5,000 digits": {"b": "x", "t": "9" * 5_000},
        "fields in another order": {"t": "1", "b": "x"},
        "a hundred fields": {f"f{n}": "x" for n in range(100)},
    },
}
"""Entries whose fields are others, or of other types; in SQLite a pair is a time and a body."""
