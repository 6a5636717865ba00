"""Dispatch: which handlers of an event are called, in which order, and what comes of it.

Fed by an emission; feeds it the results, what is still to be awaited, and whether the event goes on.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from nitro.errors import ConfigurationError
from nitro.events.signal import Handler, Signal

__all__ = ["FAILED", "Calls", "Later", "call_handlers", "outcome_of"]

log: Final = logging.getLogger("nitro.events")


class Later(NamedTuple):
    """A handler that was called and wants to be awaited.

    Attributes:
        place: where its result belongs among the others.
        awaitable: what it returned: an awaitable or an async generator.
    """

    place: int
    handler: Handler
    awaitable: Any


Calls = tuple[list[Any], list[Later], bool, BaseException | None]
"""What came of calling the handlers of one emit: the results of the synchronous ones, in their order; the asynchronous
ones; whether one of them returned False; and what one raised that must have run: nothing goes on then.
"""

FAILED: Final = object()
"""Instead of the result of an asynchronous handler that raised."""

_SAYS_NOTHING: Final = (type(None), bool, dict, list, str, int)
"""Types of what most handlers return: a value that nobody has to look into."""


def call_handlers(signal: Signal, sender: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Calls:
    """Call those that handle `signal` from `sender`, until one returns False, or one that must have run raises."""
    results: list[Any] = []
    later: list[Later] = []
    for registration, handler in signal.handlers_for(sender):
        try:
            if registration.condition is not None and not registration.condition(sender, *args, **kwargs):
                continue
            value = handler(sender, *args, **kwargs)
            if type(value) in _SAYS_NOTHING:
                pass
            elif inspect.isawaitable(value) or inspect.isasyncgen(value):
                if registration.is_required:
                    raise _not_run(signal, handler, value)  # noqa: TRY301 - it is treated as what the handler raises
                later.append(Later(len(results), handler, value))
                continue
            elif inspect.isgenerator(value):
                value = list(value)
        except (Exception, asyncio.CancelledError) as error:  # the latter of something that the handler asked
            if registration.is_required:
                return results, later, False, error
            log.exception("handler %r of %r failed", handler, signal.name)
            continue
        results.append(value)
        if value is False:
            return results, later, True, None
    return results, later, False, None


async def outcome_of(handler: Handler, awaitable: Any) -> Any:
    """The result of an asynchronous handler, or `FAILED`; what it raises is logged."""
    try:
        if inspect.isasyncgen(awaitable):
            return [item async for item in awaitable]
        return await awaitable
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        log.exception("handler %r awaited something that was cancelled", handler)
        return FAILED
    except Exception:
        log.exception("handler %r failed", handler)
        return FAILED


def _not_run(signal: Signal, handler: Handler, value: Any) -> ConfigurationError:
    if inspect.iscoroutine(value):
        value.close()
    return ConfigurationError(
        f"the required handler {handler!r} of {signal.name!r} returned {type(value).__name__}, which would run after "
        f"the event is delivered; let it do its work before it returns, or don't require it"
    )
