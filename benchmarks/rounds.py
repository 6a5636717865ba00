"""Rounds of a benchmark that measures for itself: the machine that they ran on, their medians, a table, and JSON."""

import json
import os
import re
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

Figures = dict[str, Any]
"""What one round measured of one `case`, by name."""


def allow_files(needed: int) -> None:
    """Let this process and those that it starts open so many files, if the system allows it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, needed), hard) if hard > 0 else (needed, hard))


def measured(rounds: Iterator[Figures], packages: Sequence[str], file: Path | None) -> list[Figures]:
    """All rounds, which begin now; they are written to the file with what they ran on."""
    where = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": "".join(re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[:1]),
        "cores": os.cpu_count(),
        "load_average_before": os.getloadavg()[0],
        "versions": {name: metadata.version(name) for name in packages},
        "command": sys.argv[1:],
    }
    figures = list(rounds)
    if file is not None:
        file.write_text(json.dumps({**where, "figures": figures}, indent=1) + "\n")
    return figures


def medians(figures: Sequence[Figures]) -> dict[str, list[float]]:
    """The medians of the rounds of each case, in the order of its names."""
    names = [name for name in figures[0] if name != "case"]
    return {
        case: [median(each[name] for each in figures if each["case"] == case) for name in names]
        for case in dict.fromkeys(each["case"] for each in figures)
    }


def table(figures: Sequence[Figures], values: Mapping[str, Sequence[float]]) -> str:
    """Rows of values, below the names of the figures."""
    cells = [["", *(name for name in figures[0] if name != "case")]]
    cells += [
        [case, *(f"{each:,.{3 if each < 1 else 2 if each < 100 else 0}f}" for each in of)]
        for case, of in values.items()
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
