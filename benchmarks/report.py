"""Outcomes in, a table and a JSON document out. Owns how medians and spreads are written down."""

import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from trial import LOCKSTEP, PACES, TICK, Outcome

PACKAGES = (
    "nitro-realtime",
    "uvicorn",
    "uvloop",
    "httptools",
    "starlette",
    "fastapi",
    "sse-starlette",
    "anyio",
    "pydantic-core",
)
MEASURES: dict[str, tuple[str, Callable[[Outcome], float], int]] = {
    # key in the JSON: heading, value, decimals in the table
    "cpu_us": ("CPU µs/delivery", lambda o: o.cpu_us, 2),
    "per_second": ("deliveries/s", lambda o: o.per_second, 0),
    "p50_ms": ("p50 ms", lambda o: o.p50_ms, 1),
    "p99_ms": ("p99 ms", lambda o: o.p99_ms, 1),
    "writes_per_delivery": ("writes/delivery", lambda o: o.writes_per_delivery, 2),
    "server_busy": ("server busy", lambda o: o.server_busy, 2),
    "client_busy": ("client busy", lambda o: o.client_busy, 2),
}


TITLES = {
    LOCKSTEP: "Lockstep: one event, one write to each subscriber, then the next. The cost of a delivery",
    TICK: "One event per loop tick. A server that joins what waits into one write may show it here",
}


def cpu_of(outcomes: Iterable[Outcome], server: str, pace: str) -> float:
    """The median CPU of one delivery in microseconds, at one of the paces."""
    return median(o.cpu_us for o in outcomes if o.server == server and o.pace == pace)


def tables(outcomes: Sequence[Outcome]) -> str:
    """A table for each pace: one row a server, in the order they ran; the median and the spread of the rounds."""
    return "\n\n".join(
        f"{TITLES[pace]}\n\n{_table(own)}" for pace in PACES if (own := [o for o in outcomes if o.pace == pace])
    )


def _table(outcomes: Sequence[Outcome]) -> str:
    rows = [["server", *(heading for heading, _, _ in MEASURES.values()), "lost", "out of order"]]
    for name, own in _by_server(outcomes).items():
        cells = [_cell([value(o) for o in own], decimals) for _, value, decimals in MEASURES.values()]
        errors = [str(sum(o.counts[kind] for o in own)) for kind in ("lost", "out_of_order")]
        rows.append([name, *cells, *errors])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "-|-".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" if i != 1 else f"|-{line}-|" for i, line in enumerate(lines))


def document(outcomes: Sequence[Outcome], arguments: dict[str, Any], load_before: float) -> dict[str, Any]:
    """Everything that a claim must cite: where, with what, and what came out, each round of it."""
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "load_average_before": load_before,
            "architecture": platform.machine(),
        },
        "kernel": platform.release(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain")),
        "arguments": arguments,
        "summary": {
            pace: {
                name: {measure: _summary(own, value) for measure, (_, value, _) in MEASURES.items()}
                for name, own in _by_server(o for o in outcomes if o.pace == pace).items()
            }
            for pace in PACES
        },
        "runs": [asdict(outcome) for outcome in outcomes],
    }


def _by_server(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    grouped: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        grouped.setdefault(outcome.server, []).append(outcome)
    return grouped


def _summary(outcomes: Iterable[Outcome], value: Callable[[Outcome], float]) -> dict[str, float]:
    middle, low, high = _spread([value(outcome) for outcome in outcomes])
    return {"median": middle, "min": low, "max": high}


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return median(values), min(values), max(values)


def _cell(values: Sequence[float], decimals: int) -> str:
    middle, low, high = (f"{value:,.{decimals}f}" for value in _spread(values))
    return middle if low == high else f"{middle} ({low}-{high})"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _git(*arguments: str) -> str | None:
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
