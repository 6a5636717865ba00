"""The fuzzer: for each target, libFuzzer looks for inputs that reach more of the library, until one breaks a promise.

`python -m tests.fuzzing --minutes 60 --target query`. Each target gets its share of the time, in a process of its own,
and goes on after a crash. What reached the most is kept in `corpus/`, which `test_corpus.py` replays.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzzing import corpus
from tests.fuzzing.seeds import SEEDS, WORDS
from tests.fuzzing.targets import TARGETS

ROOT = Path(__file__).parents[2]
MAX_CRASHES = 20
"""Of one target: what crashes so often crashes at once, and the others want their time."""
LONGEST_INPUT_SECONDS = 10


@dataclass
class Report:
    """What came of one target.

    Attributes:
        crashes: for each error its text, and the input that reproduces it.
    """

    target: str
    executions: int = 0
    kept: int = 0
    crashes: dict[str, Path] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{self.target}: {self.executions} executions, {self.kept} inputs kept, {len(self.crashes)} crashes"]
        return "\n".join([*lines, *(f"  {error}\n    {path}" for error, path in self.crashes.items())])


class Bench:
    """Where one target is fuzzed.

    Args:
        place: a directory for what comes of it; the inputs that crashed stay there.
    """

    def __init__(self, target: str, place: Path) -> None:
        self.report = Report(target)
        self._place = place
        self._found = place / "found"
        self._seeds = place / "seeds"
        self._program = place / "engine"
        self._words = place / "words"
        for directory in (self._found, self._seeds, corpus.directory(target)):
            directory.mkdir(parents=True, exist_ok=True)
        for n, seed in enumerate(SEEDS[target]):
            (self._seeds / f"seed-{n}").write_bytes(seed)
        self._words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS[target]))
        command = [sys.executable, "-m", "tests.fuzzing.engine", target, str(self._program)]
        self._program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        self._program.chmod(0o755)

    def fuzz(self, seconds: float) -> None:
        """Look for crashes so long; after each, go on."""
        until = time.monotonic() + seconds
        while (left := round(until - time.monotonic())) > 0 and len(list(self._inputs())) < MAX_CRASHES:
            before = set(self._inputs())
            said = self._run(f"-max_total_time={left}", *self._directories())
            done = re.search(r"number_of_executed_units: *(\d+)", said)
            self.report.executions += int(done[1]) if done else 0
            new = [path for path in self._inputs() if path not in before]
            for path in new:
                self.report.crashes.setdefault(_error(said), path)
            if not new and not done:
                raise RuntimeError(f"the fuzzer itself failed:\n{said[-2000:]}")

    def keep(self) -> None:
        """Replace the corpus by the fewest inputs that reach as much."""
        merged = self._place / "merged"
        merged.mkdir()
        said = self._run("-set_cover_merge=1", str(merged), *self._directories())
        if not any(merged.iterdir()):
            raise RuntimeError(f"nothing is left of the corpus:\n{said[-2000:]}")
        self.report.kept = corpus.replace(self.report.target, merged)

    def _run(self, *arguments: str) -> str:
        flags = [
            f"-max_len={corpus.MAX_BYTES}",
            f"-timeout={LONGEST_INPUT_SECONDS}",
            f"-artifact_prefix={self._place}/",
            f"-dict={self._words}",
            "-print_final_stats=1",
        ]
        done = subprocess.run([self._program, *flags, *arguments], cwd=ROOT, capture_output=True, check=False)
        return (done.stdout + done.stderr).decode(errors="replace")

    def _directories(self) -> list[str]:
        return [str(each) for each in (self._found, corpus.directory(self.report.target), self._seeds)]

    def _inputs(self) -> list[Path]:
        return [path for kind in ("crash", "timeout", "oom", "leak") for path in self._place.glob(f"{kind}-*")]


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _error(said: str) -> str:
    """The error of a crash, and the line that raised it."""
    places = re.findall(r'File "(.+?)", line (\d+)', said)
    error = re.search(r"Uncaught Python exception[^\n]*\n(.+)", said)
    where = f" at {Path(places[-1][0]).name}:{places[-1][1]}" if places else ""
    return f"{error[1] if error else 'no exception: out of time or memory'}{where}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="for all targets together")
    parser.add_argument("--target", choices=list(TARGETS), action="append", help="only this; or several of them")
    options = parser.parse_args()
    targets = options.target or list(TARGETS)
    place = Path(tempfile.mkdtemp(prefix="fuzzing-"))
    reports = []
    for target in targets:
        bench = Bench(target, place / target)
        bench.fuzz(options.minutes * 60 / len(targets))
        bench.keep()
        print(bench.report, flush=True)
        reports.append(bench.report)
    if any(report.crashes for report in reports):
        return 1
    shutil.rmtree(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
