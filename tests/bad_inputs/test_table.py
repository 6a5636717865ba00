"""The table of docs/reference/bad-inputs.md and the tests here, side by side: each row has tests, each test a row."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.servers import ROOT

TABLE = (ROOT / "docs/reference/bad-inputs.md").read_text()
FILES = sorted(path for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_table.py")
SECTIONS = {
    "topics and patterns": "test_topics",
    "event names and payloads": "test_payloads",
    "ids, retry, `Last-Event-ID`": "test_ids",
    "HTTP": "test_http",
    "what a broker hands us": "test_brokers",
}
"""Part of the table → how the names of its files begin."""


class Marked(NamedTuple):
    """A test, and the rows that it says it is for."""

    file: str
    name: str
    rows: list[int]


def rows_by_section() -> dict[str, list[int]]:
    """The numbers of the rows of each part of the table, as they stand there."""
    rows: dict[str, list[int]] = {}
    for number, title in re.findall(r"^\| (\d*) ?\| (?:\*\*(.+)\*\*)?", TABLE, re.MULTILINE):
        if title:
            rows[title] = []
        elif number:
            rows[list(rows)[-1]].append(int(number))
    return rows


def marked_in(path: Path) -> Iterator[Marked]:
    """The tests of a file, read and not run."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            marks = [mark for mark in node.decorator_list if ast.unparse(mark).startswith("pytest.mark.bad_input(")]
            yield Marked(path.stem, node.name, [ast.literal_eval(mark.args[0]) for mark in marks])  # type: ignore[attr-defined]


TESTS = [test for path in FILES for test in marked_in(path)]


def test_the_rows_are_numbered_without_a_hole() -> None:
    rows = rows_by_section()
    assert rows.keys() == SECTIONS.keys()
    assert [number for numbers in rows.values() for number in numbers] == list(range(1, 44))


def test_exactly_the_rows_of_the_table_have_tests() -> None:
    assert {row for test in TESTS for row in test.rows} == set().union(*rows_by_section().values())


@pytest.mark.parametrize("section", SECTIONS)
def test_the_rows_of_a_part_are_tested_in_its_files(section: str) -> None:
    tested = {row for test in TESTS if test.file.startswith(SECTIONS[section]) for row in test.rows}
    assert set(rows_by_section()[section]) <= tested


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_tests_of_a_file_have_rows_and_stand_in_the_order_of_the_table(path: Path) -> None:
    tests = list(marked_in(path))
    assert [test.name for test in tests if not test.rows] == []
    first = [test.rows[0] for test in tests]
    assert [(before, after) for before, after in pairwise(first) if before > after] == []
    assert first
