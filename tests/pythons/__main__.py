"""The suite on each Python that pyproject.toml names, and a summary; `make test-all` runs it.

`python -m tests.pythons --pythons 3.14` chooses; `--least` takes the lowest versions that Nitro allows, on the oldest
Python, and `--newest` the newest of today, on the newest; and what follows `--` goes to pytest instead of the suite's
own options. It stops at nothing; the exit code is 1 if any failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from tests.pythons.environment import Environment, Versions
from tests.pythons.outcome import Outcome
from tests.pythons.places import Place, find, supported


def phases(options: argparse.Namespace) -> list[list[str]]:
    """The options of each run of pytest: as in `make test`, what measures time comes last, and alone."""
    if options.pytest:
        return [options.pytest]
    browser = " and not browser" if options.versions == "least" else ""
    phases = (options.processes, "not timed and not alone and not engines"), (2, "timed"), (1, "alone")
    return [["-q", *spread(processes), "-m", f"{marked}{browser}"] for processes, marked in phases]


def spread(processes: int) -> list[str]:
    """Options of pytest that spread the tests over so many processes, file by file."""
    return f"-n {processes} --dist loadfile --no-loadscope-reorder".split() if processes > 1 else []


def run(place: Place, options: argparse.Namespace) -> Outcome:
    """Install what the suite needs for this Python, and run it."""
    environment = Environment(place, options.versions)
    outcome = Outcome(environment.name)
    began = time.monotonic()
    where = "in Debian unstable, without a browser" if place.debian else "on this machine"
    print(f"\n== Python {environment.name}, {place.executable} {where}", flush=True)
    try:
        environment.install()
    except subprocess.CalledProcessError as error:
        outcome.trouble.append(f"Nitro could not be installed: {error}")
        return outcome
    outcome.without = environment.without
    outcome.differences = environment.differences
    for number, words in enumerate(phases(options)):
        results = environment.folder / f"results-{number}.xml"
        results.unlink(missing_ok=True)
        code = environment.run("-m", "pytest", f"--junitxml={results}", *words)
        if code not in (0, 1, 5):  # 1: tests failed; 5: there were none of this kind
            outcome.trouble.append(f"pytest {' '.join(words)} ended with {code}")
        if results.exists():
            outcome.add(results)
    outcome.seconds = time.monotonic() - began
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.pythons")
    parser.add_argument("--pythons", nargs="+", default=supported(), metavar="3.14")
    kinds: dict[Versions, slice] = {"least": slice(1), "newest": slice(-1, None)}
    which = parser.add_mutually_exclusive_group()
    for kind in kinds:
        which.add_argument(f"--{kind}", dest="versions", action="store_const", const=kind, default="")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("pytest", nargs="*", metavar="-- what goes to pytest")
    options = parser.parse_args()
    pythons = options.pythons[kinds[options.versions]] if options.versions else options.pythons
    outcomes, absent = [], []
    for version in pythons:
        place = find(version)
        if isinstance(place, str):
            absent.append(f"NOT RUN Python {version}: {place}")
            print(absent[-1], flush=True)
        else:
            outcomes.append(run(place, options))
    print("\n== Summary")
    for outcome in outcomes:
        print("\n".join(outcome.lines()))
    print("\n".join(absent))
    return 0 if outcomes and all(outcome.is_good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
