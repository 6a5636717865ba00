"""Runs in, tables and a JSON document out. Owns how medians and spreads are written down."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from chart import Bar, Panel, draw
from scenarios import LOCKSTEP, SCENARIOS, TICK, Run
from servers import SERVERS
from targets import Medians, Target

PACKAGES = (
    "nitro-realtime",
    "uvicorn",
    "granian",
    "uvloop",
    "httptools",
    "starlette",
    "fastapi",
    "sse-starlette",
    "litestar",
    "anyio",
    "pydantic-core",
)
MEASURES: dict[str, tuple[str, int, float]] = {
    # name in a run's values: heading, decimals, factor
    "cpu_us": ("CPU µs/delivery", 2, 1),
    "per_second": ("deliveries/s", 0, 1),
    "in_time": ("in time %", 1, 100),
    "p50_ms": ("p50 ms", 1, 1),
    "p99_ms": ("p99 ms", 1, 1),
    "plain_p99_ms": ("plain request p99 ms", 1, 1),
    "writes": ("writes/delivery", 2, 1),
    "server_busy": ("server busy %", 0, 100),
    "client_busy": ("client busy %", 0, 100),
    "idle_busy": ("CPU % of a core", 2, 100),
    "connect_seconds": ("connect s", 1, 1),
    "connection_kib": ("KiB/connection", 1, 1),
    "grown_mib": ("peak memory grown MiB", 1, 1),
    "back_seconds": ("all have all after s", 2, 1),
    "back_cpu_us": ("CPU µs/client", 0, 1),
    "let_go": ("let go", 0, 1),
    "emit_us": ("µs/emit", 2, 1),
    "delivery_us": ("CPU µs/delivery", 2, 1),
}


PICTURED = (
    # scenario, case, measure, the panel's title and unit
    (
        "burst",
        TICK,
        "per_second",
        "A burst to 1,000 subscribers: one event per loop tick",
        "deliveries/s",
    ),
    ("burst", LOCKSTEP, "cpu_us", "To 1,000 subscribers, the next event once all have the last", "CPU µs a delivery"),
    ("sustained", "1,000 events/s", "p99_ms", "To 1,000 subscribers, 1,000 events/s for 5 s", "p99 ms"),
    ("crowd", "20 events", "connection_kib", "10,000 connections", "KiB a connection"),
)


def medians(runs: Sequence[Run]) -> Medians:
    """The median of each measure, by (scenario, case, server, measure)."""
    found: dict[tuple[str, str, str, str], list[float]] = {}
    for run in runs:
        for measure, value in run.values.items():
            found.setdefault((run.scenario, run.case, run.server, measure), []).append(value)
    return {key: median(values) for key, values in found.items()}


def tables(runs: Sequence[Run]) -> str:
    """In Markdown: a heading for each scenario and a table for each of its cases, or one with a row for each."""
    parts = []
    for name in dict.fromkeys(run.scenario for run in runs):
        scenario = SCENARIOS[name]
        parts.append(f"### {name}: {scenario.title}")
        own = [run for run in runs if run.scenario == name]
        cases = dict.fromkeys(run.case for run in own)
        if len(scenario.servers) == 1:
            parts.append(_table("case", {c: [r for r in own if r.case == c] for c in cases}, scenario.measures))
            continue
        for case in cases:
            if case:
                parts.append(f"{case[0].upper()}{case[1:]}:")
            rows: dict[str, list[Run]] = {}
            for run in own:
                if run.case == case:
                    rows.setdefault(SERVERS[run.server].title, []).append(run)
            parts.append(_table("server", rows, scenario.measures))
    return "\n\n".join(parts)


def targets_table(targets: Sequence[Target]) -> str:
    """What was aimed at, what was measured, and whether that is enough."""
    rows = [["target", "measured", ""]]
    rows += [[target.text, target.measured, "met" if target.is_met else "MISSED"] for target in targets]
    return _aligned(rows)


def document(
    runs: Sequence[Run], targets: Sequence[Target], missing: dict[str, str], load_before: float
) -> dict[str, Any]:
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
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
            "nginx": _debian_version("nginx"),
            "nchan": _debian_version("libnginx-mod-nchan"),
        },
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "missing": missing,
        "targets": [asdict(target) for target in targets],
        "runs": [asdict(run) for run in runs],
    }


def as_text(document: dict[str, Any]) -> str:
    """The document as JSON, with a line for each run."""
    head = json.dumps({**document, "runs": []}, indent=1, ensure_ascii=False)
    runs = ",\n  ".join(json.dumps(run, ensure_ascii=False) for run in document["runs"])
    return head.removesuffix("[]\n}") + f"[\n  {runs}\n ]\n}}\n"


def picture(runs: Sequence[Run]) -> str:
    """What a reader of the README wants to know, as an SVG; empty if nothing of that was measured."""
    panels = []
    for scenario, case, measure, title, unit in PICTURED:
        bars = [
            bar
            for name in SCENARIOS[scenario].servers
            if (bar := _bar([r for r in runs if (r.scenario, r.case, r.server) == (scenario, case, name)], measure))
        ]
        if bars:
            less_is_better = measure != "per_second"
            bars.sort(key=lambda bar: bar.value, reverse=not less_is_better)
            panels.append(Panel(title, unit, bars, less_is_better))
    packages = ", ".join(f"{name} {_version(name)}" for name in ("uvicorn", "granian", "starlette", "fastapi"))
    caption = f"{_cpu_model()}, one core for the server and one for the clients; {packages}"
    return draw(panels, caption) if panels else ""


def _bar(runs: Sequence[Run], measure: str) -> Bar | None:
    if not runs:
        return None
    server = SERVERS[runs[0].server]
    factor = MEASURES[measure][2]
    values = [run.values[measure] * factor for run in runs]
    in_time = median(run.values.get("in_time", 1.0) for run in runs)
    note = "" if in_time == 1 else f"{in_time:.0%} arrived in time"
    return Bar(server.title, median(values), min(values), max(values), server.is_ours, note)


def _table(head: str, rows: dict[str, list[Run]], measures: Sequence[str]) -> str:
    shown = [measure for measure in measures if any(measure in run.values for runs in rows.values() for run in runs)]
    lines = [[head, *(MEASURES[measure][0] for measure in shown)]]
    for name, runs in rows.items():
        lines.append([name, *(_cell([r.values[m] for r in runs if m in r.values], m) for m in shown)])
    return _aligned(lines)


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "-|-".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" if i != 1 else f"|-{line}-|" for i, line in enumerate(lines))


def _cell(values: Sequence[float], measure: str) -> str:
    if not values:
        return "-"
    _, decimals, factor = MEASURES[measure]
    middle, low, high = (f"{value * factor:,.{decimals}f}" for value in (median(values), min(values), max(values)))
    return middle if low == high else f"{middle} ({low}–{high})"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _debian_version(package: str) -> str:
    try:
        done = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False
        )
    except OSError:
        return "unknown"
    return done.stdout or "not installed"


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
