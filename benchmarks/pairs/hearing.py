"""`python -m pairs.hearing WAY URL`: prints a line of JSON for each series that it heard to its end."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from statistics import median, quantiles

from pairs.ends import WAYS


async def main(way: str, url: str) -> None:
    async with WAYS[way][1](url) as events:
        print("ready", flush=True)
        delays: list[float] = []
        numbers: list[int] = []
        first = 0.0
        async for event in events:
            now = time.monotonic()
            if not numbers:
                first = event["at"]
            delays.append((now - event["at"]) * 1000)
            numbers.append(event["i"])
            if event["i"] == event["of"] - 1:
                found = {
                    "heard": len(numbers),
                    "is_whole": numbers == list(range(event["of"])),
                    "per_second": len(numbers) / (now - first),
                    "p50_ms": median(delays),
                    "p99_ms": quantiles(delays, n=100)[98],
                }
                print(json.dumps(found), flush=True)
                delays, numbers = [], []


asyncio.run(main(*sys.argv[1:]))
