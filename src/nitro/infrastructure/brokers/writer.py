"""The writer: appends what waits to the log, in batches, and asks it where it stands for those who want to know.

Runs in the link's loop, while the log is open; woken from any thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import takewhile

from nitro.domain.message import UNKNOWN_STAMP, Position
from nitro.errors import PayloadTooLarge
from nitro.infrastructure.brokers.base import Log
from nitro.infrastructure.brokers.follower import Follower
from nitro.infrastructure.brokers.outgoing import Outgoing
from nitro.infrastructure.brokers.progress import Progress
from nitro.infrastructure.brokers.tasks import in_time

__all__ = ["Writer"]

log = logging.getLogger("nitro.brokers")


class Writer:
    """Belongs to one link, whose parts it works on; `works` is called after each batch that the log has taken."""

    def __init__(
        self, remote: Log, outgoing: Outgoing, progress: Progress, follower: Follower, works: Callable[[], object]
    ) -> None:
        self.more = asyncio.Event()
        self._remote = remote
        self._outgoing = outgoing
        self._progress = progress
        self._follower = follower
        self._works = works

    async def run(self) -> None:
        """Until something fails, or it is cancelled."""
        while True:
            self.more.clear()
            questions = self._progress.questions
            first, bodies = self._outgoing.batch()
            if bodies:
                await self._append(first, bodies)
            if questions:
                newest = await in_time(self._remote.newest())
                self._progress.answer(questions, Position(self._follower.epoch, newest, UNKNOWN_STAMP))
            elif not bodies:
                await self.more.wait()

    async def _append(self, first: int, bodies: list[bytes]) -> None:
        outgoing, remote = self._outgoing, self._remote
        longest = remote.max_body_bytes
        if longest is not None and len(bodies[0]) > longest:  # it was queued before the log was reached
            error = PayloadTooLarge(f"{remote.name} takes {longest} bytes at most, not {len(bodies[0])}")
            log.error("an event is lost: %s", error)
            outgoing.acknowledge(1, error)
            return
        fitting = bodies if longest is None else list(takewhile(lambda body: len(body) <= longest, bodies))
        self._follower.own.sent(fitting[-1])
        newest = await in_time(remote.append(outgoing.producer, first, fitting))
        self._follower.own.stands(newest)
        self._works()
        self._progress.appended = Position(self._follower.epoch, newest)
        outgoing.acknowledge(len(fitting))

    def __repr__(self) -> str:
        return f"<Writer of {self._outgoing!r}>"
