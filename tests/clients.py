"""What tests of clients share."""

from __future__ import annotations

import asyncio
import time

from nitro import Client, Gap, Message
from nitro.delivery.process import get_hub
from nitro.testing.conformance import eventually


async def take(client: Client, count: int) -> list[Message | Gap]:
    """The next `count` messages, news of gaps included."""
    found: list[Message | Gap] = []
    async with asyncio.timeout(10):
        async for message in client.messages():
            found.append(message)
            if len(found) == count:
                break
    return found


def wait_until_rights_count(user_id: str) -> None:
    """For a second after a user was dismissed, rights that are read count as older than that.

    Those of tickets do for a little longer, since the time in them is rounded.
    """
    admission = get_hub().admission
    eventually(lambda: not admission.was_disconnected(user_id, time.monotonic() - 0.1), "new rights count", 5)
