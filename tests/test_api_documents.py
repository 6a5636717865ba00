"""OpenAPI and AsyncAPI of streams and events: valid for the validators of both, and true of what is sent."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from openapi_spec_validator import validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError
from pydantic import BaseModel, Field, create_model

from nitro import Gap, Grant, Message, event
from nitro.delivery.frame import named, unnamed
from nitro.errors import ArgumentTypeError, ConfigurationError
from nitro.events.asyncapi import asyncapi_of
from nitro.events.event import Namespace
from nitro.fastapi import EventStream, openapi
from nitro.messages.message import Position
from tests.commands import run
from tests.servers import ROOT

REFUSED = {"401", "403", "422", "429"}
PLACE = Position("a", 7)


PRINTED = "import json; from tests.apps.documented import app, typed; print(json.dumps([app.openapi(), typed.sent()]))"


@pytest.fixture(scope="module")
def printed() -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The document of `tests.apps.documented`, and topics and payloads that it could send; from a process of their own,
    since events are the process's.
    """
    done = subprocess.run([sys.executable, "-c", PRINTED], cwd=ROOT, capture_output=True, text=True, check=True)
    document, sent = json.loads(done.stdout.splitlines()[-1])
    return document, sent


@pytest.fixture(scope="module")
def document(printed: tuple[dict[str, Any], Any]) -> dict[str, Any]:
    return printed[0]


@pytest.fixture(scope="module")
def sent(printed: tuple[Any, list[tuple[str, str]]]) -> list[tuple[str, str]]:
    return printed[1]


def operation(document: dict[str, Any], path: str) -> dict[str, Any]:
    return document["paths"][path]["get"]  # type: ignore[no-any-return]


def item_schema(document: dict[str, Any], path: str) -> dict[str, Any]:
    content = operation(document, path)["responses"]["200"]["content"]["text/event-stream"]
    return content["itemSchema"]  # type: ignore[no-any-return]


def parsed(frame: bytes) -> dict[str, Any]:
    """The fields of one server-sent event; its data is one line."""
    lines = frame.decode().strip().splitlines()
    return {name: value.removeprefix(" ") for name, _, value in (line.partition(":") for line in lines)}


def test_openapi_is_valid_as_3_2_and_lacks_nothing_but_that_number(document: dict[str, Any]) -> None:
    validate({**document, "openapi": "3.2.0"})
    assert document["openapi"] == "3.1.0"
    with pytest.raises(OpenAPIValidationError, match="itemSchema"):  # as for FastAPI's own streams
        validate(document)


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/live", ["topic", "Last-Event-ID", "last_event_id"]),
        ("/own", ["topic", "Last-Event-ID", "last_event_id"]),
        ("/fixed", ["Last-Event-ID", "last_event_id"]),
    ],
)
def test_a_stream_has_its_parameters_and_its_refusals(
    document: dict[str, Any], path: str, parameters: list[str]
) -> None:
    found = operation(document, path)
    assert [each["name"] for each in found["parameters"]] == parameters
    assert found["responses"].keys() == {"200", *REFUSED}
    assert list(found["responses"]["200"]["content"]) == ["text/event-stream"]
    for status in REFUSED:
        assert list(found["responses"][status]["content"]) == ["application/problem+json"]


def test_what_is_no_stream_of_json_says_nothing_of_its_events(document: dict[str, Any]) -> None:
    content = operation(document, "/patches")["responses"]["200"]["content"]["text/event-stream"]
    assert "itemSchema" not in content


def branch_of(document: dict[str, Any], path: str, item: dict[str, Any]) -> dict[str, Any]:
    """The only one of the kinds of event that this is."""
    (found,) = [each for each in item_schema(document, path)["oneOf"] if Draft202012Validator(each).is_valid(item)]
    return found  # type: ignore[no-any-return]


def test_an_event_with_a_name_is_the_one_of_that_name_and_so_is_its_data(
    document: dict[str, Any], sent: list[tuple[str, str]]
) -> None:
    for topic, payload in sent:
        item = parsed(named(Message(topic, None, payload.encode(), PLACE)))
        kind = branch_of(document, "/named", item)
        assert kind["title"] == topic
        Draft202012Validator(kind["properties"]["data"]["contentSchema"]).validate(json.loads(item["data"]))


def test_an_event_without_a_name_has_data_of_one_of_them(document: dict[str, Any], sent: list[tuple[str, str]]) -> None:
    for topic, payload in sent:
        item = parsed(unnamed(Message(topic, None, payload.encode(), PLACE)))
        content = branch_of(document, "/live", item)["properties"]["data"]["contentSchema"]
        (schema,) = [each for each in content["anyOf"] if each["title"] == topic]
        Draft202012Validator(schema).validate(json.loads(item["data"]))


@pytest.mark.parametrize(("path", "frame"), [("/live", unnamed), ("/named", named)])
def test_a_gap_is_a_kind_of_its_own_also_beside_a_topic_of_that_name(
    document: dict[str, Any], path: str, frame: Callable[..., bytes]
) -> None:
    item = parsed(frame(Gap("expired", PLACE)))
    kind = branch_of(document, path, item)
    assert kind["title"] == "gap"
    Draft202012Validator(kind["properties"]["data"]["contentSchema"]).validate(json.loads(item["data"]))
    assert branch_of(document, "/named", parsed(named(Message("gap", None, b"1", PLACE))))["properties"]["event"] == {
        "const": ".gap"
    }


