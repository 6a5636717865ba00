"""What type checkers are told: each public name has its place in `typing_tests`, which mypy and pyright check."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import pytest

import nitro
from nitro import Client, ClientOptions
from nitro.clients.grant import grant_of

TYPING_TESTS = Path(__file__).parent.parent / "typing_tests"
RIGHTS = {"topics", *inspect.signature(grant_of).parameters}


def names_in(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            yield node.id


def test_each_public_name_is_looked_at_by_the_type_checkers() -> None:
    found = {name for path in TYPING_TESTS.glob("*.py") for name in names_in(path.read_text())}
    assert set(nitro.__all__) <= found


def test_the_options_of_a_client_are_what_it_takes_beside_its_topics_and_rights() -> None:
    parameters = dict(inspect.signature(Client).parameters)
    assert set(ClientOptions.__annotations__) == set(parameters) - RIGHTS
    assert set(parameters) >= RIGHTS
    hints, options = get_type_hints(Client.__init__), get_type_hints(ClientOptions)
    assert {name: hints[name] for name in options} == options


@pytest.mark.usefixtures("hub")
def test_a_client_takes_all_of_its_options_at_once() -> None:
    options: ClientOptions = {
        "client_id": "a",
        "muted_topics": ["b"],
        "address": "192.0.2.1",
        "last_event_id": nitro.position(),
        "max_messages": 1,
        "max_bytes": 1,
        "overflow": "latest",
        "send_timeout_seconds": 1,
        "presence": None,
        "state": None,
    }
    assert set(options) == set(ClientOptions.__annotations__)
    assert Client(topics=["t"], **options).client_id == "a"
