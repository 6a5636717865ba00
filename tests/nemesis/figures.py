"""The tables of docs/about/reliability.md, of runs with `--folder`: `python -m tests.nemesis.figures redis=FOLDER`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from nitro.testing.nemesis import Findings, judge
from nitro.testing.nemesis.judge import Strike


def by_set_up(runs: Mapping[str, Findings]) -> str:
    """What was wrong on each set-up."""
    wrong = ["lost", "doubled", "reordered", "invented", "unannounced", "false_gaps", "late"]
    names = [name.replace("_", " ") for name in wrong]
    lines = [["set-up", "faults", "acknowledged", "heard", "gaps", *names, "longest outage"]]
    for name, findings in runs.items():
        verdict = findings.verdict
        figures = [len(findings.strikes), findings.outcomes.get("acknowledged", 0), verdict.messages, verdict.gaps]
        counts = [len(findings.wrong[kind]) for kind in wrong]
        lines.append([name, *(f"{figure:,}" for figure in (*figures, *counts)), longest(findings.strikes)])
    return markdown(lines)


def by_fault(runs: Mapping[str, Findings]) -> str:
    """How often each fault struck on each set-up, and the longest outage behind it."""
    faults = sorted({fault for findings in runs.values() for strike in findings.strikes for fault in parts(strike)})
    lines = [["fault", *runs]]
    for fault in faults:
        cells = []
        for findings in runs.values():
            mine = [strike for strike in findings.strikes if fault in parts(strike)]
            cells.append(f"{len(mine)} × {longest(mine)}" if mine else "")
        lines.append([fault, *cells])
    return markdown(lines)


def parts(strike: Strike) -> list[str]:
    return strike.name.split(" + ")


def longest(strikes: Sequence[Strike]) -> str:
    outages = [strike.outage_seconds for strike in strikes if strike.outage_seconds is not None]
    return f"{max(outages):.1f} s" if outages else "–"


def markdown(lines: list[list[str]]) -> str:
    head, *rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([head, "| --- " * len(lines[0]) + "|", *rows])


def main() -> int:
    runs = {name: judge(Path(folder)) for name, _, folder in (text.partition("=") for text in sys.argv[1:])}
    print(f"{by_set_up(runs)}\n\n{by_fault(runs)}")
    return 0 if all(findings.is_clean for findings in runs.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
