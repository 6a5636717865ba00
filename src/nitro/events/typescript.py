"""What JSON Schema says, said in TypeScript: a type for each schema, a declaration for each named one. Pure.

Fed by `nitro.events.declarations` with what pydantic makes of models. Names, descriptions and literals may be any text:
none of it gets out of the comment or the string that it stands in. What isn't understood is `unknown`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = ["TypeScript", "comment", "quoted"]

_REF: Final = "#/$defs/"
_IDENTIFIER: Final = re.compile(r"[A-Za-z_$][\w$]*", re.ASCII)
_PLAIN: Final = {
    "boolean": "boolean",
    "integer": "number",
    "null": "null",
    "number": "number",
    "string": "string",
}
_TAKEN: Final = re.compile(
    "Array|any|as|async|await|bigint|boolean|break|case|catch|class|const|continue|debugger|default|"
    "delete|do|else|enum|export|extends|false|finally|for|function|if|implements|import|in|infer|"
    "instanceof|interface|is|keyof|let|never|new|null|number|object|package|private|protected|public|"
    "return|static|string|super|switch|symbol|this|throw|true|try|type|typeof|undefined|unique|unknown|"
    "var|void|while|with|yield"
)
"""No type may be called so: words of the language, and the one type of its library that is used here."""
_SAFE_INTEGER: Final = 2**53
_WIDTH: Final = 100
"""A union that is longer has a line for each of its types."""


class TypeScript:
    """Types for JSON Schemas that share these definitions.

    Args:
        definitions: the named schemas, as under `$defs`.
        taken: names that no definition may get.
    """

    def __init__(self, definitions: Mapping[str, Any], taken: Iterable[str] = ()) -> None:
        self._definitions = definitions
        self._names: dict[str, str] = {}
        used = set(taken)
        for key in sorted(definitions):
            name = plain = re.sub(r"[^\w$]", "_", key, flags=re.ASCII).rstrip("_") or "_"
            if plain[0].isdigit():
                name = plain = f"_{plain}"
            number = 1
            while name in used or _TAKEN.fullmatch(name):
                number += 1
                name = f"{plain}{number}"
            used.add(name)
            self._names[key] = name

    def declarations(self) -> list[str]:
        """Each definition as an exported interface or type, in the order of their names."""
        return [self._declaration(key) for key in sorted(self._names, key=self._names.__getitem__)]

    def type_of(self, schema: Any, indent: str = "") -> str:
        """The type of the values of a schema.

        Args:
            schema: a JSON Schema.
            indent: what the line begins with in which the type stands.
        """
        if schema is False:
            return "never"
        if not isinstance(schema, dict):
            return "unknown"
        if "const" in schema:
            return _literal(schema["const"])
        if isinstance(schema.get("enum"), list):
            return _union(map(_literal, schema["enum"]))
        parts = [self._named(schema["$ref"])] if "$ref" in schema else []
        parts += [self.type_of(each, indent) for each in _list(schema, "allOf")]
        for key in ("anyOf", "oneOf"):
            if key in schema:
                parts.append(_union(self.type_of(each, indent) for each in _list(schema, key)))
        kinds = schema.get("type", "object" if "properties" in schema else [])
        if kinds:
            all_kinds = kinds if isinstance(kinds, list) else [kinds]
            parts.append(_union(self._of_kind(kind, schema, indent) for kind in all_kinds))
        known = list(dict.fromkeys(part for part in parts if part != "unknown"))
        if len(known) > 1:
            return " & ".join(map(_in_parentheses, known))
        return known[0] if known else "unknown"

    def _declaration(self, key: str) -> str:
        schema, name = self._definitions[key], self._names[key]
        text = self.type_of(schema)
        if text.startswith("{\n") and text.endswith("\n}") and "\n}" not in text[:-2]:
            declared = f"export interface {name} {text}\n"
        elif len(text) > _WIDTH and (members := self._members(schema)):
            declared = f"export type {name} =\n" + "\n".join(f"  | {member}" for member in members) + ";\n"
        else:
            declared = f"export type {name} = {text};\n"
        return comment(_notes(schema)) + declared

    def _members(self, schema: dict[str, Any]) -> list[str]:
        """The types of a schema that is a union, and nothing besides; else none."""
        types = [*map(_literal, _list(schema, "enum"))]
        if len({"anyOf", "oneOf", "allOf", "$ref", "type", "enum"} & schema.keys()) == 1:
            types += [self.type_of(each, "    ") for key in ("anyOf", "oneOf") for each in _list(schema, key)]
        return [each for each in dict.fromkeys(types) if each != "never"]

    def _named(self, ref: Any) -> str:
        key = ref.removeprefix(_REF) if isinstance(ref, str) else ""
        return self._names.get(key, "unknown")

    def _of_kind(self, kind: Any, schema: dict[str, Any], indent: str) -> str:
        if kind == "array":
            return self._array(schema, indent)
        if kind == "object":
            return self._object(schema, indent)
        return _PLAIN.get(kind, "unknown") if isinstance(kind, str) else "unknown"

    def _array(self, schema: dict[str, Any], indent: str) -> str:
        first, items = _list(schema, "prefixItems"), schema.get("items", True)
        least, most = _count(schema, "minItems", 0), _count(schema, "maxItems", math.inf)
        if not first and most != 0:
            return _array_of(self.type_of(items, indent))
        types = [self.type_of(each, indent) for each in first]
        parts = [text if place < least else f"{_in_parentheses(text)}?" for place, text in enumerate(types)]
        if items is not False and most > len(first):
            parts.append(f"...{_array_of(self.type_of(items, indent))}")
        return f"[{', '.join(parts)}]"

    def _object(self, schema: dict[str, Any], indent: str) -> str:
        properties = _mapping(schema, "properties")
        more = [*_mapping(schema, "patternProperties").values()]
        if schema.get("additionalProperties", False) is not False:
            more.append(schema["additionalProperties"])
        elif not more and not properties:
            return "{ [key: string]: never }" if "properties" in schema else "{ [key: string]: unknown }"
        inner = f"{indent}  "
        required = _list(schema, "required")
        rest = [self.type_of(each, indent if not properties else inner) for each in more]
        if not properties:
            keys = self._keys(schema.get("propertyNames"))
            return f"{{ [key in {keys}]?: {_union(rest)} }}" if keys else f"{{ [key: string]: {_union(rest)} }}"
        lines, types = [], []
        for name, each in properties.items():
            text = self.type_of(each, inner)
            types.append(text if name in required else f"{_in_parentheses(text)} | undefined")
            named = name if _IDENTIFIER.fullmatch(name) else quoted(name)
            lines.append(comment(_notes(each), inner) + f"{inner}{named}{'' if name in required else '?'}: {text};\n")
        if more:  # what any name may have has to hold for those that are named, too
            lines.append(f"{inner}[key: string]: {_union([*rest, *types])};\n")
        return "{\n" + "".join(lines) + indent + "}"

    def _keys(self, names: Any) -> str:
        """The keys of an object, if they are some strings; else empty."""
        if isinstance(names, dict) and "$ref" in names:
            names = self._definitions.get(str(names["$ref"]).removeprefix(_REF))
        if not isinstance(names, dict):
            return ""
        found = [names["const"]] if "const" in names else _list(names, "enum")
        return _union(map(quoted, found)) if found and all(isinstance(each, str) for each in found) else ""


def quoted(text: str) -> str:
    """A string literal; what can't be printed is escaped."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def comment(lines: Iterable[str], indent: str = "") -> str:
    """A comment for editors to show, whose text can't end it; empty without lines."""
    told = ["".join(c if c.isprintable() else " " for c in line).replace("*/", "*\\/").rstrip() for line in lines]
    if not any(told):
        return ""
    if len(told) == 1:
        return f"{indent}/** {told[0]} */\n"
    return f"{indent}/**\n" + "".join(f"{indent} * {line}".rstrip() + "\n" for line in told) + f"{indent} */\n"


