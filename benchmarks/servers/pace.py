"""What every Python server shares, so that nothing but the fan-out differs: the payload and its pace."""

import asyncio
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse

PADDING = "x" * 60

Payload = dict[str, int | str | bool]


def payload(sequence: int) -> Payload:
    """About 130 bytes as a frame. `t` is CLOCK_MONOTONIC in nanoseconds: the client computes the latency."""
    return {"t": time.monotonic_ns(), "i": sequence, "title": PADDING, "done": False}


async def fire(request: Request, emit: Callable[[Payload], object]) -> JSONResponse:
    """Answer GET /fire?k=EVENTS&gap=SECONDS&first=SEQUENCE: emit k events, and yield to the loop after each."""
    gap_seconds = float(request.query_params.get("gap", "0"))
    first = int(request.query_params.get("first", "0"))
    for sequence in range(first, first + int(request.query_params["k"])):
        emit(payload(sequence))
        await asyncio.sleep(gap_seconds)
    return JSONResponse({})
