"""AsyncAPI 3.0: a document of the events that have a schema, for portals and for programs in other languages. Pure.

Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0. Its schemas are a superset of JSON Schema draft 7.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from nitro.events.event import Event
from nitro.events.json_schemas import changed, docstring_of, json_schemas

__all__ = ["asyncapi_of"]

_REF: Final = "#/components/schemas/{model}"


def asyncapi_of(events: Mapping[str, Event], title: str, version: str, description: str = "") -> dict[str, Any]:
    """The document: a channel, a message and an operation, by which it is sent, for each event that has a schema.

    Args:
        events: by their names; those without a schema are left out.
        title, version, description: of the application.
    """
    by_topic, definitions = json_schemas(events, _REF)
    keys = _keys(list(by_topic))
    info = {"title": title, "version": version, "description": description}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for topic, schema in by_topic.items():
        key, said = keys[topic], docstring_of(events[topic]) or schema.get("description") or ""
        told = {"description": said} if said else {}
        channels[key] = {
            "address": topic,
            **told,
            "messages": {key: {"$ref": f"#/components/messages/{key}"}},
        }
        messages[key] = {"name": topic, "title": topic, **told, "payload": _draft_7(schema)}
        operations[f"send.{key}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{key}"},
            "messages": [{"$ref": f"#/channels/{key}/messages/{key}"}],
        }
    return {
        "asyncapi": "3.0.0",
        "info": {name: value for name, value in info.items() if value},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": {name: _draft_7(each) for name, each in definitions.items()},
        },
    }


def _keys(topics: list[str]) -> dict[str, str]:
    """A key for each topic, of the characters that AsyncAPI allows: the topic itself where that is possible."""
    found: dict[str, str] = {}
    for topic in sorted(topics, key=lambda topic: (_plain(topic) != topic, topic)):
        key = plain = _plain(topic)
        number = 1
        while key in found.values():
            number += 1
            key = f"{plain}_{number}"
        found[topic] = key
    return found


def _plain(topic: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", topic)


def _draft_7(schema: Any) -> Any:
    """What pydantic says in draft 2020-12, said in draft 7."""
    if not isinstance(schema, dict):
        return schema
    said = changed(schema, _draft_7)
    said.pop("discriminator", None)  # of OpenAPI; AsyncAPI's own is something else
    if "prefixItems" in said:
        rest = said.pop("items", True)
        said |= {"items": said.pop("prefixItems"), "additionalItems": rest}
    if "$ref" in said and len(said) > 1:  # what stands beside a reference would be ignored
        said["allOf"] = [{"$ref": said.pop("$ref")}, *said.get("allOf", ())]
    return said
