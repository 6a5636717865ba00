"""What was done, and what came of it: one line for each step while it runs, and what failed once more at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.release.command import CommandFailed

__all__ = ["Report"]


class Report:
    """Attributes:
    is_good: whether no step has failed.
    """

    def __init__(self) -> None:
        self._failures: list[str] = []
        self._not_run: list[str] = []
        self._steps = 0

    @property
    def is_good(self) -> bool:
        return self._steps > 0 and not self._failures

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step; a failure is noted, and the next one goes on."""
        began = time.monotonic()
        self._steps += 1
        try:
            yield
        except (AssertionError, CommandFailed, OSError, ValueError) as error:
            self._failures.append(f"{name}\n{error}".replace("\n", "\n    "))
            print(f"FAILED  {self._failures[-1]}", flush=True)
        else:
            print(f"ok      {name}, {time.monotonic() - began:.1f} s", flush=True)

    def not_run(self, name: str, reason: str) -> None:
        """Say, here and at the end, what could not be tried, which is no failure."""
        self._not_run.append(f"NOT RUN {name}: {reason}")
        print(self._not_run[-1], flush=True)

    def lines(self) -> Iterator[str]:
        """The summary."""
        yield f"{self._steps - len(self._failures)} steps ok, {len(self._failures)} failed"
        yield from (f"FAILED  {failure}" for failure in self._failures)
        yield from self._not_run
