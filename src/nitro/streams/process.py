"""The streams of this process: one `Streams` for each event loop, made when first needed, and ended with its loop."""

from __future__ import annotations

import asyncio
import os
import threading
from contextvars import Context
from typing import Final

from nitro.delivery.process import broker_settings, refuse_to_configure_while
from nitro.streams.streams import Streams
from nitro.streams.urls import make_store

__all__ = ["get_streams", "loop_of_threads"]

_streams: Final[dict[asyncio.AbstractEventLoop, Streams]] = {}
_making = threading.Lock()
_thread_loop: asyncio.AbstractEventLoop | None = None


def get_streams() -> Streams:
    """The streams of the running event loop.

    Raises:
        ConfigurationError: the broker's URL can't be used, or its kind has no streams.
    """
    loop = asyncio.get_running_loop()
    streams = _streams.get(loop)
    if streams is None:
        settings = broker_settings()
        streams = Streams(make_store(settings.broker_url.get_secret_value(), settings.namespace))
        _streams[loop] = streams
        streams.keeper = loop.create_task(_keep(loop, streams), name="nitro streams", context=Context())
    return streams


async def _keep(loop: asyncio.AbstractEventLoop, streams: Streams) -> None:
    """Sweep until the loop ends, which cancels this task; then close the store."""
    try:
        await streams.sweeper.run()
    finally:
        _streams.pop(loop, None)
        await streams.close()


def loop_of_threads() -> asyncio.AbstractEventLoop:
    """An event loop in a thread of its own, for all code of this process that has none."""
    global _thread_loop
    with _making:
        if _thread_loop is None:
            _thread_loop = asyncio.new_event_loop()
            threading.Thread(target=_thread_loop.run_forever, name="nitro-streams", daemon=True).start()
        return _thread_loop


def _start_anew() -> None:
    """A forked child has none of its parent's connections, nor its threads."""
    global _thread_loop, _making
    _inherited.append(dict(_streams))
    _streams.clear()
    _making, _thread_loop = threading.Lock(), None


_inherited: Final[list[dict[asyncio.AbstractEventLoop, Streams]]] = []
"""Those of parent processes, kept alive: collecting them would close the parent's connections."""

refuse_to_configure_while(lambda: bool(_streams))
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
