"""`python -m pairs.emitting WAY URL`: emits what each line of its input orders, `count gap_seconds`."""

from __future__ import annotations

import asyncio
import sys
import time

from pairs.ends import WAYS

PAD = "x" * 50


async def main(way: str, url: str) -> None:
    async with WAYS[way][0](url) as emit:
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            count, gap = int(line.split()[0]), float(line.split()[1])
            due = time.monotonic()
            for n in range(count):
                if gap:
                    due += gap
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                elif n % 100 == 0:
                    await asyncio.sleep(0)
                await emit({"i": n, "of": count, "at": time.monotonic(), "pad": PAD})


asyncio.run(main(*sys.argv[1:]))
