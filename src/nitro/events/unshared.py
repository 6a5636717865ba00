"""Unshared: the warning at the interpreter's exit that what a script has emitted was heard by nobody.

Without `NITRO_BROKER_URL` the log is in the memory of the process, so a script that emits there tells no server of it.
Fed by the process's hub, once it is made. Servers, tests and programs that emit for their handlers alone are not
warned: nothing is wrong with them.
"""

from __future__ import annotations

import atexit
import logging
import sys
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Final

from nitro.brokers.base import PositionLost
from nitro.delivery.hub import Hub
from nitro.delivery.process import current_hub, when_made
from nitro.messages.message import Message, Position
from nitro.messages.topics import is_reserved

__all__ = ["tell_at_exit"]

log: Final = logging.getLogger("nitro.events")

_SERVERS_AND_TESTS: Final = (
    *("uvicorn", "hypercorn", "granian", "daphne", "gunicorn", "waitress", "uwsgi"),
    *("pytest", "unittest", "starlette.testclient", "nitro.testing"),
)
"""Modules of programs whose clients come later, or are somebody else's concern."""

IsHandled = Callable[[str], bool]
"""Whether an event of that name has handlers."""


def tell_at_exit(is_handled: IsHandled) -> None:
    """Look, when the interpreter exits, whether anybody could have heard what this process has emitted."""
    when_made(partial(_register, is_handled))


@cache
def _register(is_handled: IsHandled) -> None:
    atexit.register(_look, is_handled)


def _look(is_handled: IsHandled) -> None:
    hub = current_hub()
    if hub is None or not _is_unshared(hub) or any(name in sys.modules for name in _SERVERS_AND_TESTS):
        return
    topics = [each.topic for each in _emitted(hub) if not is_reserved(each.topic) and not is_handled(each.topic)]
    if topics and not hub.statistics().connects:
        events = f"1 event ({topics[0]!r}) was" if len(topics) == 1 else f"{len(topics)} events ({topics[0]!r}, …) were"
        log.warning(
            "%s emitted into memory:// of this process, and no client was ever connected here, so nobody heard of it. "
            "Set NITRO_BROKER_URL to a log that this process shares with the server, such as sqlite:////srv/events.db; "
            "https://nitro-realtime.github.io/nitro/how-to/scaling/ has the others",
            events,
        )


def _is_unshared(hub: Hub) -> bool:
    """Whether the log is in memory, and nobody has said so."""
    is_interactive = hasattr(sys, "ps1")
    return hub.broker.name == "memory://" and "broker_url" not in hub.settings.model_fields_set and not is_interactive


def _emitted(hub: Hub) -> Sequence[Message]:
    """What the log still has."""
    broker = hub.broker
    retained = broker.retained.messages
    try:
        return broker.read(Position(broker.head.epoch, broker.head.sequence - retained), retained)
    except PositionLost:
        return ()