def test_a_model_within_itself_is_described_once_and_a_docstring_is_the_description(document: dict[str, Any]) -> None:
    kinds = {each["title"]: each for each in item_schema(document, "/named")["oneOf"]}
    tree = kinds["tree"]["properties"]["data"]["contentSchema"]
    assert tree["properties"]["children"]["items"] == {"title": "Node"}
    created = kinds["todo.created"]["properties"]["data"]["contentSchema"]
    assert created["description"] == "A todo is there."
    assert not Draft202012Validator(created).is_valid({"id": "one"})
    assert '"$ref"' not in json.dumps(kinds)


def test_models_that_contain_each_other_are_described_once_in_an_event_and_others_wherever_they_are() -> None:
    class Style(BaseModel):
        color: str

    names = [f"Block{number}" for number in range(5)]
    block = f"Annotated[{' | '.join(names)}, Field(discriminator='kind')]"
    declared: dict[str, Any] = {"Annotated": Annotated, "Field": Field}
    for name in names:
        fields = {"kind": Literal[name], "style": Style, "left": block, "right": f"list[{block}]"}
        declared[name] = create_model(name, **dict[str, Any]({field: (kind, ...) for field, kind in fields.items()}))
    for name in names:
        declared[name].model_rebuild(_types_namespace=declared)
    item = openapi(event("documented.blocks", schema=declared["Block0"]))["responses"][200]
    text = json.dumps(item)
    for name in names:
        assert text.count(f'"const": "{name}"') == 1
    assert text.count('"color": {') == len(names)
    assert '"$ref"' not in text


def test_fields_may_be_called_as_keywords_are() -> None:
    class Out(BaseModel):
        discriminator: int = 1
        items: list[int] = []

    fields = event("documented.fields", schema=Out)
    item = openapi(fields)["responses"][200]["content"]["text/event-stream"]["itemSchema"]
    schema = item["oneOf"][0]["properties"]["data"]["contentSchema"]["anyOf"][0]
    assert set(schema["required"]) == set(schema["properties"]) == {"discriminator", "items"}
    components = asyncapi_of({"documented.fields": fields}, "a", "1")["components"]
    assert set(components["schemas"]["Out"]["properties"]) == {"discriminator", "items"}


@pytest.mark.parametrize(
    ("events", "error", "words"),
    [
        (["todo.created"], ArgumentTypeError, "objects that event"),
        ("todo.*", ArgumentTypeError, "objects that event"),
        ([event("documented.plain")], ConfigurationError, r"event\('documented.plain', schema=...\)"),
    ],
)
def test_what_can_not_be_documented_is_refused_where_it_is_written(
    events: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        EventStream(lambda: Grant(["*"]), events=events)
    with pytest.raises(error, match=words):
        openapi(*events)


# --- AsyncAPI


def said_of(document: str) -> dict[str, Any]:
    """What the official parser says."""
    node = shutil.which("node")
    if node is None or not (ROOT / "tests/npm/node_modules").exists():
        pytest.skip("NO NODE: node, or tests/npm/node_modules, is missing; `make test` installs them")
    command = [node, str(ROOT / "tests/npm/asyncapi.js")]
    done = subprocess.run(command, input=document, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_asyncapi_is_valid_and_true_of_what_is_sent(tmp_path: Path, sent: list[tuple[str, str]]) -> None:
    file = tmp_path / "asyncapi.json"
    command = ("asyncapi", "tests.apps.documented:app", "-o", str(file))
    done = run(*command)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    document = json.loads(file.read_text())
    assert document["info"] == {"title": "Todos", "version": "1.2.3", "description": "What is to be done."}
    said = said_of(file.read_text())
    assert said["diagnostics"] == []
    assert said["channels"] == {topic: [topic] for topic in [*(topic for topic, _ in sent), "gap"]}
    for topic, payload in sent:
        schema = {**document["components"]["messages"][topic]["payload"], "components": document["components"]}
        Draft7Validator(schema).validate(json.loads(payload))
    assert run(*command, "--check").returncode == 0
    file.write_text("{}")
    checked = run(*command, "--check", "--title", "Other todos")
    assert checked.returncode == 1
    assert f"nitro asyncapi tests.apps.documented:app --title 'Other todos' -o {file}" in checked.stderr


def test_a_pair_of_topics_that_need_one_key_have_two_and_tuples_are_said_in_draft_7() -> None:
    events = Namespace()
    for topic in ("a:b", "a_b", "a-b"):
        events.event(topic, schema=tuple[int, str])
    document = asyncapi_of(events, "x", "1")
    assert {key: each["address"] for key, each in document["channels"].items()} == {
        "a-b": "a-b",
        "a_b": "a_b",
        "a_b_2": "a:b",
    }
    payload = document["components"]["messages"]["a_b_2"]["payload"]
    assert payload["items"] == [{"type": "integer"}, {"type": "string"}]
    assert not Draft7Validator(payload).is_valid(["a", 1])
    assert said_of(json.dumps(document))["diagnostics"] == []


def test_an_application_that_says_nothing_of_itself_has_its_name() -> None:
    done = run("asyncapi", "tests.apps.typed:make", "--factory", "--api-version", "7")
    assert json.loads(done.stdout)["info"] == {"title": "FastAPI", "version": "7"}
    assert "tests.apps.listening:app has no event with a schema" in run("asyncapi", "tests.apps.listening:app").stderr
    assert "name it by -o asyncapi.json" in run("asyncapi", "tests.apps.typed:app", "--check").stderr
