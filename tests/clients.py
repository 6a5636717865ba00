"""What tests of clients share."""

from __future__ import annotations

import asyncio

from nitro import Client, Gap, Message


async def take(client: Client, count: int) -> list[Message | Gap]:
    """The next `count` messages, news of gaps included."""
    found: list[Message | Gap] = []
    async with asyncio.timeout(10):
        async for message in client.messages():
            found.append(message)
            if len(found) == count:
                break
    return found
