"""Dispatch: calls the handlers of an event in order.

Called by an emission; returns the results, the awaitables to run, and whether the event was cancelled.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from nitro.errors import ConfigurationError
from nitro.events.signal import Handler, Registration, Signal

__all__ = ["FAILED", "Calls", "Later", "call_handlers", "outcome_of"]

log: Final = logging.getLogger("nitro.events")


class Later(NamedTuple):
    """A handler that returned something to await.

    Attributes:
        place: index of its result among the results.
        awaitable: what it returned: an awaitable or an async generator.
    """

    place: int
    handler: Handler
    awaitable: Any


Calls = tuple[list[Any], list[Later], bool, BaseException | None]
"""The outcome of one emit: the results of the synchronous handlers, in order; the asynchronous handlers; whether a
handler returned False; and the exception of a required handler, or one that ends the program, which cancels the event.
"""

FAILED: Final = object()
"""Stands for the result of an asynchronous handler that raised."""

_PLAIN_TYPES: Final = (type(None), bool, dict, list, str, int)
"""The most common types of results, which need no check for awaitables and generators."""


def call_handlers(
    signal: Signal,
    handlers: Sequence[tuple[Registration, Handler]],
    sender: Any,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Calls:
    """Call these handlers of `signal`, until one returns False or a required one raises."""
    results: list[Any] = []
    later: list[Later] = []
    for registration, handler in handlers:
        if registration.is_over:  # one that was called before has disconnected it
            continue
        try:
            if registration.condition is not None and not registration.condition(sender, *args, **kwargs):
                continue
            value = handler(sender, *args, **kwargs)
            if type(value) in _PLAIN_TYPES:
                pass
            elif inspect.isawaitable(value) or inspect.isasyncgen(value):
                if registration.is_required:
                    raise _not_run(signal, handler, value)  # noqa: TRY301 - handled like an exception of the handler
                later.append(Later(len(results), handler, value))
                continue
            elif inspect.isgenerator(value):
                value = list(value)
        except (Exception, asyncio.CancelledError) as error:  # the latter from something that the handler waited for
            if registration.is_required:
                return results, later, False, error
            log.exception("handler %r of %r failed", handler, signal.name)
            continue
        except BaseException as error:  # noqa: BLE001 - it is raised once those in `later` have been started
            return results, later, False, error
        results.append(value)
        if value is False:
            return results, later, True, None
    return results, later, False, None


async def outcome_of(handler: Handler, awaitable: Any) -> Any:
    """The result of an asynchronous handler, or `FAILED` if it raises, which is logged."""
    try:
        if inspect.isasyncgen(awaitable):
            return [item async for item in awaitable]
        return await awaitable
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        log.exception("handler %r awaited a task that was cancelled", handler)
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
