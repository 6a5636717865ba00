"""Datastar over events: helpers that emit Datastar's patches, and the response that sends them.

`from nitro.datastar import DatastarResponse, emit_elements`. Needs `nitro-realtime[datastar]`.

Each helper takes the event and the sender as `emit` does, and returns and raises what `emit` does, ArgumentTypeError
for a value of the wrong type, and ConfigurationError if datastar-py is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from starlette.background import BackgroundTask
from starlette.datastructures import URL

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
    """Emit HTML that Datastar patches into the page. The caller has to escape user input in it.

    Args:
        event, sender: as in `emit`.
        elements: HTML, as text or as an object of a template library.
        selector: CSS selector of the target; without one each element replaces the one with its `id`, which is for the
            modes `"outer"` and `"replace"` alone.
        mode: `"outer"` (the default: morphs), `"inner"`, `"replace"`, `"prepend"`, `"append"`, `"before"`, `"after"` or
            `"remove"`.
        use_view_transition: animate the change, in browsers that support it.

    Raises:
        InvalidField: `mode` is unknown or needs a selector, or `selector` contains CR, LF, NUL or a lone surrogate.
        InvalidPayload: `elements` contain a lone surrogate.
    """
    return emit(event, sender, result=Patch.of_elements(elements, selector, mode, use_view_transition))


def remove_elements(event: Event | str, sender: Any = ANY, *, selector: str) -> list[Any]:
    """Emit the removal of the elements that match `selector`.

    Raises:
        InvalidField: `selector` is empty, or contains CR, LF, NUL or a lone surrogate.
    """
    return emit(event, sender, result=Patch.of_removal(selector))


def emit_signals(
    event: Event | str, sender: Any = ANY, *, signals: Any, only_if_missing: bool | None = None
) -> list[Any]:
    """Emit values of signals: a mapping, a model, or JSON as text. A value of None removes a signal.

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
    r"""Emit a script that every page runs. Embed values in it as JSON, with `\u003c` for each `<`.

    Args:
        event, sender: as in `emit`.
        auto_remove: remove the script element from the page after it has run.
        attributes: of the script element: a mapping of names and values, or a list of `name` and `name="value"`.

    Raises:
        InvalidField: `script` contains `</script` or `<!--`, which end the script element or hide its end; or an
            attribute is invalid, or None, True or False in a mapping.
    """
    return emit(event, sender, result=Patch.of_script(script, auto_remove, attributes))


def redirect(event: Event | str, sender: Any = ANY, *, location: str | URL) -> list[Any]:
    """Emit that every page navigates to `location`: a path or an `http(s)` URL, whose host the caller has to check. It
    is a string, or what `request.url_for` returns.

    Raises:
        InvalidField: a URL with another scheme, such as `javascript:`.
    """
    return emit(event, sender, result=Patch.of_redirect(location))


class DatastarResponse(EventSourceResponse):
    """An `EventSourceResponse` for Datastar's `@get`: patches of the helpers are sent as Datastar's own events.

    Any other event is sent as unnamed JSON, and a gap as `event: gap`; Datastar ignores both.

    Args, Raises: as `EventSourceResponse`.
    """

    markups: ClassVar[frozenset[str | None]] = frozenset({None, "datastar"})

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
