"""The tasks of a link's loop, and how they come to an end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

__all__ = ["end"]


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them until they end: a driver may swallow a cancellation that comes together with its answer."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=0.05)
        await asyncio.gather(*done, return_exceptions=True)
    for _ in range(3):  # sockets that were closed a moment ago are let go in the next turns
        await asyncio.sleep(0)
