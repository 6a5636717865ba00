"""Emission: one emit, from the handlers of its event to the log.

Fed by `emit`, `emit_async` and an event's own; feeds the hub with one encoded payload.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nitro.brokers.idempotency import IdempotencyKey
from nitro.delivery.process import acknowledged, get_hub
from nitro.errors import InvalidTopic
from nitro.events.background import start_soon
from nitro.events.dispatch import FAILED, call_handlers, outcome_of
from nitro.events.payload import encode, field_of
from nitro.events.sender import sender_key
from nitro.events.sessions import check_session, in_session
from nitro.events.unheard import warn_if_unheard

if TYPE_CHECKING:
    from nitro.events.event import Event

__all__ = ["emit_and_wait", "emit_at_once"]


def emit_at_once(signal: Event, sender: Any, args: tuple[Any, ...], session: Any, kwargs: dict[str, Any]) -> list[Any]:
    """See `emit`."""
    payload, key = _written(signal, sender, args, kwargs)
    told = kwargs if session is None else {**kwargs, "session": session}
    results, later, is_cancelled, error = call_handlers(signal, sender, args, told)
    try:
        if error is not None:
            raise error
        if payload is not None and not is_cancelled and signal.is_heard and not signal.is_muted:
            if session is None:
                get_hub().publish(signal.name, sender_key(sender), payload, key)
            else:
                get_hub().publish_in(check_session(session), signal.name, sender_key(sender), payload, key)
    finally:
        for _, handler, awaitable in later:
            start_soon(outcome_of(handler, awaitable), name=f"nitro handler of {signal.name}")
    return results


async def emit_and_wait(
    signal: Event,
    sender: Any,
    args: tuple[Any, ...],
    session: Any,
    kwargs: dict[str, Any],
    idempotency_key: IdempotencyKey | None = None,
) -> tuple[list[Any], bool]:
    """See `emit_async`; with an idempotency key; also returns whether no handler cancelled the event."""
    payload, key = _written(signal, sender, args, kwargs)
    told = kwargs if session is None else {**kwargs, "session": session}
    results, later, is_cancelled, error = call_handlers(signal, sender, args, told)
    outcomes = [asyncio.ensure_future(outcome_of(handler, awaitable)) for _, handler, awaitable in later]
    try:
        if error is not None:
            raise error
        if payload is not None and not is_cancelled and signal.is_heard and not signal.is_muted:
            message = (signal.name, sender_key(sender), payload, key)
            if session is None:
                await acknowledged(get_hub().publish(*message, idempotency_key))
            else:
                await in_session(session, lambda session: get_hub().publish_in(session, *message))
    finally:
        settled = await asyncio.gather(*outcomes, asyncio.sleep(0))
    for (place, _, _), outcome in reversed(list(zip(later, settled, strict=False))):
        if outcome is not FAILED:
            results.insert(place, outcome)
    return results, not is_cancelled


def _written(
    signal: Event, sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bytes | None, str | None]:
    """The payload if there is one, and its key if it has one."""
    if "*" in signal.name:
        raise InvalidTopic(f"{signal.name!r} is a pattern, and only an event with an exact name can be emitted")
    result = kwargs.get("result")
    if result is None:
        warn_if_unheard(signal, sender, args, kwargs)
        return None, None
    key = None if signal.latest_by is None else field_of(result, signal.latest_by)
    return encode(result, get_hub().settings.max_payload_bytes), key
