"""TypeScript of JSON Schemas, and `nitro types`, which writes it of an application's events."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from nitro.events.declarations import declarations_of
from nitro.events.event import Namespace
from nitro.events.typescript import TypeScript, comment, quoted
from tests.commands import run
from tests.servers import ROOT

TODO = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "string"),
        ({"type": "integer"}, "number"),
        ({"type": "number"}, "number"),
        ({"type": "boolean"}, "boolean"),
        ({"type": "null"}, "null"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": "soup"}, "unknown"),
        ({"type": 7}, "unknown"),
        ({}, "unknown"),
        (True, "unknown"),
        (False, "never"),
        ("soup", "unknown"),
        ({"const": 'a"b'}, r'"a\"b"'),
        ({"const": "ü"}, '"ü"'),
        ({"const": "\u2028"}, r'"\u2028"'),
        ({"const": None}, "null"),
        ({"const": 2**53}, "number"),
        ({"const": float("inf")}, "number"),
        ({"const": [1, {"a-b": True}]}, '[1, { "a-b": true }]'),
        ({"enum": ["a", 1, -2, True, None, "a"]}, '"a" | 1 | -2 | true | null'),
        ({"enum": []}, "never"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "number"}]}, "string | number"),
        ({"oneOf": [{"type": "string"}, {}]}, "unknown"),
        ({"anyOf": [{"type": "string"}, False]}, "string"),
        ({"allOf": [{"$ref": "#/$defs/Todo"}]}, "Todo"),
        ({"allOf": [{"$ref": "#/$defs/Todo"}, {"anyOf": [{"const": 1}, {"const": 2}]}]}, "Todo & (1 | 2)"),
        ({"$ref": "#/$defs/Todo", "description": "x"}, "Todo"),
        ({"$ref": "#/$defs/Soup"}, "unknown"),
        ({"$ref": 7}, "unknown"),
        ({"type": "array"}, "unknown[]"),
        ({"type": "array", "items": {"$ref": "#/$defs/Todo"}}, "Todo[]"),
        ({"type": "array", "items": {"type": "array", "items": {"type": "null"}}}, "null[][]"),
        ({"type": "array", "items": {"enum": ["a", 1]}}, 'Array<"a" | 1>'),
        ({"type": "array", "prefixItems": [{"type": "null"}], "minItems": 1, "maxItems": 1}, "[null]"),
        ({"type": "array", "prefixItems": [{"enum": [1, 2]}], "maxItems": 1}, "[(1 | 2)?]"),
        ({"type": "array", "prefixItems": [True], "minItems": 1}, "[unknown, ...unknown[]]"),
        ({"type": "array", "prefixItems": [{"const": 1}], "minItems": 1, "items": {"const": 2}}, "[1, ...2[]]"),
        ({"type": "array", "minItems": 0, "maxItems": 0}, "[]"),
        ({"type": "object"}, "{ [key: string]: unknown }"),
        ({"type": "object", "properties": {}}, "{ [key: string]: never }"),
        ({"type": "object", "additionalProperties": True}, "{ [key: string]: unknown }"),
        ({"type": "object", "additionalProperties": {"type": ["string", "null"]}}, "{ [key: string]: string | null }"),
        ({"type": "object", "patternProperties": {"^a": {"type": "null"}}}, "{ [key: string]: null }"),
        (
            {"type": "object", "additionalProperties": {"type": "null"}, "propertyNames": {"enum": ["a", "b"]}},
            '{ [key in "a" | "b"]?: null }',
        ),
        (
            {"type": "object", "additionalProperties": {"type": "null"}, "propertyNames": {"format": "uuid"}},
            "{ [key: string]: null }",
        ),
    ],
)
def test_a_schema_has_its_type(schema: Any, expected: str) -> None:
    assert TypeScript({"Todo": TODO}).type_of(schema) == expected


def test_an_object_has_a_line_for_each_property_and_what_it_may_have_besides() -> None:
    schema = {
        "type": "object",
        "properties": {
            "id": {"type": "integer", "description": "which\none"},
            "a-b": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            "in": {"type": "object", "properties": {"x": {"type": "null", "deprecated": True}}, "required": ["x"]},
        },
        "required": ["id", "in"],
        "additionalProperties": {"type": "boolean"},
    }
    assert (
        TypeScript({}).type_of(schema)
        == """{
  /**
   * which
   * one
   */
  id: number;
  /** @format date */
  "a-b"?: string | null;
  in: {
    /** @deprecated */
    x: null;
  };
  [key: string]: boolean | number | (string | null) | undefined | {
    /** @deprecated */
    x: null;
  };
}"""
    )


def test_named_schemas_are_interfaces_or_types_whose_names_no_other_has() -> None:
    schemas = {
        "Todo": TODO,
        "string": {"type": "null", "description": "as the language's"},
        "Page_Todo_": TODO,
        "7up": {"type": "null"},
        "a.b": {"type": "null"},
        "a-b": {"type": "null"},
        "Taken": {"type": "null"},
        "_": {"type": "null"},
        "Long": {"enum": [f"number | {number}" for number in range(10)], "type": "string"},
        "Many": {"anyOf": [{"const": f"number {number}"} for number in range(10)]},
    }
    assert "\n".join(TypeScript(schemas, ["Taken"]).declarations()) == (
        "export type Long =\n  | "
        + "\n  | ".join(f'"number | {number}"' for number in range(10))
        + ";\n\nexport type Many =\n  | "
        + "\n  | ".join(f'"number {number}"' for number in range(10))
        + """;

