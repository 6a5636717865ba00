"""`python -m nitro` as a user runs it: in a process of its own, into a pipe or on a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nitro.testing.conformance import eventually
from tests.forked import python_m
from tests.servers import ROOT

__all__ = ["Command", "run"]

_OPTIONS = ["-W", "error"]
_LIBRARIES = ("typer.main", "typer.rich_utils", "rich.live", "pydantic_settings", "blinker", "httpx", "httpx_sse", "h2")


def _environment(more: dict[str, str]) -> dict[str, str]:
    without = {name: value for name, value in os.environ.items() if not name.startswith("NITRO_")}
    return {**without, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "TERM": "xterm-256color", **more}


def run(*arguments: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    program = python_m(
        ["nitro", *arguments],
        libraries=_LIBRARIES,
        options=_OPTIONS,
        environment=_environment(environment),
        stdin=subprocess.PIPE,
    )
    try:
        output, errors = program.communicate(given, 60)
    except subprocess.TimeoutExpired:
        program.kill()
        raise
    return subprocess.CompletedProcess(program.args, program.wait(), output, errors)


class Command:
    """A command that goes on; `output` is what it has written to stdout, `errors` what to stderr."""

    def __init__(self, *arguments: str, on_terminal: bool = False, directory: Path | None = None) -> None:
        self.output = ""
        self.errors = ""
        environment = _environment({})
        if on_terminal:
            self._end, stdout = pty.openpty()
        else:
            self._end, stdout = os.pipe()
        self.process = python_m(
            ["nitro", *arguments],
            libraries=None if on_terminal else _LIBRARIES,
            options=_OPTIONS,
            environment=environment,
            cwd=directory,
            stdout=stdout,
        )
        os.close(stdout)
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read, self._read_errors)]
        for reader in self._readers:
            reader.start()

    @property
    def lines(self) -> list[Any]:
        """Its output as JSON lines."""
        return [json.loads(line) for line in self.output.splitlines()]

    def until(self, text: str) -> None:
        eventually(lambda: text in self.output, f"{text!r} is written: {self.output!r} {self.errors!r}", 20)

    def until_lines(self, count: int) -> list[Any]:
        eventually(lambda: self.output.count("\n") >= count, f"{count} lines: {self.output!r} {self.errors!r}", 20)
        return self.lines

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()

    def wait(self) -> int:
        code = self.process.wait(20)
        for reader in self._readers:
            reader.join(5)
        return code

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the end of a terminal
            while piece := os.read(self._end, 65536):
                self.output += piece.decode()

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr:
            for line in self.process.stderr:
                self.errors += line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        os.close(self._end)
