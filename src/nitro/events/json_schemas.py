"""JSON Schema of what is sent with each event that has a schema, by pydantic. Feeds what is written of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from nitro.events.event import Event

__all__ = ["changed", "docstring_of", "json_schemas"]

_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS: Final = frozenset({"patternProperties", "properties"})
_ONE: Final = frozenset({"additionalProperties", "contains", "contentSchema", "items", "not", "propertyNames"})
"""The keywords whose values are schemas; those of all others are data."""


class _AsSent(GenerateJsonSchema):
    """What a schema sends: fields with a default, too; of what pydantic can't tell it says nothing."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as pydantic declares it

    def field_is_required(self, field: Any, total: bool) -> bool:
        if field["type"] == "typed-dict-field":
            return bool(field.get("required", total))
        return field.get("serialization_exclude_if") is None

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:  # noqa: ARG002
        return {}


def json_schemas(
    events: Mapping[str, Event], ref_template: str = "#/$defs/{model}"
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The schema of each event that has one, in the order of their names; and what these refer to, by its name.

    Args:
        events: by their names; those without a schema are left out.
        ref_template: how one schema refers to another.
    """
    schemas = {name: found.schema for name, found in sorted(events.items()) if found.schema is not None}
    made = _AsSent(by_alias=True, ref_template=ref_template)
    by_topic, definitions = made.generate_definitions(
        [(name, "serialization", schema.adapter.core_schema) for name, schema in schemas.items()]
    )
    return (
        {name: by_topic[name, "serialization"] for name in schemas},
        {str(name): each for name, each in definitions.items()},
    )


def changed(schema: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    """The schema with `change` applied to each schema in it, one level down."""
    found = dict(schema)
    for keyword, value in schema.items():
        if keyword in _ONE:
            found[keyword] = change(value)
        elif keyword in _LISTS and isinstance(value, list):
            found[keyword] = [change(each) for each in value]
        elif keyword in _MAPS and isinstance(value, dict):
            found[keyword] = {name: change(each) for name, each in value.items()}
    return found


def docstring_of(event: Event) -> str:
    """What `event(name, doc)` was told of it; empty if nothing."""
    return (vars(event).get("__doc__") or "").strip()
