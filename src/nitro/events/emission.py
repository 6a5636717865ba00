"""Emission: one emit, from the handlers of its event to the log.

Called by `emit`, `emit_async` and the methods of `Event`; publishes the encoded payload by the hub. If there is a
tracer, an emit runs within its span, and what it publishes within another.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from nitro import tracing
from nitro.brokers.base import Draft
from nitro.brokers.codec import check
from nitro.brokers.idempotency import IdempotencyKey
from nitro.delivery.process import acknowledged, get_hub
from nitro.errors import InvalidTopic
from nitro.events.background import start_soon
from nitro.events.dispatch import FAILED, Calls, call_handlers, outcome_of
from nitro.events.payload import encode, field_of
from nitro.events.sender import sender_key
from nitro.events.sessions import check_any_session, check_session, in_session
from nitro.events.signal import Signal
from nitro.events.unheard import warn_if_unheard
from nitro.tracing import Tracer

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["draft_change", "emit_and_wait", "emit_at_once"]

log: Final = logging.getLogger("nitro.events")

_Written = tuple[bytes, str | None]
"""The payload, and the key under which the next message replaces it."""


def emit_at_once(
    signal: Signal,
    sender: Any,
    args: tuple[Any, ...],
    session: Any,
    kwargs: dict[str, Any],
    traced_by: Tracer | None = None,
) -> list[Any]:
    """See `emit`. `traced_by` has the span within which this runs."""
    if traced_by is None and (tracer := tracing.tracer) is not None and _does_anything(signal, kwargs):
        with tracer.emitting(signal.name):
            return emit_at_once(signal, sender, args, session, kwargs, tracer)
    if session is not None and kwargs.get("result") is not None:
        check_session(session)  # before any handler is called
    written, (results, later, _, error) = _call(signal, sender, args, session, kwargs)
    try:
        if error is not None:
            raise error
        if written is None:
            pass
        elif traced_by is not None:
            with traced_by.publishing(signal.name, len(written[0])):
                _publish(signal, sender, session, written)
        elif session is None:  # most emits are this, and save a call
            payload, key = written
            get_hub().publish(signal.name, sender_key(sender), payload, key)
        else:
            _publish(signal, sender, session, written)
    finally:
        for _, handler, awaitable in later:
            start_soon(outcome_of(handler, awaitable), handler, signal.name)
    return results


async def emit_and_wait(
    signal: Signal,
    sender: Any,
    args: tuple[Any, ...],
    session: Any,
    kwargs: dict[str, Any],
    idempotency_key: IdempotencyKey | None = None,
    traced_by: Tracer | None = None,
    *,
    was_json: bool = False,
) -> tuple[list[Any], bool]:
    """See `emit_async`; takes an idempotency key, and also returns False if a handler cancelled the event. `traced_by`
    has the span within which this runs; with `was_json` the result is what was parsed of JSON.
    """
    if traced_by is None and (tracer := tracing.tracer) is not None and _does_anything(signal, kwargs):
        with tracer.emitting(signal.name):
            return await emit_and_wait(
                signal, sender, args, session, kwargs, idempotency_key, tracer, was_json=was_json
            )
    if session is not None and kwargs.get("result") is not None:
        check_any_session(session)  # before any handler is called
    written, (results, later, is_cancelled, error) = _call(signal, sender, args, session, kwargs, was_json=was_json)
    tasks = [asyncio.ensure_future(outcome_of(handler, awaitable)) for _, handler, awaitable in later]
    try:
        if error is not None:
            raise error
        if written is None:
            pass
        elif traced_by is not None:
            with traced_by.publishing(signal.name, len(written[0])):
                await _publish_and_wait(signal, sender, session, written, idempotency_key)
        elif session is None:  # most emits are this, and save a coroutine
            payload, key = written
            await acknowledged(get_hub().publish(signal.name, sender_key(sender), payload, key, idempotency_key))
        else:
            await _publish_and_wait(signal, sender, session, written, idempotency_key)
    finally:
        outcomes = await asyncio.gather(*tasks, asyncio.sleep(0))
    for (place, _, _), outcome in reversed(list(zip(later, outcomes, strict=False))):
        if outcome is not FAILED:
            results.insert(place, outcome)
    return results, not is_cancelled


def draft_change(signal: Signal, sender: str | None, result: dict[str, Any], session: Session) -> Draft | None:
    """Call the handlers of a row's change, in the transaction that makes it. Returns the message to publish.

    A handler can keep the message back (None), but never the row: what a required one raises is logged.

    Raises:
        InvalidPayload, PayloadTooLarge: the row can't be sent.
    """
    written, (_, later, _, error) = _call(signal, sender, (), session, {"result": result}, was_json=True)
    for _, handler, awaitable in later:
        start_soon(outcome_of(handler, awaitable), handler, signal.name)
    if error is not None:
        log.error("a required handler keeps %r of %r back", signal.name, sender, exc_info=error)
        return None
    return None if written is None else Draft(signal.name, sender, *written)


def _does_anything(signal: Signal, kwargs: dict[str, Any]) -> bool:
    """Whether an emit has something to publish or somebody to call: those of Nitro's own events mostly have not."""
    return kwargs.get("result") is not None or signal.is_handled


def _publish(signal: Signal, sender: Any, session: Any, written: _Written) -> None:
    if session is None:
        get_hub().publish(signal.name, sender_key(sender), *written)
    else:
        get_hub().publish_in(check_session(session), [Draft(signal.name, sender_key(sender), *written)])


async def _publish_and_wait(
    signal: Signal, sender: Any, session: Any, written: _Written, idempotency_key: IdempotencyKey | None
) -> None:
    if session is None:
        await acknowledged(get_hub().publish(signal.name, sender_key(sender), *written, idempotency_key))
    else:
        message = Draft(signal.name, sender_key(sender), *written)
        await in_session(session, lambda session: get_hub().publish_in(session, [message]))


def _call(
    signal: Signal,
    sender: Any,
    args: tuple[Any, ...],
    session: Any,
    kwargs: dict[str, Any],
    *,
    was_json: bool = False,
) -> tuple[_Written | None, Calls]:
    """Serialise the result, then call the handlers. Returns what to publish, or None, and the handlers' outcome."""
    if "*" in signal.name:
        raise InvalidTopic(f"{signal.name!r} is a pattern, and only an event with an exact name can be emitted")
    written: _Written | None = None
    result = kwargs.get("result")
    if result is None:
        warn_if_unheard(signal, sender, args, kwargs)
    elif signal.schema is None:
        key = None if signal.latest_by is None else field_of(result, signal.latest_by)
        written = encode(result, get_hub().settings.max_payload_bytes, signal.name), key
    else:
        max_bytes = get_hub().settings.max_payload_bytes
        kwargs["result"], payload = signal.schema.encode(result, max_bytes, was_json=was_json)
        key = None if signal.latest_by is None else field_of(kwargs["result"], signal.latest_by)
        written = payload, key
    handlers = signal.handlers_for(sender)
    if handlers and written is not None:
        check(signal.name, sender_key(sender), written[1])
    calls = call_handlers(signal, handlers, sender, args, kwargs if session is None else {**kwargs, "session": session})
    if written is None or calls[2] or calls[3] is not None or not signal.is_heard or signal.is_muted:
        return None, calls
    return written, calls
