"""The benchmark of live queries still runs, in small; what it measures then is no claim."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers import ROOT


def figures(what: str, file: Path, *options: str) -> list[dict[str, Any]]:
    """What it measures in one round."""
    command = [sys.executable, str(ROOT / "benchmarks/live_queries.py"), what, "--rounds", "1", "--json", str(file)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NITRO_")}
    done = subprocess.run([*command, *options], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(file.read_text())["figures"]
    assert all(each["case"] in done.stdout for each in found)
    return found


def test_a_change_reaches_the_clients_concerned_among_few_and_many(tmp_path: Path) -> None:
    found = figures("change", tmp_path / "figures.json", "--clients", "20", "--most", "40", "--changes", "3")
    assert [each["case"] for each in found] == [
        "equality, 1 of 10",
        "equality, 1 of 20",
        "equality, 1 of 40",
        "range, 1 of 20",
        "range, 10 of 20",
        "range, 20 of 20",
    ]
    assert all(0 < each["µs"] <= each["p99 µs"] for each in found)


def test_clients_that_open_a_query_at_once_get_what_is_read_once(tmp_path: Path) -> None:
    live, events, prepared = figures("open", tmp_path / "figures.json", "--clients", "5", "--rows", "30")
    assert [each["SELECTs"] for each in (live, events, prepared)] == [1, 0, 0]
    assert live["received MB"] > 5 * 30 * 100 / 1e6
    assert live["received MB"] / prepared["received MB"] < 1.3


def test_clients_with_live_queries_and_clients_that_poll_hear_of_each_change(tmp_path: Path) -> None:
    brief = ("--clients", "4", "--writes", "5", "--seconds", "0.8")
    found = figures("polling", tmp_path / "figures.json", *brief)
    assert [each["heard"] for each in found] == [4, 4, 16, 16]
    assert [each["missed"] for each in found] == [0, 0, 0, 0]
    assert all(each["CPU s/s"] > 0 for each in found)
