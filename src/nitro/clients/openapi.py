"""What OpenAPI says of a stream: its events, what a request may ask for, and the answers that are no stream. Pure.

One event is described by `itemSchema`, of OpenAPI 3.2, in the form that FastAPI gives its own streams, and as there in
documents that say 3.1. Feeds `nitro.fastapi`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final, get_args

from nitro.delivery.frame import event_name
from nitro.errors import ArgumentTypeError, ConfigurationError
from nitro.events.event import Event
from nitro.events.json_schemas import changed, docstring_of, json_schemas
from nitro.messages.message import GapReason

__all__ = ["ASKED", "PARAMETERS", "REFUSALS", "item_schema"]

_REFUSED: Final = {
    401: "not authenticated",
    403: "the user may not hear a requested topic",
    422: "a requested topic is invalid",
    429: "too many clients; retry after `Retry-After`",
}
_PROBLEM: Final = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("type", "title", "detail")} | {"status": {"type": "integer"}},
}
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {
        "description": f"{description} (RFC 9457)",
        "content": {"application/problem+json": {"schema": _PROBLEM}},
    }
    for status, description in _REFUSED.items()
}
"""The responses that are no stream, by their status."""

_PLACE: Final = "id of the last event that was received, or a position: the stream goes on behind it"
PARAMETERS: Final[list[dict[str, Any]]] = [
    {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "description": f"{_PLACE}. Browsers send it by themselves when they reconnect",
        "schema": {"type": "string"},
    },
    {
        "name": "last_event_id",
        "in": "query",
        "required": False,
        "description": f"{_PLACE}. For the first request of a page",
        "schema": {"type": "string"},
    },
]
_SEVERAL: Final = "repeat it for several, or send them in the header Nitro-Topics, joined by commas"
ASKED: Final = f"a topic or pattern to hear; {_SEVERAL}"
"""What the parameter `topic` means."""

_REFERENCE: Final = "#/$defs/"
_OF_READERS: Final = frozenset({"rights", "schema"})
"""Reasons of a gap that no server sends: who reads decides."""
_ID: Final = {"type": "string", "description": "its place in the log, for Last-Event-ID"}
_GAP: Final[dict[str, Any]] = {
    "title": "gap",
    "description": "events were missed and are no longer available: fetch the data again",
    "type": "object",
    "properties": {
        "id": _ID,
        "event": {"const": "gap"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {
                "type": "object",
                "properties": {
                    "reason": {"enum": [reason for reason in get_args(GapReason) if reason not in _OF_READERS]},
                    "resumed_at": {"type": "string"},
                },
                "required": ["reason", "resumed_at"],
            },
        },
    },
    "required": ["event", "data"],
}


def item_schema(events: Iterable[Event[Any, Any]], *, named: bool) -> dict[str, Any]:
    """JSON Schema of one server-sent event: by its name if `named`, else the data of any event; or a gap.

    Args:
        events: those that the stream sends; none says nothing of its data.
        named: whether events have their topic as their name.

    Raises:
        ArgumentTypeError: one is no event.
        ConfigurationError: one has no schema.
    """
    given: dict[str, Event[Any, Any]] = {}
    for each in events:
        if not isinstance(each, Event):
            raise ArgumentTypeError(f"events are objects that event() returns, not {each!r:.80}")
        if each.schema is None:
            raise ConfigurationError(
                f"{each.name!r} has no schema that could be documented: event({each.name!r}, schema=...)"
            )
        given[each.name] = each
    by_topic, definitions = json_schemas(given)
    inlined = _Inlined(definitions)
    told = {topic: {**inlined.of(schema), "title": topic} for topic, schema in by_topic.items()}
    for topic, event in given.items():
        if said := docstring_of(event):
            told[topic]["description"] = said
    if named and told:
        return {"oneOf": [*(_item(schema, topic) for topic, schema in told.items()), _GAP]}
    anything: dict[str, Any] = {"anyOf": list(told.values())} if told else {}
    return {"oneOf": [_item(anything), _GAP]}


def _item(content: dict[str, Any], topic: str | None = None) -> dict[str, Any]:
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": content}
    if topic is None:
        return {
            "title": "event",
            "type": "object",
            "properties": {"id": _ID, "data": data},
            "required": ["data"],
            "not": {"required": ["event"]},
        }
    name = event_name(topic)
    properties = {"id": _ID, "event": {"const": name}, "data": data}
    return {"title": topic, "type": "object", "properties": properties, "required": ["event", "data"]}


class _Inlined:
    """Writes schemas with what they refer to in the place of each reference: an operation can't bring components along.

    A definition that contains itself, also by way of others, is written out once in a schema, and elsewhere in it is
    its name alone.
    """

    def __init__(self, definitions: dict[str, dict[str, Any]]) -> None:
        self._definitions = definitions
        self._recursive = _recursive(definitions)
        self._told: set[str] = set()

    def of(self, schema: dict[str, Any]) -> dict[str, Any]:
        self._told = set()
        written: dict[str, Any] = self._written(schema)
        return written

    def _written(self, schema: Any) -> Any:
        if not isinstance(schema, dict):
            return schema
        said = changed(schema, self._written)
        said.pop("discriminator", None)  # it maps names to references
        name = str(said.pop("$ref", "")).removeprefix(_REFERENCE)
        if name not in self._definitions:
            return said
        if name in self._told:
            return {"title": name, **said}
        if name in self._recursive:
            self._told.add(name)
        return self._written(self._definitions[name]) | said


def _recursive(definitions: dict[str, dict[str, Any]]) -> set[str]:
    """The names of those that contain themselves, also by way of others."""
    referred = {
        name: re.findall(rf'"{re.escape(_REFERENCE)}([^"]+)"', json.dumps(definitions[name])) for name in definitions
    }
    found = set()
    for name in definitions:
        within: set[str] = set()
        rest = referred[name]
        while rest:
            within.update(rest)
            rest = [inner for each in rest for inner in referred[each] if inner not in within]
        if name in within:
            found.add(name)
    return found