export interface Page_Todo {
  id: number;
}

export type Taken2 = null;

export interface Todo {
  id: number;
}

export type _ = null;

export type _7up = null;

export type a_b = null;

export type a_b2 = null;

/** as the language's */
export type string2 = null;
"""
    )


@given(st.text())
def test_no_text_ends_its_comment_or_its_string(text: str) -> None:
    said = comment(text.splitlines(), "  ")
    assert said.count("*/") == (1 if said else 0)
    assert said == "" or said.endswith(" */\n")
    assert all(line.strip().startswith(("*", "/**")) for line in said.splitlines())
    assert json.loads(quoted(text)) == text
    assert quoted(text).isprintable()


def test_models_of_one_name_are_told_apart_and_shared_ones_stand_once() -> None:
    one, two = (type("Out", (BaseModel,), {"__module__": name, "__annotations__": {name: int}}) for name in "ab")
    events = Namespace()
    events.event("first", schema=one)
    events.event("second", schema=list[two])  # type: ignore[valid-type]
    events.event("third", schema=two)
    text = declarations_of(events, "nitro types main:app")
    assert text.count("export interface") == 3
    assert "export interface a__Out {\n  a: number;\n}\n" in text
    assert '  "first": a__Out;\n  "second": b__Out[];\n  "third": b__Out;\n' in text


def test_a_field_with_a_default_is_always_sent_and_what_pydantic_cannot_tell_is_unknown() -> None:
    class Out(BaseModel):
        done: bool = False
        at: Callable[[], None] | None = None
        hidden: int = Field(default=1, exclude=True)

    events = Namespace()
    events.event("a", schema=Out)
    assert "export interface Out {\n  done: boolean;\n  at: unknown;\n}\n" in declarations_of(events, "x")


# --- the command


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.d.ts"


def test_types_writes_the_events_that_have_a_schema_and_says_how(file: Path) -> None:
    printed = run("types", "tests.apps.typed:app")
    assert (printed.returncode, printed.stderr) == (0, "imported\n")
    assert printed.stdout.splitlines()[1] == (
        "// Made by `nitro types tests.apps.typed:app` of the events that have a schema. Don't edit it: run that again."
    )
    assert '  /** A todo is there. */\n  "todo.created": TodoOut;\n  "todo.deleted": Empty;\n' in printed.stdout
    assert '"untyped"' not in printed.stdout and '"made"' not in printed.stdout
    assert printed.stdout.endswith(
        '\ndeclare module "nitro-realtime" {\n  interface Events extends TypedEvents {}\n}\n'
    )
    assert str(ROOT) not in printed.stdout
    written = run("types", "tests.apps.typed:app", "-o", str(file))
    assert (written.returncode, written.stdout) == (0, "")
    assert file.read_text() == printed.stdout


def test_check_compares_and_writes_nothing(file: Path) -> None:
    command = ("types", "tests.apps.typed:app", "-o", str(file), "--check")
    assert run(*command).returncode == 1
    assert not file.exists()
    assert run(*command[:-1]).returncode == 0
    assert run(*command).returncode == 0
    file.write_text(file.read_text().replace("TodoOut", "TodoIn"))
    checked = run(*command)
    assert checked.returncode == 1
    assert f"write it anew: nitro types tests.apps.typed:app -o {file}\n" in checked.stderr
    assert "TodoIn" in file.read_text()


def test_an_application_is_found_in_its_directory_made_by_its_factory_and_its_pages_by_their_module(
    tmp_path: Path,
) -> None:
    (tmp_path / "shop.py").write_text("from tests.apps.typed import make")
    done = run("types", "shop:make", "--factory", "--app-dir", str(tmp_path), "--module", "/nitro/client.js")
    assert done.returncode == 0, done.stderr
    assert (
        f"// Made by `nitro types shop:make --module /nitro/client.js --app-dir {tmp_path} --factory` of" in done.stdout
    )
    assert '"made": number;' in done.stdout
    assert 'declare module "/nitro/client.js" {' in done.stdout


def test_a_tilde_that_the_shell_left_alone_is_the_home_directory(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("from tests.apps.typed import make")
    options = ("--factory", "--app-dir=~", "--output=~/events.d.ts")
    done = run("types", "shop:make", *options, HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert '"made": number;' in (tmp_path / "events.d.ts").read_text()


@pytest.mark.parametrize("command", ["types", "asyncapi"])
def test_the_remedy_of_check_makes_the_file_right(command: str, tmp_path: Path) -> None:
    directory, file = tmp_path / "the shop", tmp_path / "its events"
    directory.mkdir()
    (directory / "shop.py").write_text("from tests.apps.typed import make")
    checked = run(command, "shop:make", "--factory", "--app-dir", str(directory), "-o", str(file), "--check")
    assert checked.returncode == 1
    remedy = shlex.split(checked.stderr.partition("write it anew: nitro ")[2])
    assert run(*remedy).returncode == 0
    assert "made" in file.read_text()
    assert run(*remedy, "--check").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["main"], "'main' is no application; write module:attribute, such as main:app"),
        (["soup:app"], "there is no module 'soup' in this directory; is --app-dir right?"),
        (["tests.soup:app"], "there is no module 'tests.soup' in this directory; is --app-dir right?"),
        (["tests.apps.typed:soup"], "'tests.apps.typed' has no 'soup'"),
        (
            ["tests.apps.listening:app"],
            "has no event with a schema; give one what it sends: event('todo.created', schema=",
        ),
        (["tests.apps.typed:app", "--check"], "--check compares a file; name it by -o events.d.ts"),
        (["tests.apps.typed:app", "--module", "a\nb"], "--module is how pages import the client"),
        (["tests.apps.typed:app", "-o", "/nowhere/events.d.ts"], "/nowhere/events.d.ts can't be written: No such file"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(arguments: list[str], text: str) -> None:
    done = run("types", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.removeprefix("imported\n").startswith("nitro: ")
    assert done.stderr.removeprefix("imported\n").count("\n") == 1
    assert text in done.stderr


def test_an_error_of_the_application_shows_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import soup_of_the_day")
    done = run("types", "broken:app", "--app-dir", str(tmp_path))
    assert done.returncode == 1
    assert "broken.py" in done.stderr and "soup_of_the_day" in done.stderr
