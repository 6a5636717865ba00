"""The file that tells the browser client's types what the data of each event is.

Made of the schemas that events have, by pydantic's JSON Schema of what is sent; `nitro types` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from nitro.events.event import Event
from nitro.events.typescript import TypeScript, comment, quoted

__all__ = ["CLIENT", "declarations_of"]

CLIENT: Final = "nitro-realtime"
"""The module of the browser client, as npm has it."""
_ALL: Final = "TypedEvents"


class _AsSent(GenerateJsonSchema):
    """What a schema sends: fields with a default, too; of what pydantic can't tell it says nothing."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as pydantic declares it

    def field_is_required(self, field: Any, total: bool) -> bool:
        if field["type"] == "typed-dict-field":
            return bool(field.get("required", total))
        return field.get("serialization_exclude_if") is None

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> dict[str, Any]:  # noqa: ARG002
        return {}


def declarations_of(events: Mapping[str, Event], made_by: str, module: str = CLIENT) -> str:
    """TypeScript: a type for each model, and the events that have a schema, in the order of their names.

    Args:
        events: by their names; those without a schema are left out.
        made_by: the command, for the first line.
        module: how pages import the client, whose types learn of the events.
    """
    schemas = {name: found.schema for name, found in sorted(events.items()) if found.schema is not None}
    made = _AsSent(by_alias=True, ref_template="#/$defs/{model}")
    by_topic, definitions = made.generate_definitions(
        [(name, "serialization", schema.adapter.core_schema) for name, schema in schemas.items()]
    )
    types = TypeScript({str(name): each for name, each in definitions.items()}, taken=[_ALL])
    lines = []
    for name in schemas:
        schema = by_topic[name, "serialization"]
        said = vars(events[name]).get("__doc__") or schema.get("description") or ""
        lines.append(comment(said.strip().splitlines(), "  ") + f"  {quoted(name)}: {types.type_of(schema, '  ')};\n")
    origin = f"Made by `{made_by}` of the events that have a schema. Don't edit it: run that again."
    head = f"/* eslint-disable */\n// {origin}\n"
    told = comment(["What is sent with each event that has a schema, by its topic."])
    every = f"{told}export interface {_ALL} {{\n{''.join(lines)}}}\n"
    known = f"declare module {quoted(module)} {{\n  interface Events extends {_ALL} {{}}\n}}\n"
    return "\n".join([head, *types.declarations(), every, known])
