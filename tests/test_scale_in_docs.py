"""The commands of `docs/about/scale.md`: each is run, and the first prints the table that stands there."""

from __future__ import annotations

import runpy
import shlex
import sys
from contextlib import nullcontext

import pytest

from tests.documents import ROOT, Document

PAGE = Document("docs/about/scale.md")
RUNS_BLOCKS = {"docs/about/scale.md": ["sh"]}
COMMANDS = [line for block in PAGE.all("sh") for line in block.source.splitlines()]


def printed_by(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    python, script, *arguments = shlex.split(line, comments=True)
    assert (python, script) == ("python", "benchmarks/scale.py")
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit, match="0") if "--help" in arguments else nullcontext():
        runpy.run_path(str(ROOT / script), run_name="__main__")
    return capsys.readouterr().out


def test_the_first_command_prints_the_table_of_the_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed_by(COMMANDS[0], monkeypatch, capsys) in PAGE.text


@pytest.mark.parametrize("line", COMMANDS[1:])
def test_the_others_print_a_row_or_the_constants(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = printed_by(line, monkeypatch, capsys)
    assert "--write-us" in printed if "--help" in line else printed.count("\n") == 3
