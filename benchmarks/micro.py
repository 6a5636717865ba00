"""What an emit costs inside one process, without a socket. Prints one line of JSON for each case.

`python micro.py emit` has no client: the price that an application pays for events that nobody watches.
`python micro.py schemas` has none either: events with a schema beside such without, in turns.
`python micro.py rooms` has 10 to 100,000 clients, each with an interest of its own, of which one matches.
`python micro.py stages` has 1,000 streams whose server's `send` does nothing: what is left is nitro's share of a
delivery in lockstep, and what Starlette and FastAPI add to it.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import uvloop
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import nitro

STREAMS = 1000
EMITS = 1000
BATCHES = 30
RESULT = {"i": 1, "title": "x" * 60, "done": False}

ROOMS: dict[str, tuple[Callable[[int], Any], str, str]] = {
    # what client n listens to, and the topic and sender that reach client 7
    "senders": (lambda n: {"chat.message": [f"room-{n}"]}, "chat.message", "room-7"),
    "exact topics": (lambda n: [f"room.{n}.message"], "room.7.message", "me"),
    "user patterns": (lambda n: [f"user.{n}.*"], "user.7.renamed", "me"),
}


async def emitting(topic: nitro.Event | str, sender: str, threaded: bool) -> float:
    """Microseconds that one emit takes, the tick that routes it included."""

    def batch() -> float:
        began = time.perf_counter()
        for _ in range(EMITS):
            nitro.emit(topic, sender, result=RESULT)
        return time.perf_counter() - began

    took = []
    for _ in range(BATCHES):
        began = time.perf_counter()
        if threaded:
            took.append(await asyncio.to_thread(batch))
        else:
            batch()
            await asyncio.sleep(0)
            took.append(time.perf_counter() - began)
    return median(took) / EMITS * 1e6


def _handler() -> Callable[..., None]:
    def handler(sender: Any, **kwargs: Any) -> None:
        """Does nothing: the dispatch is measured."""

    return handler


def emit_cases() -> Iterator[tuple[str, float]]:
    event = nitro.event("bench.tick")
    registered = 0
    for handlers in (0, 1, 100):
        for _ in range(registered, handlers):
            nitro.on(event)(_handler())
        registered = handlers
        name = f"{handlers} handler{'' if handlers == 1 else 's'}"
        for place in ("loop", "thread"):
            yield (
                f"{name}, from {'the loop' if place == 'loop' else 'a thread'}",
                asyncio.run(emitting(event, "bench", place == "thread")),
            )


class Todo(BaseModel):
    i: int
    title: str
    done: bool


def schema_cases() -> Iterator[tuple[str, float]]:
    """The best batch of each, since they differ by less than a batch does from the next."""
    plain, typed = nitro.event("bench.plain"), nitro.event("bench.typed", schema=Todo)
    model = Todo(**RESULT)
    ways: dict[str, tuple[nitro.Event, Any]] = {
        f"{kind}, {what}": (topic, result)
        for what, result in (("a dict", RESULT), ("a model", model))
        for kind, topic in (("without a schema", plain), ("with a schema", typed))
    }
    took: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(BATCHES):
        for way, (topic, result) in ways.items():
            began = time.perf_counter()
            for _ in range(EMITS):
                topic.emit("bench", result=result)
            took[way].append(time.perf_counter() - began)
    for way, seconds in took.items():
        yield way, min(seconds) / EMITS * 1e6


def room_cases() -> Iterator[tuple[str, float]]:
    for kind in ROOMS:
        for count in (10, 1_000, 100_000):
            yield f"{kind}, {count:,}", asyncio.run(one_of(kind, count))


async def one_of(kind: str, count: int) -> float:
    topics, topic, sender = ROOMS[kind]
    clients = [nitro.Client(topics=topics(n)).connect() for n in range(count)]
    reading = asyncio.create_task(_read(clients[7]))
    took = await emitting(nitro.event(topic), sender, threaded=False)
    for client in clients:
        client.disconnect()
    await reading
    return took


def stage_cases() -> Iterator[tuple[str, float]]:
    def response() -> nitro.EventSourceResponse:
        return nitro.EventSourceResponse(nitro.Client(topics=["bench.*"]))

    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        await response()(scope, receive, send)

    async def endpoint(_: Request) -> Response:
        return response()

    fastapi = FastAPI()
    fastapi.add_api_route("/events", response, response_class=nitro.EventSourceResponse)
    yield "nitro alone", uvloop.run(delivering(bare))
    yield "nitro and Starlette", uvloop.run(delivering(Starlette(routes=[Route("/events", endpoint)])))
    yield "nitro and FastAPI", uvloop.run(delivering(fastapi))


async def delivering(app: ASGIApp) -> float:
    """Microseconds of CPU for each delivery."""
    event = nitro.event("bench.tick")
    sent, wanted = 0, 2 * STREAMS  # the head and the first bytes
    arrived = asyncio.Event()
    never = asyncio.get_running_loop().create_future()

    async def receive() -> Message:
        await never
        return {"type": "http.disconnect"}

    async def send(_: Message) -> None:
        nonlocal sent
        sent += 1
        if sent == wanted:
            arrived.set()

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/events",
        "raw_path": b"/events",
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "http_version": "1.1",
    }
    streams = [asyncio.create_task(app(dict(scope), receive, send)) for _ in range(STREAMS)]
    await arrived.wait()
    took = []
    for _ in range(BATCHES):
        began = time.process_time()
        for _ in range(10):
            arrived.clear()
            wanted = sent + STREAMS
            nitro.emit(event, "bench", result=RESULT)
            await arrived.wait()
        took.append(time.process_time() - began)
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    return median(took) / 10 / STREAMS * 1e6


async def _read(client: nitro.Client) -> None:
    async for _ in client.messages():
        pass


CASES = {"emit": emit_cases, "rooms": room_cases, "schemas": schema_cases, "stages": stage_cases}

if __name__ == "__main__":
    for case, microseconds in CASES[sys.argv[1]]():
        print(json.dumps({"case": case, "us": microseconds}), flush=True)
