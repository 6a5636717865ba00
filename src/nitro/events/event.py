"""Event and Namespace: named signals, and their handlers in this process.

Built on blinker's `NamedSignal`, which manages receivers, senders and weak references; adds priorities, conditions,
required handlers, and handlers of patterns.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final, Generic, TypeVar, overload
from weakref import ref

import blinker
from blinker import NamedSignal
from blinker.base import ANY_ID, make_id  # type: ignore[attr-defined]  # blinker's own key of a receiver
from typing_extensions import TypeVar as TypeVarWithDefault

from nitro.errors import ArgumentTypeError, ConfigurationError
from nitro.events.emission import emit_and_wait, emit_at_once
from nitro.events.schema import Schema
from nitro.events.sender import ANY, sender_key
from nitro.events.signal import Condition, Handler, Registration
from nitro.events.twins import are_twin_types, are_twins
from nitro.events.unshared import tell_at_exit
from nitro.messages.identity import is_identity
from nitro.messages.topics import check_handled, check_pattern, check_topic, matches

__all__ = ["UNSET", "Condition", "Event", "Handler", "Namespace", "default_namespace", "event", "filter_signals"]

H = TypeVar("H", bound=Handler)
T = TypeVarWithDefault("T", default=Any)
S = TypeVarWithDefault("S", default=T)


class _Unset:
    """The type of `UNSET`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final[Any] = _Unset()
"""Stands for no `result`, which is not the same as None."""

_order: Final = itertools.count()


