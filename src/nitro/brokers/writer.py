"""The writer: appends queued messages to the log in batches, and asks the log for its head when that is requested.

Runs in the log broker's loop, while the log is open; woken from any thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import takewhile
from typing import Final

from nitro.brokers import codec
from nitro.brokers.base import Log
from nitro.brokers.batch_size import BatchSize
from nitro.brokers.follower import Follower
from nitro.brokers.progress import Progress
from nitro.brokers.publish_queue import PublishQueue
from nitro.brokers.tasks import in_time
from nitro.errors import PayloadTooLarge
from nitro.messages.message import UNKNOWN_STAMP, Position

__all__ = ["Writer", "too_large"]

log: Final = logging.getLogger("nitro.brokers")

_BATCH_ENTRIES: Final = 500


def too_large(remote: Log, body: bytes) -> PayloadTooLarge:
    """The error of an entry that is longer than the log takes."""
    return PayloadTooLarge(
        f"{remote.name} takes {remote.max_body_bytes} bytes at most, and this event of {codec.topic_of(body)!r} has "
        f"{len(body)}; send a reference instead, or let the server take more (max_payload of NATS)"
    )


class Writer:
    """Part of one log broker. `works` is called after each batch that the log has acknowledged, and when nothing is
    left to append.
    """

    def __init__(
        self,
        remote: Log,
        publish_queue: PublishQueue,
        progress: Progress,
        follower: Follower,
        works: Callable[[], object],
    ) -> None:
        self.more: asyncio.Event = asyncio.Event()
        self._remote = remote
        self._publish_queue = publish_queue
        self._progress = progress
        self._follower = follower
        self._works = works
        self._batch_size = BatchSize(_BATCH_ENTRIES)
        self._late = 0  # the number of the last message that was not appended in time: it may be in the log, and read

    async def run(self) -> None:
        """Run until an operation fails, or until cancelled."""
        while True:
            self.more.clear()
            questions = self._progress.take_questions()
            first, bodies = self._publish_queue.batch(self._batch_size.limit)
            if bodies:
                await self._append(first, bodies)
            if questions:
                newest = await in_time(self._remote.newest())
                self._progress.answer(questions, Position(self._follower.epoch, newest, UNKNOWN_STAMP))
            elif not bodies:
                await self.more.wait()

    async def _append(self, first: int, bodies: list[bytes]) -> None:
        publish_queue, remote = self._publish_queue, self._remote
        longest = remote.max_body_bytes
        if longest is not None and len(bodies[0]) > longest:  # queued before the limit was known
            error = too_large(remote, bodies[0])
            log.error("an event is lost: %s", error)
            publish_queue.acknowledge(1, error)
            if not len(publish_queue):  # it was all that the log would not take
                self._works()
            return
        fitting = bodies if longest is None else list(takewhile(lambda body: len(body) <= longest, bodies))
        last, is_full = first + len(fitting) - 1, len(bodies) == self._batch_size.limit
        self._follower.own.sent(fitting[-1] if last > self._late else b"")
        appending = remote.append(publish_queue.producer, first, fitting)
        try:
            newest = await self._batch_size.in_time(appending, lambda _: is_full)
        except TimeoutError:
            self._late = max(self._late, last)
            raise
        self._follower.own.stands(newest)
        self._works()
        self._progress.appended = Position(self._follower.epoch, newest)
        publish_queue.acknowledge(len(fitting))

    def __repr__(self) -> str:
        return f"<Writer of {self._publish_queue!r}>"
