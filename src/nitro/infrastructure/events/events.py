"""Event and Namespace: named signals, and who handles them in this process.

Stands on blinker's `NamedSignal`, which keeps receivers, their senders and the weak references, and adds
priorities, conditions, and handlers of patterns.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import blinker
from blinker import NamedSignal
from blinker.base import ANY_ID, make_id  # type: ignore[attr-defined]  # blinker's own key of a receiver

from nitro.domain.topics import check_pattern, check_topic, matches
from nitro.errors import ConfigurationError
from nitro.infrastructure.events.sender import ANY

__all__ = ["Condition", "Event", "Handler", "Namespace", "default_namespace", "event"]

Handler = Callable[..., Any]
Condition = Callable[..., bool]
H = TypeVar("H", bound=Handler)

_order: Final = itertools.count()


class Registration(NamedTuple):
    """How a handler was connected: sorts by priority, highest first, then by when."""

    priority: int
    order: int
    condition: Condition | None

    @property
    def rank(self) -> tuple[int, int]:
        return (-self.priority, self.order)


class Event(NamedSignal):
    """A named signal; its name is the topic that clients subscribe to.

    `event("todo.created")` gives the one of that name, and is what applications use. What blinker's signals
    can do, an event can: `connect`, `connected_to`, `receivers_for`, weak references.

    Args:
        name: the topic, or for the handlers of a pattern, that pattern.
        namespace: where the handlers of patterns are found.
        doc: docstring of the event.
        latest_by: field of the result whose values have a newest message each, for clients with
            `overflow="latest"`; without it the event has one newest message.
    """

    def __init__(
        self, name: str, namespace: Namespace | None = None, doc: str | None = None, *, latest_by: str | None = None
    ) -> None:
        super().__init__(name if "*" in str(name) else check_topic(name), doc)
        self.latest_by = latest_by
        self._namespace = default_namespace if namespace is None else namespace
        self._registrations: dict[tuple[Any, Any], Registration] = {}

    def connect(
        self,
        receiver: H,
        sender: Any = ANY,
        weak: bool = True,
        *,
        priority: int = 0,
        condition: Condition | None = None,
    ) -> H:
        """Call `receiver(sender, **kwargs)` when the event is emitted.

        Args:
            receiver: a function, coroutine function, generator function or async generator function.
            sender: only when this one emits; `ANY` for all.
            weak: forget the receiver once nobody else refers to it, as blinker does; `on` holds it.
            priority: higher ones are called first; equal ones in the order of their connection.
            condition: called as the receiver is; the receiver is left out where it is not true.
        """
        if not callable(receiver):
            raise TypeError(f"a handler is callable, not {type(receiver).__name__}")
        if sender is not ANY and sender is not blinker.ANY and make_id(sender) == 0:
            raise ValueError(f"handlers can't be limited to the sender {sender!r}; use another key for it")
        key = (make_id(receiver), ANY_ID if sender is ANY or sender is blinker.ANY else make_id(sender))
        self._registrations[key] = Registration(priority, next(_order), condition)
        super().connect(receiver, blinker.ANY if sender is ANY else sender, weak)
        return receiver

    def handlers_for(self, sender: Any) -> list[tuple[Handler, Condition | None]]:
        """The handlers that an emit by `sender` calls, in order, each with its condition.

        Handlers of patterns that match the event's name are among them.
        """
        if not self.receivers and not self._namespace._patterns:
            return []
        found = [
            (registration, handler)
            for signal in (self, *self._namespace.patterns_for(self.name))
            if signal.receivers and not signal.is_muted
            for handler in signal.receivers_for(sender)
            if (registration := signal._registration(handler, sender)) is not None
        ]
        found.sort(key=lambda pair: pair[0].rank)
        return [(handler, registration.condition) for registration, handler in found]

    def _registration(self, handler: Handler, sender: Any) -> Registration | None:
        """How `handler` was connected for this sender, or else for all."""
        receiver_id = make_id(handler)
        found = self._registrations.get((receiver_id, make_id(sender)))
        return found or self._registrations.get((receiver_id, ANY_ID))

    def _disconnect(self, receiver_id: Any, sender_id: Any) -> None:
        super()._disconnect(receiver_id, sender_id)
        if receiver_id in self.receivers:
            self._registrations.pop((receiver_id, sender_id), None)
        else:
            for key in [key for key in self._registrations if key[0] == receiver_id]:
                del self._registrations[key]


class Namespace(dict[str, Event]):
    """Events by name. Applications mostly use `default_namespace`, through `event` and `on`."""

    def __init__(self) -> None:
        super().__init__()
        self._patterns: dict[str, Event] = {}

    def event(self, name: str, doc: str | None = None, *, latest_by: str | None = None) -> Event:
        """The event of that name, made when first asked for.

        Raises:
            InvalidTopic, TopicTypeError: the name breaks the grammar of topics.
            ConfigurationError: it has another `latest_by` already.
        """
        found = self.get(check_topic(name))
        if found is None:
            found = self.setdefault(name, Event(name, self, doc, latest_by=latest_by))
        if latest_by is not None and found.latest_by != latest_by:
            if found.latest_by is not None:
                raise ConfigurationError(f"event {name!r} has latest_by={found.latest_by!r} already")
            found.latest_by = latest_by
        return found

    def pattern(self, pattern: str) -> Event:
        """The signal that holds the handlers of a pattern; it can't be emitted."""
        pattern = check_pattern(pattern)
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


def event(name: str, doc: str | None = None, *, latest_by: str | None = None) -> Event:
    """The event called `name` in the default namespace, made when first asked for.

    Args:
        name: the topic that clients subscribe to.
        doc: docstring of the event.
        latest_by: field of the result, such as `"symbol"`, whose values have a newest message each, for clients with
            `overflow="latest"`; without it the event has one newest message.

    Raises:
        InvalidTopic, TopicTypeError: the name breaks the grammar of topics.
        ConfigurationError: it has another `latest_by` already.
    """
    return default_namespace.event(name, doc, latest_by=latest_by)
