"""A pipe that is closed at its other end, as by `head`: who waits for messages ends then, and not with the next one."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable

__all__ = ["drop_output", "when_closed"]


def when_closed(act: Callable[[], object]) -> None:
    """Call `act`, in a thread of its own, when nobody reads stdout any more. Where a system can't tell, never."""
    if sys.stdout.isatty() or not hasattr(select, "poll"):
        return
    threading.Thread(target=_watch, args=(sys.stdout.fileno(), act), name="nitro-pipe", daemon=True).start()


def _watch(descriptor: int, act: Callable[[], object]) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)  # for errors alone
    if any(happened & select.POLLERR for _, happened in poll.poll()):
        act()


def drop_output() -> None:
    """What is still to be written goes nowhere, or the interpreter would complain of the closed pipe at its exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
