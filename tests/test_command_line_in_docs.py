"""The terminal captures of `docs/reference/command-line.md`: each command is run, and prints what stands there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from nitro.testing.conformance import eventually
from tests.commands import Command
from tests.documents import Document
from tests.servers import Server

RUNS_BLOCKS = {"docs/reference/command-line.md": ["console"]}
CAPTURES = Document("docs/reference/command-line.md").all("console")
CHANGING = {r"\x1b\[[0-9;]*m": "", r"\d\d:\d\d:\d\d  ": "TIME  ", r"[0-9a-f]{10}(-|\b)": r"EPOCH\1"}
CHANGING |= {r"\.[0-9a-f]{6}\b": ".STAMP", r"0:00:\d\d ago": "AGE", r"(bytes +│) \d+ ": r"\1 NN "}


def steady(text: str) -> str:
    """The text without what is another one each time."""
    for pattern, name in CHANGING.items():
        text = re.sub(pattern, name, text)
    return text.replace("\r\n", "\n")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("tests.apps.listening:app") as started:
        yield started


def test_the_captures_are_those() -> None:
    assert [block.heading for block in CAPTURES] == [
        *["Hear"] * 2,
        *["Emit"] * 2,
        "Look into the log",
        "Find out what is wrong",
        *["Measure"] * 3,
    ]


def arguments_of(place: int, server: Server) -> tuple[list[str], str]:
    """The arguments of `nitro` in that capture, and what is printed behind it."""
    first, _, output = CAPTURES[place].source.partition("\n")
    line = first.removeprefix("$ nitro ").replace("http://localhost:8000", server.url)
    return shlex.split(line.partition(" | ")[0]), output


@pytest.mark.parametrize("place", [0, 1])
def test_what_tail_prints_is_as_shown(place: int, server: Server) -> None:
    arguments, output = arguments_of(place, server)
    with Command(*arguments, on_terminal=place == 0) as tail:
        eventually(lambda: server.get("/left").json()["clients"] == 1, "it listens", 20)
        for todo in ({"id": 1, "title": "Milk"}, {"id": 2, "title": "Bread"}):
            server.post("/emit?topic=todo.created", json=todo)
        tail.until("Bread")
        lines = output.count("\n")
        assert steady("".join(tail.output.splitlines(keepends=True)[:lines])) == steady(output)
    eventually(lambda: server.get("/left").json()["clients"] == 0, "it is gone", 20)


def test_what_emit_and_log_print_is_as_shown(server: Server, tmp_path: Path) -> None:
    for place in (2, 3, 4):
        arguments, output = arguments_of(place, server)
        with Command(*arguments, on_terminal=True, directory=tmp_path) as command:
            assert command.wait() == (2 if "is no JSON" in output else 0)
            printed = command.output + command.errors
        assert steady(printed) == steady(output), place


def test_what_doctor_prints_is_as_shown(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    environment = {"NITRO_BROKER_URL": url, "NITRO_HEARTBEAT_SECONDS": "1"}
    with Server("tests.apps.listening:app", environment=environment) as server:
        server.post("/emit?topic=todo.created", json={"id": 1})
        arguments, output = arguments_of(5, server)
        with Command(*arguments, on_terminal=True, directory=tmp_path) as doctor:
            assert doctor.wait() == 1
    heartbeat = partial(re.sub, r"(each) \d+ s|0:00:\d\d old", r"\1 ...")
    assert heartbeat(steady(doctor.output.replace(server.url, "http://localhost:8000"))) == heartbeat(steady(output))


def figures_aside(text: str) -> str:
    """As `steady`, without figures and the widths that they have, and without the place of the log."""
    text = re.sub(r"(?<=sqlite:///)[^ \"]*/", "", steady(text))
    text = re.sub(r"http://[\w.:]+", "URL", text)
    text = re.sub(r"\d+(,\d{3})*(\.\d+)?", "N", text)
    if text.startswith("{"):
        text = re.sub(r"\b(null|true|false)\b", "N", text)
    return re.sub(r"[ ─]+", " ", text)


@pytest.mark.parametrize("place", [6, 7, 8])
def test_what_bench_prints_is_as_shown(place: int, tmp_path: Path) -> None:
    with Server(
        "tests.apps.listening:app", environment={"NITRO_BROKER_URL": f"sqlite:///{tmp_path}/events.db"}
    ) as server:
        arguments, output = arguments_of(place, server)
        with Command(*arguments, on_terminal=place != 8, directory=tmp_path) as bench:
            assert bench.wait() == 0, bench.errors
    shown, expected = figures_aside(bench.output), figures_aside(output)
    if "was late by itself" in bench.errors:  # on a machine that has too much else to do
        shown, expected = (re.sub(r"│ latency [^\n]*\n", "", each) for each in (shown, expected))
    assert shown == expected
    if place != 7:
        figures = {6: "20 offered, 20 emitted", 8: '"deliveries_expected":50,"deliveries":50,'}
        assert figures[place] in bench.output
