"""Background tasks of asynchronous handlers: in the emitter's event loop, else in a loop in a daemon thread.

Called by `emit` with the awaitables that handlers returned. Each task is named, and referenced until it is done; one
that is cancelled with all others of its loop is logged, since nobody awaits it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import cache, partial
from typing import Any, Final

from nitro.delivery.process import before_exit
from nitro.events.signal import Handler

__all__ = ["start_soon"]

log: Final = logging.getLogger("nitro.events")

_EXIT_SECONDS: Final = 5.0
"""How long the interpreter's exit waits for handlers in the background loop."""

_tasks: set[asyncio.Task[None]] = set()


def start_soon(coro: Coroutine[Any, Any, None], handler: Handler, event: str) -> None:
    """Start `coro`, the run of `handler` for `event`, in the running loop; from a worker thread of Starlette or anyio,
    in the loop that it belongs to; and from any other thread, in the background loop. Doesn't wait for it.
    """
    start = partial(_start, coro, handler, event, copy_context())
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        _start_elsewhere(start)
    else:
        start()


def _start_elsewhere(start: Callable[[], None]) -> None:
    # anyio's worker threads have a reference to their loop. `anyio.from_thread` would block for ever if that loop has
    # stopped.
    loop = getattr(threading.current_thread(), "loop", None)
    if not isinstance(loop, asyncio.AbstractEventLoop) or not loop.is_running():
        loop = _Background.loop()
    loop.call_soon_threadsafe(start)


def _start(coro: Coroutine[Any, Any, None], handler: Handler, event: str, context: Context) -> None:
    task = asyncio.get_running_loop().create_task(coro, name=f"nitro handler of {event}", context=context)
    _tasks.add(task)
    task.add_done_callback(partial(_ended, handler, event))


def _ended(handler: Handler, event: str, task: asyncio.Task[None]) -> None:
    _tasks.discard(task)
    if task.cancelled() and all(each.cancelling() for each in asyncio.all_tasks()):
        log.warning(
            "handler %r of %r was cancelled before it was done, as all tasks are at the end of their event loop; "
            "await emit_async(…), which waits for it, or make it a plain function",
            handler,
            event,
        )


class _Background:
    """The event loop in a daemon thread, started at first use; a forked child starts its own."""

    _loop: asyncio.AbstractEventLoop | None = None
    _lock = threading.Lock()

    @classmethod
    def loop(cls) -> asyncio.AbstractEventLoop:
        with cls._lock:
            if cls._loop is None:
                cls._loop = loop = asyncio.new_event_loop()
                threading.Thread(target=loop.run_forever, name="nitro-handlers", daemon=True).start()
                before_exit(partial(cls._finish, loop, os.getpid()))
                _register_fork()
            return cls._loop

    @classmethod
    def _forget(cls) -> None:
        cls._loop = None
        cls._lock = threading.Lock()
        _tasks.clear()

    @staticmethod
    def _finish(loop: asyncio.AbstractEventLoop, pid: int) -> None:
        if os.getpid() != pid:
            return
        asyncio.run_coroutine_threadsafe(_finish_tasks(), loop).result(_EXIT_SECONDS + 1)
        loop.call_soon_threadsafe(loop.stop)


@cache
def _register_fork() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_Background._forget)


async def _finish_tasks() -> None:
    here = asyncio.get_running_loop()
    waiting = [task for task in _tasks if task.get_loop() is here]
    if waiting:
        _, left = await asyncio.wait(waiting, timeout=_EXIT_SECONDS)
        for task in left:
            log.warning(
                "%s was not done %g s after this process wanted to end, and ends with it; wait for it, by "
                "emit_async(…) in an event loop of your own",
                task.get_name(),
                _EXIT_SECONDS,
            )
