"""`python -m tests.apps.one_of_many NAME EVENTS ALL`: one of many processes on the log that the environment names.

Once told so it emits its events, and hears everybody's. Then it prints a digest of what it heard, in its order.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys

import nitro


async def main(name: str, events: int, everything: int) -> None:
    nitro.connect_broker()
    with nitro.Client(topics=["many.*"]) as client:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for n in range(events):
            nitro.emit("many.one", name, result=[name, n])
            if n % 10 == 0:
                await asyncio.sleep(0)
        digest = hashlib.sha256()
        newest: dict[str, int] = {}
        heard = 0
        async for message in client.messages():
            assert isinstance(message, nitro.Message), message
            producer, n = message.data
            assert newest.get(producer, -1) == n - 1, (producer, n, newest.get(producer))
            newest[producer] = n
            digest.update(f"{message.id} {producer} {n}\n".encode())
            heard += 1
            if heard == everything:
                break
    print(digest.hexdigest(), flush=True)


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
