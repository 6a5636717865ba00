"""on, emit and emit_async: what applications call, by an event or its name.

Fed by the application; feeds an emission, which calls the handlers first and then reaches the clients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from nitro.brokers.idempotency import IdempotencyKey
from nitro.events.emission import emit_and_wait, emit_at_once
from nitro.events.event import Condition, Event, Handler, default_namespace
from nitro.events.sender import ANY
from nitro.messages.topics import check_topic

__all__ = ["emit", "emit_async", "emit_idempotent", "on"]

H = TypeVar("H", bound=Handler)


def on(
    event: Event | str,
    sender: Any = ANY,
    weak: bool = False,
    priority: int = 0,
    condition: Condition | None = None,
    *,
    required: bool = False,
) -> Callable[[H], H]:
    """Decorate a handler of an event, or of every event that a pattern matches, now and later.

    The handler is called as `handler(sender, *args, **kwargs)` with what `emit` was given. It may be a function, a
    coroutine function, a generator function or an async generator function. A synchronous handler that returns
    `False`, and nothing else that is false, stops the handlers behind it and the delivery to clients.

    What fails, lets the event through: a handler that raises is logged and hurts nobody else, and one whose condition
    raises is logged and left out. A handler that decides whether an event may go out has to be `required`: what it
    or its condition raises closes the way, and `emit` raises it. docs/handlers.md has the whole table.

    Args:
        event: an event, its name, or a pattern such as `"todo.*"`.
        sender: only when this one emits.
        weak: forget the handler once nobody else refers to it, as blinker does. It is held by default, other than
            by `Event.connect`: a decorated function inside another would be lost in silence.
        priority: higher ones come first; equal ones in the order of their registration.
        condition: `condition(sender, *args, **kwargs)`, a plain function; the handler is left out where it is not true.
        required: the handler must have run, or the event doesn't go on. It has to be a plain function or a generator
            function, and is held whatever `weak` says.

    Raises:
        InvalidTopic, TopicTypeError: the name breaks the grammar.
        ConfigurationError: what is required, or a condition, would have to be awaited.
    """
    if isinstance(event, Event):
        signal = event
    elif isinstance(event, str) and ("*" in event or event == "ANY"):
        signal = default_namespace.pattern(event)
    else:
        signal = default_namespace.event(event)

    def register(handler: H) -> H:
        return signal.connect(handler, sender, weak, priority, condition, required=required)

    return register


def emit(event: Event | str, /, sender: Any = ANY, *args: Any, session: Any = None, **kwargs: Any) -> list[Any]:
    """Call the handlers of `event`, then deliver `result`, if there is one, to the clients that hear it.

    May be called from any thread, with or without an event loop, and never blocks on a client. `result` is
    written as JSON at once, in the caller; changes to it afterwards reach nobody.

    Args:
        event: an event or its name.
        sender: who emits: a string, an object with an `id`, or `ANY`. Subscriptions filter by it.
        session: a SQLAlchemy or SQLModel session: clients get the event if its transaction is committed, and never if
            not. The broker's log has to be in the session's database: `sqlite://` or `postgresql://`; or in memory.
            Handlers get it too, when it is given.
        *args: handed to the handlers behind the sender, and to nobody else.
        **kwargs: handed to the handlers. `result`, unless None, is also what clients get. Without one an emit that
            nobody handles is warned about (`NitroWarning`), once for each place.

    Returns:
        What the synchronous handlers returned, in their order: for a generator the list of what it yielded.
        Asynchronous handlers are started and not waited for. A handler that raised has no part in it.

    Raises:
        InvalidTopic, TopicTypeError: `event` is no event's name.
        InvalidPayload, PayloadTooLarge: `result` can't be sent; no handler was called.
        Overloaded: an event loop is too far behind to deliver.
        BrokerUnavailable: the broker is gone, and as much waits for it as may.
        ConfigurationError: the broker can't take part in the session's transaction.
        Exception: whatever a required handler raised; nothing was delivered.
    """
    signal = event if isinstance(event, Event) else _named(event)
    return emit_at_once(signal, sender, args, session, kwargs)


async def emit_async(
    event: Event | str, /, sender: Any = ANY, *args: Any, session: Any = None, **kwargs: Any
) -> list[Any]:
    """As `emit`, and waits: for the broker's acknowledgement, then for all asynchronous handlers, which run
    side by side. Their results are among those returned, at their handlers' places. `session` may be an `AsyncSession`,
    too; then there is nothing to be acknowledged before it is committed.

    Raises:
        BrokerUnavailable: also if the broker has not acknowledged within `NITRO_PUBLISH_TIMEOUT_SECONDS`; the event
            is published nevertheless, once the broker is back.
    """
    return (await emit_and_wait(_named(event), sender, args, session, kwargs))[0]


async def emit_idempotent(
    event: Event | str, sender: Any, session: Any, kwargs: dict[str, Any], idempotency_key: IdempotencyKey | None = None
) -> tuple[list[Any], bool]:
    """As `emit_async`, with an idempotency key; also returns whether no handler cancelled the event."""
    return await emit_and_wait(_named(event), sender, (), session, kwargs, idempotency_key)


def _named(event: Event | str) -> Event:
    """The event of that name; one that nobody made stays unknown, since names may be as many as users are."""
    if isinstance(event, Event):
        return event
    return default_namespace.get(check_topic(event)) or Event(event, default_namespace)
