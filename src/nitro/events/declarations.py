"""The file that tells the browser client's types what the data of each event is.

Made of the schemas that events have, by pydantic's JSON Schema of what is sent; `nitro types` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from nitro.events.event import Event
from nitro.events.json_schemas import docstring_of, json_schemas
from nitro.events.typescript import TypeScript, comment, quoted

__all__ = ["CLIENT", "declarations_of"]

CLIENT: Final = "nitro-realtime"
"""The module of the browser client, as npm has it."""
_ALL: Final = "TypedEvents"


def declarations_of(events: Mapping[str, Event], made_by: str, module: str = CLIENT) -> str:
    """TypeScript: a type for each model, and the events that have a schema, in the order of their names.

    Args:
        events: by their names; those without a schema are left out.
        made_by: the command, for the first line.
        module: how pages import the client, whose types learn of the events.
    """
    by_topic, definitions = json_schemas(events)
    types = TypeScript(definitions, taken=[_ALL])
    lines = []
    for name, schema in by_topic.items():
        said = docstring_of(events[name]) or schema.get("description") or ""
        lines.append(comment(said.strip().splitlines(), "  ") + f"  {quoted(name)}: {types.type_of(schema, '  ')};\n")
    origin = f"Made by `{made_by}` of the events that have a schema. Don't edit it: run that again."
    head = f"/* eslint-disable */\n// {origin}\n"
    told = comment(["What is sent with each event that has a schema, by its topic."])
    every = f"{told}export interface {_ALL} {{\n{''.join(lines)}}}\n"
    known = f"declare module {quoted(module)} {{\n  interface Events extends {_ALL} {{}}\n}}\n"
    return "\n".join([head, *types.declarations(), every, known])
