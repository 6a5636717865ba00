"""Emits that reach nobody though they were meant to: told once for each place in the code, with the right call."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from nitro import Client, Event, Namespace, client_event, emit, emit_async, event, on
from nitro.errors import NitroWarning

pytestmark = pytest.mark.usefixtures("hub", "no_handlers")


class Todo(BaseModel):
    title: str = "x"


class Kept(BaseModel):
    id: str = "7"


@dataclass
class Note:
    text: str = "x"


def told(*emits: Callable[[], object]) -> list[str]:
    """The texts of the warnings that these bring about, whatever was told before."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for each in emits:
            each()
    assert all(one.category is NitroWarning for one in caught)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize(
    ("sender", "kwargs", "text"),
    [
        ("me", {}, "pass what clients get as result: emit('todo.created', sender, result=…)"),
        (
            "me",
            {"reslut": 1},
            "reslut= is for handlers alone; clients get what is given as result: emit('todo.created'",
        ),
        ("me", {"results": 1}, "results= is for handlers alone"),
        ("me", {"Result": 1}, "Result= is for handlers alone"),
        ("me", {"data": 1}, "data= is for handlers alone"),
        ("me", {"quiet": True, "payload": 1}, "payload= is for handlers alone"),
        ({"title": "x"}, {}, "the dict is passed as the sender, and has no id; was it meant for clients?"),
        ([1], {}, "emit('todo.created', result=<the list>)"),
        ((1, 2), {}, "the tuple is passed as the sender"),
        ({1}, {}, "the set is passed as the sender"),
        (Todo(), {}, "the Todo is passed as the sender"),
        (Note(), {}, "emit('todo.created', sender, result=<the Note>)"),
    ],
    ids=repr,
)
def test_an_emit_that_sends_nothing_says_so_with_the_right_call(sender: Any, kwargs: Any, text: str) -> None:
    (found,) = told(lambda: emit("todo.created", sender, **kwargs))
    assert text in found
    assert "emit('todo.created', …) without result=: nothing is sent to clients, and nobody handles it" in found


def test_a_result_that_is_given_by_its_place_is_told_of() -> None:
    (found,) = told(lambda: emit("todo.created", "me", {"title": "x"}))
    assert "arguments after the sender are for handlers alone: emit('todo.created', sender, result=…)" in found


@pytest.mark.parametrize("sender", ["me", {"title": "x"}, Todo(), None])
def test_an_emit_with_a_result_says_nothing(sender: Any) -> None:
    assert told(lambda: emit("todo.created", sender, result=1), lambda: emit("todo.created", sender, result=None)) == []


def test_an_emit_that_is_handled_says_nothing_unless_the_result_is_misspelt_or_stands_for_the_sender() -> None:
    on("todo.*", "somebody else")(lambda sender, **kwargs: None)
    assert told(lambda: emit("todo.created", "me"), lambda: emit("todo.created", "me", data=1)) == []
    assert told(lambda: emit("todo.created", Kept()), lambda: emit("todo.created", Todo)) == []
    (misspelt, data) = told(lambda: emit("todo.created", "me", reslut=1), lambda: emit("todo.created", {"a": 1}))
    assert "without result=: nothing is sent to clients; reslut=" in misspelt
    assert "without result=: nothing is sent to clients; the dict" in data


def test_a_keyword_that_a_handler_names_was_meant() -> None:
    on("search.done")(lambda sender, results: results)
    on("search.done", priority=1)(print)
    assert told(lambda: emit("search.done", "me", results=[])) == []


@pytest.mark.parametrize("name", ["reset", "consult", "default", "insult", "r", "action", "res"])
def test_other_words_are_not_taken_for_result(name: str) -> None:
    on("a.b")(lambda sender, **kwargs: None)
    assert told(lambda: emit("a.b", "me", **{name: 1})) == []


def test_what_needs_nobody_says_nothing() -> None:
    mine = Namespace().event("a.b")
    assert told(lambda: emit(mine, "me"), lambda: Client().connect().disconnect()) == []
    with event("a.b").muted():
        assert told(lambda: emit("a.b")) == []
    assert told(lambda: emit(client_event, "system", action="connect")) == []


def test_every_way_to_emit_tells_it_at_the_callers_own_line() -> None:
    signal, here = event("todo.created"), []

    async def wait() -> None:
        await emit_async("todo.created")
        await signal.emit_async("me")
        await asyncio.gather(asyncio.create_task(emit_async(signal)))  # of which only the loop's caller is known

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        emit(signal)
        signal.emit("me")
        asyncio.run(wait())
        here = [one.filename == __file__ for one in caught]
    assert here == [True] * 5
    lines = Path(__file__).read_text().splitlines()
    assert ["emit" in lines[one.lineno - 1] for one in caught] == [True, True, True, True, False]


ONCE = """
import nitro
nitro.event("b.known"), nitro.event("c.known")
def tell(name):
    nitro.emit(name, "me")
for n in range(500):
    tell("a.b")
for n in range(500):
    tell(f"user.{n}.renamed")
tell("b.known"); tell("c.known"); tell("b.known")
assert len(__warningregistry__) < 10, len(__warningregistry__)
"""


def test_it_is_told_once_for_a_place_however_many_names_are_emitted_there(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", ONCE], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"NitroWarning: emit\((.*?), …\)", done.stderr) == ["'a.b'", "event", "'b.known'", "'c.known'"]


def test_a_warning_that_is_an_error_is_raised_before_any_handler_is_called() -> None:
    called: list[Any] = []
    on("a.b")(lambda sender, **kwargs: called.append(sender))
    with pytest.raises(NitroWarning, match="reslut"):  # as pytest is told to treat warnings here
        emit("a.b", "me", reslut=1)
    assert called == []


def test_an_event_object_of_the_default_namespace_that_nobody_keeps_is_told_of_too() -> None:
    assert len(told(lambda: emit(Event("a.b"), "me"))) == 1
