"""on, emit and emit_async: handlers first, then the clients.

Fed by the application; feeds the hub with one encoded payload.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

from nitro.domain.topics import check_topic
from nitro.errors import InvalidTopic
from nitro.infrastructure.brokers.once import Mark
from nitro.infrastructure.delivery.current import current, current_async
from nitro.infrastructure.delivery.process import acknowledged, get_hub
from nitro.infrastructure.delivery.statistics import Statistics
from nitro.infrastructure.events.background import start_soon
from nitro.infrastructure.events.events import Condition, Event, Handler, default_namespace
from nitro.infrastructure.events.payload import encode, field_of
from nitro.infrastructure.events.sender import ANY, sender_key
from nitro.infrastructure.events.sessions import check_session, in_session

__all__ = ["emit", "emit_async", "emit_marked", "on", "position", "position_async", "statistics"]

log = logging.getLogger("nitro.events")

_ANSWER_SECONDS: Final = 1.0
"""How long a broker is waited for that is asked where it stands. Then it is how far this process has read."""

H = TypeVar("H", bound=Handler)


def on(
    event: Event | str, sender: Any = ANY, *, priority: int = 0, condition: Condition | None = None
) -> Callable[[H], H]:
    """Decorate a handler of an event, or of every event that a pattern matches, now and later.

    The handler is called as `handler(sender, **kwargs)` with what `emit` was given. It may be a function, a
    coroutine function, a generator function or an async generator function, and is held strongly. What it
    raises is logged and hurts nobody else. A synchronous handler that returns `False` stops the handlers
    behind it and the delivery to clients.

    Args:
        event: an event, its name, or a pattern such as `"todo.*"`.
        sender: only when this one emits.
        priority: higher ones come first; equal ones in the order of their registration.
        condition: `condition(sender, **kwargs)`; the handler is left out where it is not true.

    Raises:
        InvalidTopic, TopicTypeError: the name breaks the grammar.
    """
    if isinstance(event, Event):
        signal = event
    elif isinstance(event, str) and ("*" in event or event == "ANY"):
        signal = default_namespace.pattern(event)
    else:
        signal = default_namespace.event(event)

    def register(handler: H) -> H:
        return signal.connect(handler, sender, weak=False, priority=priority, condition=condition)

    return register


def emit(event: Event | str, /, sender: Any = ANY, *, session: Any = None, **kwargs: Any) -> list[Any]:
    """Call the handlers of `event`, then deliver `result`, if there is one, to the clients that hear it.

    May be called from any thread, with or without an event loop, and never blocks on a client. `result` is
    written as JSON at once, in the caller; changes to it afterwards reach nobody.

    Args:
        event: an event or its name.
        sender: who emits: a string, an object with an `id`, or `ANY`. Subscriptions filter by it.
        session: a SQLAlchemy or SQLModel session: clients get the event if its transaction is committed, and never if
            not. The broker's log has to be in the session's database: `sqlite://` or `postgresql://`; or in memory.
            Handlers get it too, when it is given.
        **kwargs: handed to the handlers. `result`, unless None, is also what clients get.

    Returns:
        What the synchronous handlers returned, in their order: for a generator the list of what it yielded.
        Asynchronous handlers are started and not waited for. A handler that raised has no part in it.

    Raises:
        InvalidTopic, TopicTypeError: `event` is no event's name.
        InvalidPayload, PayloadTooLarge: `result` can't be sent; no handler was called.
        Overloaded: an event loop is too far behind to deliver.
        BrokerUnavailable: the broker is gone, and as much waits for it as may.
        ConfigurationError: the broker can't take part in the session's transaction.
    """
    signal, payload, key = _prepare(event, kwargs)
    results, later, is_cancelled = _call(signal, sender, kwargs if session is None else {**kwargs, "session": session})
    try:
        if payload is not None and not is_cancelled and not signal.is_muted:
            if session is None:
                get_hub().publish(signal.name, sender_key(sender), payload, key)
            else:
                get_hub().publish_in(check_session(session), signal.name, sender_key(sender), payload, key)
    finally:
        for _, handler, value in later:
            start_soon(_settle(handler, value), name=f"nitro handler of {signal.name}")
    return results


async def emit_async(event: Event | str, /, sender: Any = ANY, *, session: Any = None, **kwargs: Any) -> list[Any]:
    """As `emit`, and waits: for the broker's acknowledgement, then for all asynchronous handlers, which run
    side by side. Their results are among those returned, at their handlers' places. `session` may be an `AsyncSession`,
    too; then there is nothing to be acknowledged before it is committed.

    Raises:
        BrokerUnavailable: also if the broker has not acknowledged within `NITRO_PUBLISH_TIMEOUT_SECONDS`; the event
            is published nevertheless, once the broker is back.
    """
    return (await emit_marked(event, sender, session, kwargs))[0]


async def emit_marked(
    event: Event | str, sender: Any, session: Any, kwargs: dict[str, Any], mark: Mark | None = None
) -> tuple[list[Any], bool]:
    """As `emit_async`, with an idempotency key; also returns whether no handler cancelled the event."""
    signal, payload, key = _prepare(event, kwargs)
    results, later, is_cancelled = _call(signal, sender, kwargs if session is None else {**kwargs, "session": session})
    outcomes = [asyncio.ensure_future(_settle(handler, value)) for _, handler, value in later]
    try:
        if payload is not None and not is_cancelled and not signal.is_muted:
            message = (signal.name, sender_key(sender), payload, key)
            if session is None:
                get_hub().publish(*message, mark)
                await acknowledged()
            else:
                await in_session(session, lambda session: get_hub().publish_in(session, *message))
    finally:
        settled = await asyncio.gather(*outcomes, asyncio.sleep(0))
    for (place, _, _), outcome in reversed(list(zip(later, settled, strict=False))):
        if outcome is not _FAILED:
            results.insert(place, outcome)
    return results, not is_cancelled


def position() -> str:
    """Where the log stands now: everything emitted from here on comes behind it.

    Take it before you read the data that a page shows, put it into the page, and let the stream start there
    (`new EventSource("/events?last_event_id=" + position)`): then nothing falls between the page and its stream.

    With a broker that other processes share, the broker is asked. An event loop is not held up for that, but for the
    first time in a process: in coroutines this is how far the process has read, which may be some milliseconds behind,
    so that a page hears again what its data has already. `await position_async()` asks there, too.
    """
    broker = get_hub().broker
    would_hold_up = broker.is_open and asyncio._get_running_loop() is not None
    return str(broker.head if would_hold_up else current(broker, _ANSWER_SECONDS))


async def position_async() -> str:
    """As `position()`, in coroutines: what any process had emitted, and the broker acknowledged, is not behind it."""
    return str(await current_async(get_hub().broker, _ANSWER_SECONDS))


def statistics() -> Statistics:
    """What this process has delivered since its start, and what waits in it now. Cheap; from any thread."""
    return get_hub().statistics()


Later = tuple[int, Handler, Any]
"""The place among the results, the handler, and what it wants awaited."""

_FAILED = object()
_SAYS_NOTHING: Final = (type(None), bool, dict, list, str, int)
"""Types of what most handlers return: a value that nobody has to look into."""


def _prepare(event: Event | str, kwargs: dict[str, Any]) -> tuple[Event, bytes | None, str | None]:
    """The event, the payload if there is one, and its key if it has one."""
    signal = event if isinstance(event, Event) else _named(event)
    if "*" in signal.name:
        raise InvalidTopic(f"{signal.name!r} is a pattern, and only an event with an exact name can be emitted")
    result = kwargs.get("result")
    if result is None:
        return signal, None, None
    key = None if signal.latest_by is None else field_of(result, signal.latest_by)
    return signal, encode(result, get_hub().settings.max_payload_bytes), key


def _named(name: str) -> Event:
    """The event of that name; one that nobody made stays unknown, since names may be as many as users are."""
    return default_namespace.get(check_topic(name)) or Event(name, default_namespace)


def _call(signal: Event, sender: Any, kwargs: dict[str, Any]) -> tuple[list[Any], list[Later], bool]:
    """What the handlers returned, what is to be awaited, and whether one of them cancelled the event."""
    results: list[Any] = []
    later: list[Later] = []
    for handler, condition in signal.handlers_for(sender):
        try:
            if condition is not None and not condition(sender, **kwargs):
                continue
            value = handler(sender, **kwargs)
            if type(value) in _SAYS_NOTHING:
                pass
            elif inspect.isawaitable(value) or inspect.isasyncgen(value):
                later.append((len(results), handler, value))
                continue
            elif inspect.isgenerator(value):
                value = list(value)
        except (Exception, asyncio.CancelledError):  # the latter of something that the handler asked
            log.exception("handler %r of %r failed", handler, signal.name)
            continue
        results.append(value)
        if value is False:
            return results, later, True
    return results, later, False


async def _settle(handler: Handler, value: Any) -> Any:
    try:
        if inspect.isasyncgen(value):
            return [item async for item in value]
        return await value
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        log.exception("handler %r awaited something that was cancelled", handler)
        return _FAILED
    except Exception:
        log.exception("handler %r failed", handler)
        return _FAILED
