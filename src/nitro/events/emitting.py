"""`on`, `emit` and `emit_async`: the functions for applications, by an event or its name.

`emission` does the work: it calls the handlers and then publishes to the clients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from nitro.brokers.idempotency import IdempotencyKey
from nitro.errors import TopicTypeError
from nitro.events.emission import emit_and_wait, emit_at_once
from nitro.events.event import UNSET, Condition, Event, Handler, default_namespace
from nitro.events.sender import ANY
from nitro.messages.topics import check_topic

__all__ = ["emit", "emit_async", "emit_idempotent", "on"]

H = TypeVar("H", bound=Handler)
T = TypeVar("T")


def on(
    event: Event[Any] | str,
    sender: Any = ANY,
    weak: bool = False,
    priority: int = 0,
    condition: Condition | None = None,
    *,
    required: bool = False,
) -> Callable[[H], H]:
    """Register the decorated function as a handler of an event, or of all events that a pattern matches.

    The handler is called as `handler(sender, *args, **kwargs)` with what `emit` was given. It may be a function, a
    coroutine function, a generator function or an async generator function. A synchronous handler that returns
    `False` (no other false value) cancels the event: later handlers and the delivery to clients are skipped.

    Failures don't cancel it: if a handler raises, the error is logged and the others still run; if a condition raises,
    that is logged and its handler is skipped. A handler that decides whether an event may go out has to be `required`:
    what it or its condition raises cancels the event and is raised by `emit`.

    Args:
        event: an event, its name, or a pattern such as `"todo.*"`.
        sender: only events of this sender, or of each in a list; compared by its key, as that of a subscription is.
        weak: keep only a weak reference to the handler, as blinker does. The default is a strong one, unlike
            `Event.connect`, since a decorated local function would silently disappear.
        priority: higher priorities run first; equal ones in the order of registration.
        condition: `condition(sender, *args, **kwargs)`, a plain function; if it is false, the handler is skipped.
        required: the event is delivered only if the handler has run. It has to be a plain function or a generator
            function, and is referenced strongly whatever `weak` says.

    Raises:
        InvalidTopic, TopicTypeError: the name breaks the grammar.
        ConfigurationError: the required handler, or the condition, is asynchronous.
        ArgumentTypeError: the handler or the condition can't be called, or the priority is no number.
    """
    if callable(event):
        raise TopicTypeError(
            f"@on is given the event, and then the function that it decorates: write @on('todo.created') above "
            f"{getattr(event, '__name__', 'it')!a:.60}"
        )
    if isinstance(event, Event):
        signal = event
    elif isinstance(event, str) and ("*" in event or event == "ANY"):
        signal = default_namespace.pattern(event)
    else:
        signal = default_namespace.event(event)

    def register(handler: H) -> H:
        return signal.connect(handler, sender, weak, priority, condition, required=required)

    return register


def emit(
    event: Event[T, Any] | str,
    /,
    sender: Any = ANY,
    *args: Any,
    result: T | None = UNSET,
    session: Any = None,
    **kwargs: Any,
) -> list[Any]:
    """Call the handlers of `event`, then deliver `result`, if there is one, to the clients that hear it.

    May be called from any thread, with or without an event loop, and never blocks on a client. `result` is serialised
    to JSON before the handlers are called; later changes to it have no effect.

    Args:
        event: an event or its name.
        sender: a string, an object with an `id`, or `ANY`. Subscriptions filter by it.
        result: what clients get, serialised to JSON, and handlers, too; None for nothing. Without it, an emit that has
            no handlers warns (`NitroWarning`), once for each line of code. If the event has a schema, `result` is
            validated by it.
        session: a SQLAlchemy or SQLModel session: clients get the event if and only if its transaction commits. The
            broker's log has to be in the session's database (`sqlite://` or `postgresql://`), or in memory, where the
            session's own commit counts, also within a transaction that it has joined. If given, it is passed to the
            handlers, too.
        *args: passed to the handlers after the sender.
        **kwargs: passed to the handlers.

    Returns:
        The results of the synchronous handlers, in order; of a generator, a list of what it yielded. Asynchronous
        handlers are started and not awaited. A handler that raised has no result.

    Raises:
        InvalidTopic, TopicTypeError: `event` is not a valid name.
        InvalidPayload, PayloadTooLarge: `result` can't be sent, or isn't what the event's schema says; or the id of the
            sender, or the field that `latest_by` names, is no text or longer than 4 KiB. No handler was called.
        Overloaded: an event loop lags too far behind.
        BrokerUnavailable: the broker is unreachable, and the publish queue is full.
        ConfigurationError: the broker can't take part in the session's transaction.
        ArgumentTypeError: `session` is no session of SQLAlchemy's.
        Exception: a required handler raised it; nothing was delivered.
    """
    if result is not UNSET:
        kwargs["result"] = result
    signal = event if isinstance(event, Event) else _named(event)
    return emit_at_once(signal, sender, args, session, kwargs)


async def emit_async(
    event: Event[T, Any] | str,
    /,
    sender: Any = ANY,
    *args: Any,
    result: T | None = UNSET,
    session: Any = None,
    **kwargs: Any,
) -> list[Any]:
    """As `emit`, but waits for the broker's acknowledgement and for all asynchronous handlers, which run concurrently.
    Their results are returned, too, in the order of the handlers. `session` may also be an `AsyncSession`. With a
    session there is no acknowledgement to wait for, since nothing is published before the commit.

    Raises:
        BrokerUnavailable: also if the broker doesn't acknowledge within `NITRO_PUBLISH_TIMEOUT_SECONDS`; the event
            stays queued and is published once the broker is reachable.
    """
    if result is not UNSET:
        kwargs["result"] = result
    return (await emit_and_wait(_named(event), sender, args, session, kwargs))[0]


async def emit_idempotent(
    event: Event[Any] | str,
    sender: Any,
    session: Any,
    kwargs: dict[str, Any],
    idempotency_key: IdempotencyKey | None = None,
) -> tuple[list[Any], bool]:
    """As `emit_async`, of a result that was JSON, with an idempotency key. Also returns False if a handler cancelled
    the event, else True.
    """
    return await emit_and_wait(_named(event), sender, (), session, kwargs, idempotency_key, was_json=True)


def _named(event: Event[Any] | str) -> Event[Any]:
    """The event of that name. An unknown one is not kept in the namespace, since there may be a name for each user."""
    if isinstance(event, Event):
        return event
    return default_namespace.get(check_topic(event)) or Event(event, default_namespace)