class Event(NamedSignal, Generic[T, S]):
    """A named signal; its name is the topic that clients subscribe to.

    Applications get one by `event("todo.created")`. For type checkers it has two types: of what `emit` takes, and of
    what is read of it, which is the schema; one stands for both. It has the interface of blinker's signals: `connect`,
    `connected_to`, `receivers_for`, weak references.

    Args:
        name: the topic; or a pattern, for a signal that holds the handlers of a pattern.
        namespace: where handlers of patterns are looked up; only events of `default_namespace` are sent to clients.
        doc: docstring of the event.
        latest_by: a field of the result, for clients with `overflow="latest"`: they keep the newest message for each
            value of it, and without it the event's newest message alone.
        schema: what its results are; see `event`.

    Attributes:
        schema: the same, with what validates by it; None without one.
    """

    def __init__(
        self,
        name: str,
        namespace: Namespace | None = None,
        doc: str | None = None,
        *,
        latest_by: str | None = None,
        schema: Any = None,
    ) -> None:
        super().__init__(name if "*" in str(name) else check_topic(name), doc)
        self.latest_by = latest_by
        self.schema: Schema[S] | None = None if schema is None else Schema(schema, name)
        self._namespace = default_namespace if namespace is None else namespace
        self.is_heard: bool = self._namespace is default_namespace
        self._registrations: dict[tuple[Any, Any], Registration] = {}
        self._is_limited = False  # whether any handler ever was limited to a sender

    def emit(
        self, /, sender: Any = ANY, *args: Any, result: T | None = UNSET, session: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Emit this event: as `emit(event, sender, *args, **kwargs)`."""
        if result is not UNSET:
            kwargs["result"] = result
        return emit_at_once(self, sender, args, session, kwargs)

    async def emit_async(
        self, /, sender: Any = ANY, *args: Any, result: T | None = UNSET, session: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Emit this event, and wait for it: as `emit_async(event, sender, *args, **kwargs)`."""
        if result is not UNSET:
            kwargs["result"] = result
        return (await emit_and_wait(self, sender, args, session, kwargs))[0]

    def connect(
        self,
        receiver: H,
        sender: Any = ANY,
        weak: bool = True,
        priority: int = 0,
        condition: Condition | None = None,
        *,
        required: bool = False,
    ) -> H:
        """Call `receiver(sender, *args, **kwargs)` when the event is emitted.

        Args:
            receiver: a function, coroutine function, generator function or async generator function.
            sender: only events of this sender, or of each in a list; `ANY` for all. Compared by its key, as that of a
                subscription is.
            weak: keep only a weak reference to the receiver, as blinker does; the default of `on` is a strong one. A
                receiver that is held stays so.
            priority: higher priorities run first; equal ones in the order of connection.
            condition: called with the same arguments; if it is false, the receiver is skipped.
            required: see `on`; such a receiver is referenced strongly.

        Raises:
            ConfigurationError: the required receiver, or the condition, is asynchronous.
            ArgumentTypeError: the receiver or the condition can't be called, or the priority is no number.
        """
        if not callable(receiver):
            raise ArgumentTypeError(f"a handler is a function, or something else to call, not {receiver!a:.80}")
        if not isinstance(priority, int | float):
            raise ArgumentTypeError(f"priority is a number, higher ones run first, not {priority!a:.80}")
        if condition is not None and not callable(condition):
            raise ArgumentTypeError(
                f"condition is a function of the handler's arguments, such as lambda sender, **kwargs: True, not "
                f"{condition!a:.80}"
            )
        if required and _is_awaited(receiver):
            raise ConfigurationError(
                f"the handler {receiver!r} of {self.name!r} can't be required, since it is awaited after the event is "
                f"delivered; make what has to be decided a plain function, and the rest a handler of its own"
            )
        if condition is not None and _is_awaited(condition):
            raise ConfigurationError(
                f"the condition {condition!r} of a handler of {self.name!r} is never awaited, and so would always be "
                f"true; make it a plain function"
            )
        for held in list(self.receivers.values()):
            other = held() if isinstance(held, ref) else held
            if other is not None and are_twins(receiver, other):
                super().disconnect(other)
        is_held = not isinstance(self.receivers.get(make_id(receiver)), ref | None)
        order = next(_order)
        for each in _each_of(sender):
            is_limited = each is not blinker.ANY
            self._is_limited = self._is_limited or is_limited
            key = make_id(receiver), make_id(each) if is_limited else ANY_ID
            self._registrations[key] = Registration(priority, order, condition, required)
            super().connect(receiver, each, weak and not required and not is_held)
        return receiver

    def disconnect(self, receiver: Handler, sender: Any = ANY) -> None:
        """Call `receiver` no longer for this sender, or for these; by default for none."""
        for each in _each_of(sender):
            super().disconnect(receiver, each)

    def receivers_for(self, sender: Any) -> Generator[Handler, None, None]:
        """The receivers of this signal alone for `sender`, in no order, as blinker has them."""
        return super().receivers_for(_known_as(sender))

    def has_receivers_for(self, sender: Any) -> bool:
        """Whether this signal alone has receivers for `sender`, as blinker has it."""
        return super().has_receivers_for(_known_as(sender))

    @property
    def is_handled(self) -> bool:
        """Whether it has handlers, of its own or of a matching pattern, for any sender."""
        return any(signal.receivers for signal in (self, *self._namespace.patterns_for(self.name)))

    @property
    def is_kept(self) -> bool:
        """Whether it is in its namespace, as all events made by `event` are."""
        return self._namespace.get(self.name) is self

    def handlers_for(self, sender: Any) -> list[tuple[Registration, Handler]]:
        """The handlers that an emit by `sender` calls, in order, with their registrations.

        Includes the handlers of patterns that match the event's name.
        """
        if not self.receivers and not self._namespace._patterns:
            return []
        found: list[tuple[Registration, Handler]] = []
        for signal in (self, *self._namespace.patterns_for(self.name)):
            if not signal.receivers or signal.is_muted:
                continue
            if signal._is_limited:
                sender = _known_as(sender)
            for handler in NamedSignal.receivers_for(signal, sender):
                registration = signal._registration(handler, sender)
                if registration is not None:
                    found.append((registration, handler))
        found.sort(key=lambda pair: pair[0].rank)
        return found

    def _registration(self, handler: Handler, sender: Any) -> Registration | None:
        """The registration of `handler` for this key of a sender, else the one for all senders."""
        receiver_id = make_id(handler)
        found = self._registrations.get((receiver_id, make_id(sender)))
        return found or self._registrations.get((receiver_id, ANY_ID))

    def _disconnect(self, receiver_id: Any, sender_id: Any) -> None:
        super()._disconnect(receiver_id, sender_id)
        if not self._by_receiver.get(receiver_id):  # blinker would hold it for ever, for no sender
            super()._disconnect(receiver_id, ANY_ID)
        is_held = receiver_id in self.receivers
        over = [(receiver_id, sender_id)] if is_held else [key for key in self._registrations if key[0] == receiver_id]
        for key in over:
            if (registration := self._registrations.pop(key, None)) is not None:
                registration.is_over = True


class Namespace(dict[str, Event[Any]]):
    """Events by name. Applications mostly use `default_namespace`, through `event` and `on`.

    Events of other namespaces are emitted to their handlers, and never sent to clients.
    """

    def __init__(self) -> None:
        super().__init__()
        self._patterns: dict[str, Event] = {}

    @overload
    def event(
        self, name: str, doc: str | None = ..., *, latest_by: str | None = ..., schema: type[S], takes: type[T]
    ) -> Event[T, S]: ...

    @overload
    def event(
        self, name: str, doc: str | None = ..., *, latest_by: str | None = ..., schema: type[T], takes: None = ...
    ) -> Event[T, T]: ...

    @overload
    def event(
        self, name: str, doc: str | None = ..., *, latest_by: str | None = ..., schema: Any, takes: type[T]
    ) -> Event[T, Any]: ...

    @overload
    def event(
        self, name: str, doc: str | None = ..., *, latest_by: str | None = ..., schema: Any = ..., takes: None = ...
    ) -> Event[Any]: ...

    def event(
        self,
        name: str,
        doc: str | None = None,
        *,
        latest_by: str | None = None,
        schema: Any = None,
        takes: Any = None,  # noqa: ARG002 - for type checkers
    ) -> Event[Any]:
        """The event of that name, created at the first call.

        Raises:
            InvalidTopic, TopicTypeError: the name breaks the grammar of topics.
            ConfigurationError: it already has a different `latest_by` or `schema`, pydantic doesn't know the schema, or
                there is a table of SQLModel in it, whose instances aren't validated.
            ArgumentTypeError: `latest_by` is no string.
        """
        if latest_by is not None and not isinstance(latest_by, str):
            raise ArgumentTypeError(f"latest_by is the name of a field of the result, not {latest_by!r}")
        found = self.get(check_topic(name))
        if found is None:
            found = self.setdefault(name, Event(name, self, doc, latest_by=latest_by, schema=schema))
        if latest_by is not None and found.latest_by != latest_by:
            if found.latest_by is not None:
                raise ConfigurationError(f"event {name!r} has latest_by={found.latest_by!r} already")
            found.latest_by = latest_by
        if schema is not None and (found.schema is None or found.schema.of != schema):
            if found.schema is not None and not are_twin_types(found.schema.of, schema):
                raise ConfigurationError(
                    f"event {name!r} has schema={found.schema.of!r:.100} already: declare it once, in a module that is "
                    f"imported by all that emit it, or give this one another name"
                )
            found.schema = Schema(schema, name)
        if doc and "__doc__" not in vars(found):  # which was named before, as by a handler of it
            found.__doc__ = doc
        return found

    def pattern(self, pattern: str) -> Event:
        """The signal that holds the handlers of a pattern, which can't be emitted; created at the first call."""
        pattern = check_handled(pattern)
        found = self._patterns.get(pattern)
        if found is None:
            self._patterns = {pattern: (found := Event(pattern, self)), **self._patterns}
        return found

    def patterns_for(self, topic: str) -> list[Event]:
        """The signals of the patterns that match `topic`."""
        if not self._patterns:
            return []
        return [signal for pattern, signal in self._patterns.items() if matches(pattern, topic)]


default_namespace: Final = Namespace()
"""The namespace of `event`, of `on`, and of events given by name; its events are sent to clients."""


@overload
def event(
    name: str, doc: str | None = ..., *, latest_by: str | None = ..., schema: type[S], takes: type[T]
) -> Event[T, S]: ...


@overload
def event(
    name: str, doc: str | None = ..., *, latest_by: str | None = ..., schema: type[T], takes: None = ...
) -> Event[T, T]: ...


@overload
def event(
    name: str, doc: str | None = ..., *, latest_by: str | None = ..., schema: Any, takes: type[T]
) -> Event[T, Any]: ...


@overload
def event(
    name: str, doc: str | None = ..., *, latest_by: str | None = ..., schema: Any = ..., takes: None = ...
) -> Event[Any]: ...


def event(
    name: str, doc: str | None = None, *, latest_by: str | None = None, schema: Any = None, takes: Any = None
) -> Event[Any]:
    """The event called `name` in the default namespace, created at the first call.

    Args:
        name: the topic that clients subscribe to.
        doc: docstring of the event.
        latest_by: a field of the result, such as `"symbol"`, for clients with `overflow="latest"`: they keep the newest
            message for each value of it, and without it the event's newest message alone.
        schema: what its results are: a pydantic model, a dataclass, a TypedDict, or anything else that pydantic knows.
            A result that doesn't fit raises in `emit`; of one that does, clients and handlers get what the schema
            has, and nothing else. For a pydantic model it may be an object with attributes of these names, such as an
            entity. Processes that haven't made the event with it send what they are given.
        takes: the type of result that type checkers let pass, if that isn't the schema: the entity's class.

    Raises:
        InvalidTopic, TopicTypeError: the name breaks the grammar of topics.
        ConfigurationError: it already has a different `latest_by` or `schema`, pydantic doesn't know the schema, or
            there is a table of SQLModel in it, whose instances aren't validated.
        ArgumentTypeError: `latest_by` is no string.
    """
    return default_namespace.event(name, doc, latest_by=latest_by, schema=schema, takes=takes)


def filter_signals(pattern: str, namespace: Namespace = default_namespace) -> dict[str, Event]:
    """The events of `namespace` whose names match `pattern`, by name.

    Raises:
        InvalidTopic, TopicTypeError: the pattern breaks the grammar.
    """
    pattern = check_pattern(pattern)
    return {name: found for name, found in namespace.copy().items() if matches(pattern, name)}


def _each_of(sender: Any) -> list[Any]:
    """The senders in what a handler is limited to, as blinker is given them."""
    named = list(sender) if isinstance(sender, list | tuple | set | frozenset) else [sender]
    if any(each is ANY or each is blinker.ANY for each in named):
        return [blinker.ANY]
    return [_known_as(each) for each in named]


def _known_as(sender: Any) -> Any:
    """The key of a sender, by which blinker compares it; the sender, of which it takes the identity, if it has none."""
    if isinstance(sender, str):
        return sender
    key = sender_key(sender) if isinstance(sender, bool) or is_identity(sender) else None
    return sender if key is None else key


def _is_awaited(function: Callable[..., Any]) -> bool:
    """Whether `function` is a coroutine function or an async generator function, as far as can be told."""
    while isinstance(function, partial):
        function = function.func
    call = getattr(type(function), "__call__", None)  # noqa: B004 - the method itself is inspected
    return any(
        kind(each) for each in (function, call) for kind in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
    )


def _is_handled(topic: str) -> bool:
    return (default_namespace.get(topic) or Event(topic)).is_handled


tell_at_exit(_is_handled)
