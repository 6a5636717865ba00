"""Queues: one unbounded asyncio.Queue a client, as people write it by hand. For the peers whose library has no fan-out.

They get the same one, so that what differs between them is their response.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Queues(Generic[Item]):
    """The queues of the clients that are connected now."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Item]] = set()

    def put(self, item: Item) -> None:
        """Hand the same `item` to each."""
        for queue in self._queues:
            queue.put_nowait(item)

    @contextmanager
    def joined(self) -> Iterator[asyncio.Queue[Item]]:
        """A queue that gets what is put from now on, until the block ends."""
        queue: asyncio.Queue[Item] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)
