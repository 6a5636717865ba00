"""The outcomes of work that raised: what becomes of its run.

Fed by the service, for work that it runs, and by the blocks of an application that write a run; tells the producer.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from nitro.runs.errors import RunEnded, RunFailed, RunTaken
from nitro.runs.producer import Producer

__all__ = ["end_with"]

log: Final = logging.getLogger("nitro.runs")

_INTERNAL: Final = "internal error"
"""The reason that readers are told of any error but `RunFailed`; the error itself is logged."""


async def end_with(producer: Producer, error: BaseException) -> None:
    """End a run whose work raised: as failed, or, if the work was stopped, by leaving it to others.

    Raises:
        asyncio.CancelledError: this task was cancelled once more.
    """
    if _is_stop(error):
        if not producer.is_over:
            await producer.release()
    elif not producer.has_end:
        await _fail(producer, error)
    elif isinstance(error, RunTaken | RunEnded | RunFailed):
        log.info("%r: %s", producer, error)
        with suppress(RunTaken, RunEnded, RunFailed):
            await producer.finish()
    else:
        log.error("the work of a run failed after its end: %r", producer, exc_info=error)


def _is_stop(error: BaseException) -> bool:
    """Whether work was stopped from outside. That a task was cancelled which it awaited is a failure."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return not isinstance(error, Exception)


async def _fail(producer: Producer, error: BaseException) -> None:
    reason = _INTERNAL
    if isinstance(error, RunFailed):
        reason = str(error) or "it failed"
    else:
        log.error("the work of a run failed: %r", producer, exc_info=error)
    try:
        await producer.end("failed", reason)
    except (RunEnded, RunTaken, RunFailed):
        log.info("a run has ended otherwise already: %r", producer)
