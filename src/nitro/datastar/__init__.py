"""Datastar over events: helpers that emit what Datastar does to a page, and the response that sends it.

`from nitro.datastar import DatastarResponse, emit_elements`. Needs `nitro-realtime[datastar]`.

Fed by the application; feeds `emit`. Each helper takes the event and the sender that `emit` takes, and returns and
raises what `emit` does, and ConfigurationError where datastar-py is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.background import BackgroundTask

from nitro.datastar.patch import Attributes, Html, Patch
from nitro.datastar.wire_format import datastar
from nitro.events.emitting import emit
from nitro.events.event import Event
from nitro.events.sender import ANY
from nitro.sse.response import EventSourceResponse, Subscriber

__all__ = ["DatastarResponse", "emit_elements", "emit_signals", "execute_script", "redirect", "remove_elements"]


def emit_elements(
    event: Event | str,
    sender: Any = ANY,
    *,
    elements: str | Html,
    selector: str | None = None,
    mode: str | None = None,
    use_view_transition: bool | None = None,
) -> list[Any]:
    """Emit HTML that Datastar puts into the page. What users wrote in it is escaped by the caller.

    Args:
        event, sender: as in `emit`.
        elements: HTML, as text or as what a template library made.
        selector: CSS that finds where it goes; without one each element replaces the one with its `id`.
        mode: `"outer"` (the default: morphs), `"inner"`, `"replace"`, `"prepend"`, `"append"`, `"before"`, `"after"` or
            `"remove"`.
        use_view_transition: animate the change, in browsers that can.

    Raises:
        InvalidField: there is no such mode, or `selector` holds CR, LF, NUL or half of a surrogate pair.
        InvalidPayload: `elements` hold half of a surrogate pair.
    """
    return emit(event, sender, result=Patch.of_elements(elements, selector, mode, use_view_transition))


def remove_elements(event: Event | str, sender: Any = ANY, *, selector: str) -> list[Any]:
    """Emit that what `selector` finds goes.

    Raises:
        InvalidField: `selector` is empty, or holds CR, LF, NUL or half of a surrogate pair.
    """
    return emit(event, sender, result=Patch.of_removal(selector))


def emit_signals(
    event: Event | str, sender: Any = ANY, *, signals: Any, only_if_missing: bool | None = None
) -> list[Any]:
    """Emit values of signals: a mapping, a model, or JSON as text. None takes a signal away.

    Raises:
        InvalidPayload: `signals` is no JSON object. Datastar would run anything else as a script.
    """
    return emit(event, sender, result=Patch.of_signals(signals, only_if_missing))


def execute_script(
    event: Event | str,
    sender: Any = ANY,
    *,
    script: str,
    auto_remove: bool = True,
    attributes: Attributes | None = None,
) -> list[Any]:
    r"""Emit a script of the application's that every page runs. Put a value in it as JSON with `\u003c` for each `<`.

    Args:
        event, sender: as in `emit`.
        auto_remove: take its element out of the page once it has run.
        attributes: of its element: a mapping of names and values, or a list of `name` and `name="value"`.

    Raises:
        InvalidField: `script` holds `</script` or `<!--`, which end the element that it stands in, or hide its end; or
            something is no attribute.
    """
    return emit(event, sender, result=Patch.of_script(script, auto_remove, attributes))


def redirect(event: Event | str, sender: Any = ANY, *, location: str) -> list[Any]:
    """Emit that every page goes to `location`: a path, or a URL with `http` or `https`. To whose, the caller checks.

    Raises:
        InvalidField: a URL of another kind, such as `javascript:`.
    """
    return emit(event, sender, result=Patch.of_redirect(location))


class DatastarResponse(EventSourceResponse):
    """An `EventSourceResponse` for Datastar's `@get`: what the helpers emit comes as Datastar's own events.

    Any other event comes as unnamed JSON, and a gap as `event: gap`; Datastar takes no notice of either.

    Args, Raises: as `EventSourceResponse`.
    """

    def __init__(
        self,
        client: Subscriber,
        *,
        since: str | None = None,
        retry_milliseconds: int | None = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(
            client,
            since=since,
            retry_milliseconds=retry_milliseconds,
            status_code=status_code,
            headers=headers,
            background=background,
        )
        self._wire_format = datastar
