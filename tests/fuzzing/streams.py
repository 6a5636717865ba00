"""Clients that come back with any id: from each they go on exactly where they were, or are told that they can't."""

from __future__ import annotations

import json
from typing import Any

from nitro import ANY, Client, EventSourceResponse
from nitro.datastar import DatastarResponse
from nitro.delivery.hub import Hub
from tests.fuzzing.exchange import Exchange, is_probe, own_hub, run
from tests.fuzzing.standard import Event, pairs, read
from tests.fuzzing.supply import SEPARATOR, Supply

_LOG = [(topic, sender) for topic in ("a.x", "a.secret", "b.x", "a.y") for sender in (None, "s1", "s2")] * 2
_RETAINED = 14
_LIVE = _LOG[:6]
_CLIENTS: tuple[dict[str, Any], ...] = (
    {"topics": ANY},
    {"topics": ["a.*"]},
    {"topics": ANY, "allowed": ["a.*"]},
    {"topics": ANY, "allowed": {"a.*": ["s1"]}, "denied": ["*.secret"]},
)
_END = {"n": 0}


def last_event_id(data: bytes) -> None:
    """Options, then the values of the header, and last the query.

    `{epoch}` stands for the epoch of the log, which is another one each time.
    """
    with own_hub(history_messages=_RETAINED) as hub:
        supply = Supply(data)
        options = supply.byte()
        raw = supply.rest().replace(b"{epoch}", hub.broker.head.epoch.encode())
        *headers, query = raw.split(SEPARATOR)
        run(_come_back(hub, options, headers, query))


async def _come_back(hub: Hub, options: int, headers: list[bytes], query: bytes) -> None:
    for place, (topic, sender) in enumerate(_LOG, 1):
        hub.publish(topic, sender, b'{"n":%d}' % place)
    head = hub.broker.head
    kind, who, since = (
        options % 5,
        options // 5 % 4,
        (None, f"{head.epoch}-{head.sequence - 2}", "x")[options // 20 % 3],
    )
    client = Client(**_CLIENTS[who])
    response = (
        DatastarResponse(client, since=since)
        if kind == 4
        else EventSourceResponse(client, since=since, named=bool(kind & 1), text=bool(kind & 2))
    )
    exchange = Exchange(query, tuple((b"last-event-id", value) for value in headers))
    task = exchange.begin(response)
    said = _said(headers, query) or since or ""
    if said == "stop":
        await task
        assert (exchange.start["status"], exchange.body) == (204, b"")
        return
    await exchange.body_with(b"\n\n")
    if is_probe(query):
        await task
        assert (exchange.start["status"], exchange.body) == (200, exchange.opening)
        return
    for place, (topic, sender) in enumerate(_LIVE, len(_LOG) + 1):
        hub.publish(topic, sender, b'{"n":%d}' % place)
    assert client.send(_END)
    await exchange.body_with(b'{"n":0}\n\n')
    exchange.gone.set()
    await task
    assert exchange.start["status"] == 200
    start = _start(said, head.epoch)
    opening, *events = _events(exchange, is_in_envelope=b"envelope=1" in query.split(b"&"))
    if start is None:
        assert opening.last_id == "", "it knows where it is, and is about to be told that it doesn't"
        gap = events.pop(0)
        told = json.loads(gap.data)
        assert gap.type == "gap"
        assert told.pop("reason") in ("invalid", "epoch", "expired")
        assert told == {"resumed_at": str(head)}
        start = head.sequence
    else:
        assert opening.last_id == f"{head.epoch}-{start}"
    numbers = [json.loads(event.data)["n"] for event in events]
    assert numbers == [*_heard(who, start), 0]
    for n, event in zip(numbers[:-1], events, strict=False):
        assert event.last_id == f"{head.epoch}-{n}"


def _said(headers: list[bytes], query: bytes) -> str:
    """What the client says that it has: by the header, by what its library added to the query, or in the query."""
    if any(headers):
        return b",".join(headers).decode("latin-1")
    given = [(name if name == "last_event_id" else name.lower(), value) for name, value in pairs(query) if value]
    added = [value for name, value in given if name in ("lasteventid", "last-event-id", "evs_last_event_id")]
    started = [value for name, value in given if name == "last_event_id"]
    return (added or started or [""])[-1]


def _start(said: str, epoch: str) -> int | None:
    """Behind which message the stream has to go on; None if it can't."""
    if not said:
        return len(_LOG)
    known = {f"{epoch}-{sequence}": sequence for sequence in range(len(_LOG) - _RETAINED, len(_LOG) + 1)}
    return known.get(said)


def _heard(who: int, start: int) -> list[int]:
    def hears(topic: str, sender: str | None) -> bool:
        if who == 3:
            return topic in ("a.x", "a.y") and sender == "s1"
        return who == 0 or topic.startswith("a.")

    return [n for n, message in enumerate([*_LOG, *_LIVE], 1) if n > start and hears(*message)]


def _events(exchange: Exchange, *, is_in_envelope: bool) -> list[Event]:
    """The opening, as an event without data, and what follows it; without the lines of an envelope."""
    opening = read(exchange.opening)
    assert opening.retry is not None
    events = read(exchange.body).events
    if is_in_envelope:
        assert events.pop(0).data.startswith("nitro.stream\n")
        events = [event._replace(data=event.data.rpartition("\n")[2]) for event in events]
    return [Event("", "", opening.last_id), *events]
