"""What every Python server shares, so that nothing but the fan-out differs: the payload, its pace, and two doors."""

import asyncio
import time
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

PAD = "60"

Payload = dict[str, int | str | bool]


def payload(sequence: int, pad: int) -> Payload:
    """About 130 bytes as a frame. `t` is CLOCK_MONOTONIC in nanoseconds: the client computes the latency."""
    return {"t": time.monotonic_ns(), "i": sequence, "title": "x" * pad, "done": False}


async def fire(query: Mapping[str, str], emit: Callable[[Payload], object]) -> None:
    """What GET /fire?k=EVENTS&gap=SECONDS&first=SEQUENCE&pad=BYTES asks for: emit k events.

    Without a gap the loop gets a tick after each. With one, events are due at fixed times: what a busy loop is late
    with is emitted at once, so that the load doesn't depend on who bears it.
    """
    pad = int(query.get("pad", PAD))
    gap_seconds = float(query.get("gap", "0"))
    first = int(query.get("first", "0"))
    events = int(query["k"])
    start = time.monotonic()
    emitted = 0
    while emitted < events:
        late = time.monotonic() - start - emitted * gap_seconds
        due = 1 if not gap_seconds else min(events - emitted, int(late / gap_seconds) + 1)
        for _ in range(due):
            emit(payload(first + emitted, pad))
            emitted += 1
        await asyncio.sleep(max(0.0, start + emitted * gap_seconds - time.monotonic()) if gap_seconds else 0)


def doors(emit: Callable[[Payload], object]) -> list[Route]:
    """GET /fire, which emits, and GET /plain, a request beside the stream."""

    async def fire_events(request: Request) -> PlainTextResponse:
        await fire(request.query_params, emit)
        return PlainTextResponse("fired")

    async def plain(_: Request) -> PlainTextResponse:
        return PlainTextResponse("plain")

    return [Route("/fire", fire_events), Route("/plain", plain)]