def _notes(schema: Any) -> list[str]:
    """What the type doesn't say: the description, the format, and whether it is deprecated."""
    if not isinstance(schema, dict):
        return []
    said, form = schema.get("description"), schema.get("format")
    if form is None:
        given = [each for key in ("anyOf", "oneOf") for each in _list(schema, key) if isinstance(each, dict)]
        forms = {each["format"] for each in given if isinstance(each.get("format"), str)}
        form = forms.pop() if len(forms) == 1 else None
    lines = said.strip().splitlines() if isinstance(said, str) else []
    lines += [f"@format {' '.join(form.split())}"] if isinstance(form, str) else []
    return lines + (["@deprecated"] if schema.get("deprecated") is True else [])


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, dict):
        return "{ " + "; ".join(f"{quoted(str(key))}: {_literal(each)}" for key, each in value.items()) + " }"
    if isinstance(value, float) and not math.isfinite(value):
        return "number"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _SAFE_INTEGER:
        return "number"
    return json.dumps(value) if value is None or isinstance(value, bool | int | float) else "unknown"


def _union(types: Iterable[str]) -> str:
    found = list(dict.fromkeys(types))
    if "unknown" in found:
        return "unknown"
    return " | ".join(each for each in found if each != "never") or "never"


def _array_of(text: str) -> str:
    return f"{text}[]" if re.fullmatch(r"[\w$]+(\[\])*", text) else f"Array<{text}>"


def _in_parentheses(text: str) -> str:
    return text if re.fullmatch(r"[\w$]+(\[\])*", text) else f"({text})"


def _list(schema: dict[str, Any], key: str) -> list[Any]:
    found = schema.get(key)
    return found if isinstance(found, list) else []


def _mapping(schema: dict[str, Any], key: str) -> dict[str, Any]:
    found = schema.get(key)
    return found if isinstance(found, dict) else {}


def _count(schema: dict[str, Any], key: str, otherwise: float) -> float:
    found = schema.get(key)
    return found if isinstance(found, int) else otherwise
