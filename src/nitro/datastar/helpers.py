"""Datastar's helpers for Starlette and FastAPI: the patch is the first argument, and the topic is optional.

For pages that read `client.stream()` in a `StreamingResponse` of their own and yield its items unchanged. The helpers
in `nitro.datastar` take the event first, and go with a response that resumes. Needs `nitro-realtime[datastar]`.

All return the text of the frame, and raise what `emit` does and what the helper of that name in `nitro.datastar` does.
Their common arguments:

* `topic` is an event, its name, or a list of these, which are emitted one by one: a client that hears two of them gets
  the patch twice. `ANY` sends to all clients of this process, whatever they hear, and warns if the broker is shared.
* `sender` is as in `emit`; it has no effect without a topic.
* `event_id` and `retry_duration` have no effect, since the ids of a stream are positions in the log, and the reconnect
  delay belongs to the stream. They are accepted, and warn once for each line of code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.datastructures import URL

from nitro.clients.client import active_clients
from nitro.datastar.patch import Attributes, Html, Patch
from nitro.delivery.process import get_hub
from nitro.errors import ConfigurationError
from nitro.events.caller import warn_caller
from nitro.events.emitting import emit
from nitro.events.event import Event
from nitro.events.sender import ANY, AnyType, is_any

__all__ = ["emit_elements", "emit_signals", "execute_script", "redirect", "remove_elements"]

Topic = Event | str | Sequence[Event | str] | AnyType


def emit_elements(
    elements: str | Html,
    selector: str | None = None,
    mode: str = "outer",
    use_view_transition: bool | None = None,
    event_id: str | None = None,
    retry_duration: int | None = None,
    topic: Topic = ANY,
    sender: Any = ANY,
) -> str:
    """Patch HTML into the pages; see `nitro.datastar.emit_elements`."""
    _warn_without_effect(event_id, retry_duration)
    return _sent(Patch.of_elements(elements, selector, mode, use_view_transition), topic, sender)


def emit_signals(
    signals: Any,
    *,
    event_id: str | None = None,
    only_if_missing: bool | None = None,
    retry_duration: int | None = None,
    topic: Topic = ANY,
    sender: Any = ANY,
) -> str:
    """Set signals of the pages; see `nitro.datastar.emit_signals`."""
    _warn_without_effect(event_id, retry_duration)
    return _sent(Patch.of_signals(signals, only_if_missing), topic, sender)


def remove_elements(
    selector: str,
    event_id: str | None = None,
    retry_duration: int | None = None,
    topic: Topic = ANY,
    sender: Any = ANY,
) -> str:
    """Remove elements from the pages; see `nitro.datastar.remove_elements`."""
    _warn_without_effect(event_id, retry_duration)
    return _sent(Patch.of_removal(selector), topic, sender)


def execute_script(
    script: str,
    *,
    auto_remove: bool = True,
    attributes: Attributes | None = None,
    event_id: str | None = None,
    retry_duration: int | None = None,
    topic: Topic = ANY,
    sender: Any = ANY,
) -> str:
    """Run a script in the pages; see `nitro.datastar.execute_script`."""
    _warn_without_effect(event_id, retry_duration)
    return _sent(Patch.of_script(script, auto_remove, attributes), topic, sender)


def redirect(location: str | URL, topic: Topic = ANY, sender: Any = ANY) -> str:
    """Navigate the pages to `location`; see `nitro.datastar.redirect`."""
    return _sent(Patch.of_redirect(location), topic, sender)


def _sent(patch: Patch, topic: Topic, sender: Any) -> str:
    """Emit `patch` to the topics, or send it to all clients, and return its frame."""
    frame = patch.frame
    if isinstance(topic, AnyType) or is_any(topic):
        _send_to_all(patch, sender)
    else:
        topics = [topic] if isinstance(topic, Event | str) else _checked(topic)
        for each in {each.name if isinstance(each, Event) else each: each for each in topics}.values():
            emit(each, sender, result=patch)
    return frame


def _checked(topics: Sequence[Event | str]) -> Sequence[Event | str]:
    if not topics or any(isinstance(each, AnyType) or is_any(each) for each in topics):
        raise ConfigurationError(f"topic is {topics!r}; name at least one topic, or give ANY alone for every client")
    return topics


def _send_to_all(patch: Patch, sender: Any) -> None:
    if get_hub().broker.is_shared:
        warn_caller(
            "topic=ANY reaches the clients of this process alone, and not those of the others that share the broker; "
            "name a topic that all pages hear: topic='page'"
        )
    if sender is not ANY:
        warn_caller("sender= has no effect with topic=ANY, which is no event; name a topic that the clients hear")
    for client in active_clients.connected():
        client.send(patch)


def _warn_without_effect(event_id: str | None, retry_duration: int | None) -> None:
    if event_id is not None:
        warn_caller("event_id= has no effect: the ids of a stream are positions in the log; leave it out")
    if retry_duration is not None:
        warn_caller(
            "retry_duration= has no effect: the reconnect delay is set for the stream, "
            "EventSourceResponse(client, retry_milliseconds=…); leave it out"
        )
